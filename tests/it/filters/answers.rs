//! Filters that answer, drop and close.

use std::time::Duration;

use bytes::Bytes;
use gimbal::filter::{Answer, Policy, Verdict};
use gimbal::protocol::{Code, Command, Kind, request as rq, response};

use super::{SEND, changing_answers, no};
use crate::support::Speaks;
use crate::support::filters::{Script, Stage, with};

#[tokio::test]
async fn an_answer_is_exactly_what_the_filter_says_in_the_form_of_the_request() {
    let answer = Answer {
        code: response::FLOW_CONTROL,
        remark: Some("slow \"down\"".to_owned()),
        fields: vec![
            ("msgId".to_owned(), "1".to_owned()),
            ("b".to_owned(), "2".to_owned()),
        ],
        body: Bytes::from_static(b"\0\x01body"),
    };
    let stage = Stage::with(
        Script::of(&[rq::SEND_MESSAGE_V2])
            .always(Verdict::Answer(answer))
            .alone(),
    )
    .await;
    for speaks in [Speaks::NAMED, Speaks::NAMED.in_binary()] {
        let mut client = stage.client_that(speaks).await;
        let came = client.call(rq::SEND_MESSAGE_V2, SEND).await;
        assert_eq!(came.frame.kind(), speaks.kind);
        assert_eq!(came.head.code, response::FLOW_CONTROL);
        assert_eq!(came.command.remark.as_ref().unwrap().as_str(), "slow \"down\"");
        let fields = came.head.fields(&came.frame).to_pairs();
        assert_eq!(
            fields,
            [
                ("msgId".to_owned(), "1".to_owned()),
                ("b".to_owned(), "2".to_owned())
            ]
        );
        assert_eq!(came.frame.body(), b"\0\x01body");
    }
    assert!(stage.a.is_left_alone(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn an_answer_of_a_filter_is_shown_to_the_filters_before_it_and_to_no_other() {
    let mark = |name: &'static str| {
        Script::of(&[rq::SEND_MESSAGE_V2])
            .on_request(move |_| {
                Ok(if name == "2" {
                    no("2 says so")
                } else {
                    Verdict::Forward
                })
            })
            .on_response(move |subject| {
                let seen = subject.field("seen").unwrap_or_default().into_owned();
                subject.set_field("seen", &format!("{seen}{name}"));
                Ok(Verdict::Forward)
            })
            .member(name)
    };
    let stage = Stage::with(vec![mark("0"), mark("1"), mark("2"), mark("3")]).await;
    let came = stage.client().await.call(rq::SEND_MESSAGE_V2, SEND).await;
    assert_eq!((came.head.code, came.field("seen")), (Code(16), Some("10")));
}

#[tokio::test]
async fn an_earlier_filter_may_close_on_the_answer_of_a_later_one() {
    let closing = Script::of(&[]).on_response(|_| Ok(Verdict::Close("enough".to_owned())));
    let stage = Stage::with(vec![
        closing.member("closing"),
        Script::of(&[]).always(no("no")).member("answering"),
    ])
    .await;
    let mut client = stage.client().await;
    let came = client.call(rq::SEND_MESSAGE_V2, SEND).await;
    assert_eq!(came.head.code, response::SYSTEM_ERROR);
    assert_eq!(came.command.remark.unwrap().as_str(), "enough");
    client.peer.expect_end().await;
}

#[tokio::test]
async fn answering_a_one_way_command_drops_it_when_closed_and_forwards_it_when_open() {
    for (policy, passes) in [(Policy::Closed, false), (Policy::Open, true)] {
        let answering = Script::of(&[rq::UPDATE_CONSUMER_OFFSET])
            .always(no("no"))
            .member("answering");
        let counters = std::sync::Arc::clone(&answering.counters);
        let stage = Stage::with(vec![with(answering, |member| member.policy = policy)]).await;
        let (mut client, mut link) = stage.linked().await;
        client
            .tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "a"), ("topic", "T")])
            .await;
        client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
        if passes {
            link.expect(rq::UPDATE_CONSUMER_OFFSET).await;
        }
        link.expect(rq::GET_MAX_OFFSET).await;
        let (_, why) = counters.last_failure().unwrap();
        assert!(
            why.starts_with("impossible verdict: answer to a one-way"),
            "{why}"
        );
        assert!(client.leftovers().is_empty());
    }
}

#[tokio::test]
async fn a_one_way_command_may_be_dropped() {
    let stage = Stage::with(
        Script::of(&[rq::UPDATE_CONSUMER_OFFSET])
            .always(Verdict::Drop)
            .alone(),
    )
    .await;
    let (mut client, mut link) = stage.linked().await;
    client.tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "a")]).await;
    client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    link.expect(rq::GET_MAX_OFFSET).await;
}

#[tokio::test]
async fn dropping_what_a_client_waits_for_is_impossible() {
    let dropping = Script::of(&[rq::SEND_MESSAGE_V2, rq::PULL_MESSAGE])
        .always(Verdict::Drop)
        .member("d");
    let stage = Stage::with(vec![dropping]).await;
    let mut client = stage.client().await;
    // Codes with which neither starts a storm.
    for (code, answered) in [
        (rq::SEND_MESSAGE_V2, response::MESSAGE_ILLEGAL),
        (rq::PULL_MESSAGE, response::SYSTEM_ERROR),
    ] {
        let came = client.call(code, SEND).await;
        assert_eq!(came.head.code, answered);
        let remark = came.command.remark.unwrap();
        assert!(
            remark
                .as_str()
                .contains("filter d failed: impossible verdict: drop"),
            "{remark:?}"
        );
    }
}

#[tokio::test]
async fn a_response_can_be_neither_held_nor_dropped() {
    for verdict in [Verdict::Delay(Duration::from_secs(1)), Verdict::Drop] {
        let bad = Script::of(&[rq::GET_MAX_OFFSET]).on_response(move |_| Ok(verdict.clone()));
        let stage = Stage::with(bad.alone()).await;
        let (mut client, mut link) = stage.linked().await;
        let opaque = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
        let asked = link.expect(rq::GET_MAX_OFFSET).await;
        link.answer(&asked, response::SUCCESS).await;
        let came = client.answer(opaque).await;
        assert_eq!(came.head.code, response::SYSTEM_ERROR);
        assert!(
            came.command
                .remark
                .unwrap()
                .as_str()
                .contains("impossible verdict: a response")
        );
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure_and_the_client_is_answered() {
    let wide = Verdict::Answer(Answer::new(Code(100_000), "no such code in binary"));
    let stage = Stage::with(Script::of(&[rq::GET_MAX_OFFSET]).always(wide).alone()).await;
    let mut client = stage.client_that(Speaks::NAMED.in_binary()).await;
    let came = client.call(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    assert_eq!(came.head.code, response::SYSTEM_ERROR);
    assert!(came.command.remark.unwrap().as_str().contains("makes no command"));
}

#[tokio::test]
async fn a_close_answers_the_command_lets_answers_out_and_closes() {
    let stage = Stage::with(
        Script::of(&[rq::SEND_MESSAGE_V2])
            .always(Verdict::Close("you are banned".to_owned()))
            .alone(),
    )
    .await;
    let (mut client, mut link) = stage.linked().await;
    let earlier = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    let asked = link.expect(rq::GET_MAX_OFFSET).await;
    let came = client.call(rq::SEND_MESSAGE_V2, SEND).await;
    assert_eq!(came.head.code, response::SYSTEM_ERROR);
    assert_eq!(came.command.remark.unwrap().as_str(), "you are banned");
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    assert!(
        link.is_quiet(Duration::from_millis(30)).await,
        "nothing new is read"
    );
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(earlier).await.head.code, response::SUCCESS);
    client.peer.expect_end().await;
    link.expect_end().await;
}

#[tokio::test]
async fn a_response_may_close_and_is_answered_with_the_text() {
    let closing = Script::of(&[rq::GET_MAX_OFFSET]).on_response(|_| Ok(Verdict::Close("seen".to_owned())));
    let stage = Stage::with(closing.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let opaque = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    let asked = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    let came = client.answer(opaque).await;
    assert_eq!(
        (came.head.code, came.command.remark.unwrap().as_str()),
        (response::SYSTEM_ERROR, "seen")
    );
    client.peer.expect_end().await;
}

#[tokio::test]
async fn a_response_may_be_replaced() {
    let replacing = changing_answers(rq::GET_MAX_OFFSET, |_| {});
    let replacing = replacing.on_response(|_| Ok(no("never mind")));
    let stage = Stage::with(replacing.alone()).await;
    for kind in [Speaks::NAMED, Speaks::NAMED.in_binary()] {
        let (mut client, mut link) = stage.linked_that(kind).await;
        let opaque = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
        let asked = link.expect(rq::GET_MAX_OFFSET).await;
        let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS).with_body("b");
        link.answer_with(&asked, answer).await;
        let came = client.answer(opaque).await;
        assert_eq!((came.head.code, came.frame.body()), (Code(16), &b""[..]));
    }
}
