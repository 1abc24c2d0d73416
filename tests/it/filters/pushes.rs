//! Requests of brokers to clients on their way through the chain.

use std::time::Duration;

use gimbal::filter::{Answer, Verdict};
use gimbal::protocol::{Code, Command, FLAG_ONEWAY, request as rq, response};

use super::no;
use crate::support::filters::{Script, Stage, recorded};
use crate::support::{Client, Group, Peer};

const PUSHES: [Code; 4] = [
    rq::CHECK_TRANSACTION_STATE,
    rq::NOTIFY_CONSUMER_IDS_CHANGED,
    rq::GET_CONSUMER_RUNNING_INFO,
    rq::CONSUME_MESSAGE_DIRECTLY,
];

async fn linked(stage: &Stage) -> (Client, Peer) {
    let mut client = stage.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let link = stage.a.accept_greeted().await;
    stage.b.accept_greeted().await;
    client.answer(beat).await;
    (client, link)
}

fn push(code: Code, opaque: i32) -> Command {
    let mut push = Command::request(code, opaque)
        .with_field("consumerGroup", "g")
        .with_field("bname", "a");
    if matches!(
        code,
        rq::CHECK_TRANSACTION_STATE | rq::NOTIFY_CONSUMER_IDS_CHANGED
    ) {
        push.flag |= FLAG_ONEWAY;
    }
    push
}

#[tokio::test]
async fn pushes_are_shown_only_to_those_who_name_them() {
    let marking = |codes: &[Code]| {
        Script::of(codes).on_request(|subject| {
            if subject.is_push() {
                subject.set_field("seen", "1");
            }
            Ok(Verdict::Forward)
        })
    };
    for (codes, seen) in [(&[][..], None), (&PUSHES, Some("1"))] {
        let stage = Stage::with(marking(codes).alone()).await;
        let (mut client, mut link) = linked(&stage).await;
        for code in PUSHES {
            let sent = push(code, code.0);
            link.put(&sent).await;
            let came = client.pushed(code).await;
            assert_eq!(came.field("seen"), seen, "{code}");
            if seen.is_none() {
                assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
            } else if !came.head.is_oneway() {
                client.peer.answer(&came, response::SUCCESS).await;
                link.expect_answer(code.0).await;
            }
        }
    }
}

#[tokio::test]
async fn one_way_and_two_way_pushes_may_be_dropped() {
    let stage = Stage::with(Script::of(&PUSHES).always(Verdict::Drop).alone()).await;
    let (mut client, mut link) = linked(&stage).await;
    for code in PUSHES {
        link.put(&push(code, 7)).await;
    }
    link.put(&push(rq::RESET_CONSUMER_CLIENT_OFFSET, 8)).await;
    client.pushed(rq::RESET_CONSUMER_CLIENT_OFFSET).await;
    assert!(client.leftovers().is_empty());
    assert!(link.is_quiet(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_filter_answers_a_two_way_push_in_the_client_s_place_and_earlier_filters_see_it() {
    let stamping = Script::of(&PUSHES).on_response(|subject| {
        assert_eq!(subject.request_code(), rq::GET_CONSUMER_RUNNING_INFO);
        subject.set_field("seen", "1");
        Ok(Verdict::Forward)
    });
    let answering = Script::of(&[rq::GET_CONSUMER_RUNNING_INFO]).always(Verdict::Answer(Answer {
        code: response::SUCCESS,
        remark: None,
        fields: Vec::new(),
        body: "{}".into(),
    }));
    let stage = Stage::with(vec![stamping.member("stamping"), answering.member("answering")]).await;
    let (mut client, mut link) = linked(&stage).await;
    link.put(&push(rq::GET_CONSUMER_RUNNING_INFO, 9)).await;
    let answer = link.expect_answer(9).await;
    assert_eq!(
        (answer.head.code, answer.frame.body()),
        (response::SUCCESS, &b"{}"[..])
    );
    assert_eq!(answer.field("seen"), Some("1"));
    client.sync().await;
    assert!(client.leftovers().is_empty());
}

#[tokio::test]
async fn answering_a_one_way_push_is_impossible() {
    let stage = Stage::with(
        Script::of(&[rq::NOTIFY_CONSUMER_IDS_CHANGED])
            .always(no("no"))
            .alone(),
    )
    .await;
    let (mut client, mut link) = linked(&stage).await;
    link.put(&push(rq::NOTIFY_CONSUMER_IDS_CHANGED, 9)).await;
    link.put(&push(rq::RESET_CONSUMER_CLIENT_OFFSET, 8)).await;
    client.pushed(rq::RESET_CONSUMER_CLIENT_OFFSET).await;
    assert!(client.leftovers().is_empty(), "closed: it is forgotten");
    assert!(link.is_quiet(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn the_client_s_answer_to_a_push_passes_the_response_hooks() {
    let stamping = |name: &'static str| {
        Script::of(&[rq::CONSUME_MESSAGE_DIRECTLY]).on_response(move |subject| {
            let seen = subject.field("seen").unwrap_or_default().into_owned();
            assert_eq!(subject.group().as_deref(), Some("g"));
            subject.set_field("seen", &format!("{seen}{name}"));
            Ok(Verdict::Forward)
        })
    };
    let stage = Stage::with(vec![stamping("1").member("1"), stamping("2").member("2")]).await;
    let (mut client, mut link) = linked(&stage).await;
    link.put(&push(rq::CONSUME_MESSAGE_DIRECTLY, 9)).await;
    let came = client.pushed(rq::CONSUME_MESSAGE_DIRECTLY).await;
    client.peer.answer(&came, response::SUCCESS).await;
    assert_eq!(link.expect_answer(9).await.field("seen"), Some("21"));
}

#[tokio::test]
async fn a_close_on_a_push_answers_the_broker_and_ends_the_connection() {
    let closing = Script::of(&[rq::GET_CONSUMER_RUNNING_INFO]).always(Verdict::Close("enough".to_owned()));
    let stage = Stage::with(closing.alone()).await;
    let (mut client, mut link) = linked(&stage).await;
    link.put(&push(rq::GET_CONSUMER_RUNNING_INFO, 9)).await;
    let answer = link.expect_answer(9).await;
    assert_eq!(answer.command.remark.unwrap().as_str(), "enough");
    client.peer.expect_end().await;
}

#[tokio::test]
async fn the_message_in_a_push_may_be_edited() {
    let editing = Script::of(&[rq::CHECK_TRANSACTION_STATE]).on_request(|subject| {
        let messages = subject.messages_mut().unwrap().unwrap();
        messages.set_body(0, "masked".into()).unwrap();
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(editing.alone()).await;
    let (mut client, mut link) = linked(&stage).await;
    link.put(&recorded("wire/request-39-broker-5.5.0-json")).await;
    let came = client.pushed(rq::CHECK_TRANSACTION_STATE).await;
    let messages = gimbal::protocol::body::StoredMessage::decode_all(&came.command.body).unwrap();
    assert_eq!(messages[0].body(), "masked");
}
