//! Filters that fail, and filters that only watch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gimbal::filter::{Failure, Mode, Policy, Verdict};
use gimbal::protocol::{request as rq, response};

use super::{BEAT, SEND, changing, no};
use crate::support::Group;
use crate::support::filters::{Script, Stage, with};

fn trap() -> Failure {
    Failure::Trap("oh no".to_owned())
}

/// Changes everything it can, then fails.
fn failing() -> Script {
    Script::of(&[rq::SEND_MESSAGE_V2]).on_request(|subject| {
        subject.set_field("b", "U");
        subject.set_body("changed".into());
        if let Ok(Some(messages)) = subject.messages_mut() {
            messages.set_property(0, "p", "1").unwrap();
        }
        Err(trap())
    })
}

#[tokio::test]
async fn a_closed_failure_answers_with_a_code_that_starts_no_storm() {
    let failing = Script::of(&[]).on_request(|_| Err(trap()));
    let stage = Stage::with(vec![failing.member("f")]).await;
    let mut client = stage.client().await;
    for (code, answered) in [
        (rq::SEND_MESSAGE_V2, response::MESSAGE_ILLEGAL),
        (rq::PULL_MESSAGE, response::SYSTEM_ERROR),
    ] {
        let came = client.call(code, SEND).await;
        assert_eq!(came.head.code, answered);
        assert_eq!(
            came.command.remark.unwrap().as_str(),
            "gimbal: filter f failed: it stopped: oh no"
        );
    }
}

#[tokio::test]
async fn an_open_failure_undoes_what_its_filter_changed_and_keeps_what_was_changed_before() {
    let failing = with(failing().member("f"), |member| member.policy = Policy::Open);
    let before = changing(rq::SEND_MESSAGE_V2, |subject| subject.set_field("before", "1"));
    let after = changing(rq::SEND_MESSAGE_V2, |subject| {
        let topic = subject.topic().unwrap();
        subject.set_field("after", &topic);
    });
    let stage = Stage::with(vec![before.member("b"), failing, after.member("a")]).await;
    let (mut client, mut link) = stage.linked().await;
    client.ask_with(rq::SEND_MESSAGE_V2, SEND, "own").await;
    let came = link.expect(rq::SEND_MESSAGE_V2).await;
    assert_eq!(
        (came.field("b"), came.field("before"), came.field("after")),
        (Some("T"), Some("1"), Some("T"))
    );
    assert_eq!((came.field("i"), came.frame.body()), (None, &b"own"[..]));
}

#[tokio::test]
async fn an_open_failure_alone_leaves_the_bytes_as_they_were() {
    let stage = Stage::with(vec![with(failing().member("f"), |member| {
        member.policy = Policy::Open;
    })])
    .await;
    let (mut client, mut link) = stage.linked().await;
    let sent = client.command(rq::SEND_MESSAGE_V2, SEND).with_body("own");
    client.peer.put(&sent).await;
    let came = link.expect(rq::SEND_MESSAGE_V2).await;
    assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
}

#[tokio::test]
async fn a_filter_without_bodies_that_touches_one_fails() {
    let mut wanted = crate::support::filters::interest(&[rq::SEND_MESSAGE_V2]);
    wanted.needs_body = false;
    let touching = Script::wanting(vec![wanted]).on_request(|subject| {
        assert_eq!(subject.body_size(), 3, "its size is no secret");
        assert_eq!(subject.body(), "");
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(touching.alone()).await;
    let mut client = stage.client().await;
    let opaque = client.ask_with(rq::SEND_MESSAGE_V2, SEND, "own").await;
    let came = client.answer(opaque).await;
    assert_eq!(came.head.code, response::MESSAGE_ILLEGAL);
    let remark = came.command.remark.unwrap();
    assert!(
        remark
            .as_str()
            .contains("reads the body, and none of its interests"),
        "{remark:?}"
    );
}

#[tokio::test]
async fn a_shadow_changes_nothing_and_is_counted() {
    let watching = |verdict: Verdict| {
        let verdict = Ok(verdict);
        let script = Script::of(&[]).on_request(move |subject| {
            subject.set_field("b", "U");
            verdict.clone()
        });
        with(script.on_response(|_| Ok(no("no"))).member("s"), |member| {
            member.mode = Mode::Shadow;
        })
    };
    for verdict in [
        no("no"),
        Verdict::Close("no".to_owned()),
        Verdict::Drop,
        Verdict::Forward,
    ] {
        let member = watching(verdict.clone());
        let counters = Arc::clone(&member.counters);
        let stage = Stage::with(vec![member]).await;
        let (mut client, mut link) = stage.linked().await;
        let sent = client.command(rq::SEND_MESSAGE_V2, SEND);
        client.peer.put(&sent).await;
        let came = link.expect(rq::SEND_MESSAGE_V2).await;
        assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
        link.answer(&came, response::SUCCESS).await;
        assert_eq!(client.answer(sent.opaque).await.head.code, response::SUCCESS);
        // Dropping what is waited for fails, which a shadow may as well; both requests and both answers were judged.
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (shadowed, failures) = (count(&counters.shadowed), count(&counters.failures));
        assert_eq!(count(&counters.calls), 4, "{verdict:?}");
        match verdict {
            Verdict::Drop => assert_eq!((shadowed, failures), (2, 2)),
            Verdict::Forward => assert_eq!((shadowed, failures), (2, 0)),
            _ => assert_eq!((shadowed, failures), (4, 0)),
        }
    }
}

#[tokio::test]
async fn a_response_hook_that_fails_closed_hides_the_answer_and_open_shows_it() {
    for (policy, code) in [
        (Policy::Closed, response::SYSTEM_ERROR),
        (Policy::Open, response::SUCCESS),
    ] {
        let failing = Script::of(&[rq::GET_MAX_OFFSET]).on_response(|subject| {
            subject.set_field("offset", "9");
            Err(trap())
        });
        let stage = Stage::with(vec![with(failing.member("f"), |member| member.policy = policy)]).await;
        let (mut client, mut link) = stage.linked().await;
        let opaque = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
        let asked = link.expect(rq::GET_MAX_OFFSET).await;
        link.answer(&asked, response::SUCCESS).await;
        let came = client.answer(opaque).await;
        assert_eq!((came.head.code, came.field("offset")), (code, None));
    }
}

#[tokio::test]
async fn a_filter_that_fails_on_a_heartbeat_does_not_cost_the_client_its_groups() {
    let failing = Script::of(&[BEAT]).on_request(|subject| {
        if subject
            .accesses()
            .iter()
            .any(|access| access.group.as_deref() == Some("bad"))
        {
            return Err(trap());
        }
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(failing.alone()).await;
    let mut client = stage.client().await;
    let good = client.beat(&[Group::Consumer("g", "T")]).await;
    let (mut at_a, _at_b) = (stage.a.accept_greeted().await, stage.b.accept_greeted().await);
    client.answer(good).await;
    let bad = client.beat(&[Group::Consumer("bad", "T")]).await;
    assert_eq!(client.answer(bad).await.head.code, response::SYSTEM_ERROR);
    client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    at_a.expect(rq::GET_MAX_OFFSET).await;
}
