//! Filters that change commands, and those that only look.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gimbal::filter::Verdict;
use gimbal::protocol::{Command, Kind, request as rq, response};

use super::{SEND, changing, changing_answers};
use crate::support::filters::{Script, Stage};
use crate::support::{Gimbal, Speaks};

const FORMS: [Speaks; 2] = [Speaks::NAMED, Speaks::NAMED.in_binary()];

#[tokio::test]
async fn set_and_removed_fields_arrive_in_the_form_of_the_request() {
    let changing = changing(rq::SEND_MESSAGE_V2, |subject| {
        subject.set_field("e", "3");
        subject.set_field("new", "né");
        assert!(subject.remove_field("a"));
        assert!(!subject.remove_field("a"));
        assert_eq!(subject.queue_id(), Some(3), "what is set is seen");
    });
    let stage = Stage::with(changing.alone()).await;
    for speaks in FORMS {
        let (mut client, mut link) = stage.linked_that(speaks).await;
        let opaque = client.ask(rq::SEND_MESSAGE_V2, SEND).await;
        let came = link.expect(rq::SEND_MESSAGE_V2).await;
        assert_eq!((came.frame.kind(), came.head.opaque), (speaks.kind, opaque));
        assert_eq!(
            (came.head.language, came.head.version),
            (speaks.language, speaks.version)
        );
        let fields = came.head.fields(&came.frame).to_pairs();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(fields, [("n", "a"), ("b", "T"), ("e", "3"), ("new", "né")]);
    }
}

#[tokio::test]
async fn a_later_filter_sees_what_an_earlier_one_set() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let looking = Script::of(&[rq::SEND_MESSAGE_V2]).on_request(move |subject| {
        let fields = subject.fields();
        notes
            .lock()
            .unwrap()
            .push((subject.topic(), fields.len(), subject.body()));
        Ok(Verdict::Forward)
    });
    let setting = changing(rq::SEND_MESSAGE_V2, |subject| {
        subject.set_field("b", "U");
        subject.set_body(Bytes::from_static(b"other"));
    });
    let stage = Stage::with(vec![setting.member("setting"), looking.member("looking")]).await;
    let (mut client, mut link) = stage.linked().await;
    client.ask_with(rq::SEND_MESSAGE_V2, SEND, "own").await;
    let came = link.expect(rq::SEND_MESSAGE_V2).await;
    assert_eq!((came.field("b"), came.frame.body()), (Some("U"), &b"other"[..]));
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [(Some("U".to_owned()), 4, Bytes::from_static(b"other"))]);
}

#[tokio::test]
async fn a_command_that_a_filter_only_looked_at_keeps_its_bytes_both_ways() {
    let looking = Script::of(&[])
        .on_request(|subject| {
            drop((
                subject.fields(),
                subject.body(),
                subject.topic(),
                subject.accesses(),
            ));
            drop(
                subject
                    .messages()
                    .map(|messages| messages.map(|all| all.topic(0).map(str::to_owned))),
            );
            drop(subject.remark().map(std::borrow::Cow::into_owned));
            assert!(!subject.remove_field("not-there"));
            Ok(Verdict::Forward)
        })
        .on_response(|subject| {
            drop((
                subject.fields(),
                subject.body(),
                subject.request_field("b").map(std::borrow::Cow::into_owned),
            ));
            Ok(Verdict::Forward)
        });
    let stage = Stage::with(looking.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    // Spaces, a member in an odd place and an escape that no encoder of ours writes.
    let sent = br#"{ "version":479, "extFields":{"n":"a","b":"\u0054","e":"0","a":"p"},"opaque":7,"flag":0,"code":310,"language":"JAVA","x":1}"#;
    let sent = gimbal::protocol::Frame::join(Kind::Json, sent, Bytes::from_static(b"body"))
        .unwrap()
        .to_bytes();
    client.peer.put_bytes(&sent).await;
    let came = link.expect(rq::SEND_MESSAGE_V2).await;
    assert_eq!(came.frame.to_bytes(), sent);
    let answer =
        br#"{"opaque":7,"flag":1, "code":0,"language":"JAVA","version":1,"extFields":{"msgId":"\u0031"}}"#;
    let answer = gimbal::protocol::Frame::join(Kind::Json, answer, Bytes::new())
        .unwrap()
        .to_bytes();
    link.put_bytes(&answer).await;
    assert_eq!(client.answer(7).await.frame.to_bytes(), answer);
}

#[tokio::test]
async fn answers_may_be_changed_in_their_own_form() {
    let changing = changing_answers(rq::GET_MAX_OFFSET, |subject| {
        assert_eq!(subject.code(), response::SUCCESS);
        assert_eq!(subject.request_code(), rq::GET_MAX_OFFSET);
        assert_eq!(subject.request_field("topic").as_deref(), Some("T"));
        assert_eq!(subject.topic().as_deref(), Some("T"));
        subject.set_field("offset", "9");
        subject.set_remark("changed");
        subject.set_body(Bytes::from_static(b"new"));
    });
    let stage = Stage::with(changing.alone()).await;
    for speaks in FORMS {
        let (mut client, mut link) = stage.linked_that(speaks).await;
        let opaque = client
            .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
            .await;
        let asked = link.expect(rq::GET_MAX_OFFSET).await;
        let answer = Command::answer(&asked.head, speaks.kind, response::SUCCESS).with_field("offset", "5");
        link.answer_with(&asked, answer).await;
        let came = client.answer(opaque).await;
        assert_eq!(
            (came.frame.kind(), came.field("offset")),
            (speaks.kind, Some("9"))
        );
        assert_eq!(came.command.remark.as_ref().unwrap().as_str(), "changed");
        assert_eq!(came.frame.body(), b"new");
    }
}

#[tokio::test]
async fn what_grows_beyond_the_frame_limit_is_refused_for_good() {
    let growing = changing(rq::SEND_MESSAGE_V2, |subject| {
        subject.set_body(vec![0; 70 << 10].into());
    });
    let small = |gimbal: Gimbal| gimbal.with(|config| config.limits.frame = 64 << 10);
    let stage = Stage::set(growing.alone(), small).await;
    let came = stage.client().await.call(rq::SEND_MESSAGE_V2, SEND).await;
    assert_eq!(came.head.code, response::MESSAGE_ILLEGAL);
    assert!(came.command.remark.unwrap().as_str().contains("at most 65536"));
}

#[tokio::test]
async fn what_makes_no_command_is_the_failure_of_its_filter() {
    let breaking = changing(rq::GET_MAX_OFFSET, |subject| {
        subject.set_field(&"n".repeat(70_000), "v");
    });
    let stage = Stage::with(breaking.alone()).await;
    let mut client = stage.client_that(Speaks::NAMED.in_binary()).await;
    let came = client.call(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    assert!(
        came.command
            .remark
            .unwrap()
            .as_str()
            .contains("what it changed makes no command")
    );
}

#[tokio::test]
async fn a_route_through_a_filter_is_what_the_request_asks_for_afterwards() {
    // Where the command goes is decided by what the filters made of it.
    let moving = changing(rq::GET_MAX_OFFSET, |subject| subject.set_field("bname", "b"));
    let stage = Stage::with(moving.alone()).await;
    let mut client = stage.client().await;
    client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    stage.b.accept().await.expect(rq::GET_MAX_OFFSET).await;
}
