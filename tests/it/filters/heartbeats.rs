//! Heartbeats that filters change and refuse, and what brokers hear of it.

use std::time::Duration;

use gimbal::filter::{Member, Verdict};
use gimbal::protocol::body::Heartbeat;
use gimbal::protocol::{request as rq, response};

use super::{BEAT, no};
use crate::support::filters::{Script, Stage};
use crate::support::{Client, Group, Peer, Received};

const TWO: &[Group<'_>] = &[Group::Consumer("g", "T"), Group::Consumer("h", "T")];

/// Takes a group out of heartbeats.
fn without(group: &'static str) -> Vec<Member> {
    let removing = Script::of(&[BEAT]).on_request(move |subject| {
        assert!(
            subject
                .accesses()
                .iter()
                .any(|access| access.group.as_deref() == Some(group))
        );
        assert!(subject.remove_group(group));
        assert!(!subject.remove_group(group));
        assert!(
            subject
                .accesses()
                .iter()
                .all(|access| access.group.as_deref() != Some(group))
        );
        Ok(Verdict::Forward)
    });
    removing.alone()
}

fn refusing() -> Vec<Member> {
    Script::of(&[BEAT]).always(no("no heartbeats")).alone()
}

fn groups(beat: &Received) -> Vec<String> {
    let heartbeat = Heartbeat::decode(beat.frame.body()).unwrap();
    let groups = heartbeat.consumers().iter().map(|group| group.group_name.clone());
    groups.chain(heartbeat.producers().map(str::to_owned)).collect()
}

/// A client that has beaten, with its links.
async fn beaten(stage: &Stage, with: &[Group<'_>]) -> (Client, Peer, Peer) {
    let mut client = stage.client().await;
    let beat = client.beat(with).await;
    let links = (stage.a.accept_greeted().await, stage.b.accept_greeted().await);
    assert_eq!(client.answer(beat).await.head.code, response::SUCCESS);
    (client, links.0, links.1)
}

/// The next unregistration: field and group.
async fn left(link: &mut Peer) -> (&'static str, String) {
    let left = link.expect(rq::UNREGISTER_CLIENT).await;
    assert_eq!(left.field("clientID"), Some("c"));
    link.answer(&left, response::SUCCESS).await;
    let of = |kind| left.field(kind).map(|group| (kind, group.to_owned()));
    of("consumerGroup").or_else(|| of("producerGroup")).unwrap()
}

#[tokio::test]
async fn a_removed_group_reaches_no_broker_and_the_client_is_answered() {
    let stage = Stage::with(without("g")).await;
    let mut client = stage.client().await;
    let beat = client.beat(TWO).await;
    for broker in [&stage.a, &stage.b] {
        let greeting = broker.accept().await.greet().await;
        assert_eq!(groups(&greeting), ["h"]);
    }
    assert_eq!(client.answer(beat).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn a_new_link_begins_with_the_heartbeat_as_filters_let_it_pass() {
    let stage = Stage::with(without("g")).await;
    let (mut client, mut at_a, _at_b) = beaten(&stage, TWO).await;
    let again = client.beat(TWO).await;
    client.answer(again).await;
    assert!(
        at_a.is_quiet(Duration::from_millis(20)).await,
        "the same heartbeat is sent once"
    );
    let c = crate::support::Broker::start("c");
    stage.ns.broker("c", &[(0, c.address)]);
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "c")]).await;
    let greeting = c.accept().await.greet().await;
    assert_eq!(groups(&greeting), ["h"]);
}

#[tokio::test]
async fn a_chain_that_removes_a_group_is_told_to_every_broker_at_once() {
    let stage = Stage::with(Vec::new()).await;
    let (mut client, mut at_a, mut at_b) = beaten(&stage, TWO).await;
    stage.swap(without("g"));
    for link in [&mut at_a, &mut at_b] {
        assert_eq!(groups(&link.greet().await), ["h"]);
        assert_eq!(left(link).await, ("consumerGroup", "g".to_owned()));
    }
    client.sync().await;
    assert!(client.leftovers().is_empty(), "the client hears nothing of it");
    // And back.
    stage.swap(Vec::new());
    for link in [&mut at_a, &mut at_b] {
        assert_eq!(groups(&link.greet().await), ["g", "h"]);
        assert!(link.is_quiet(Duration::from_millis(20)).await);
    }
}

#[tokio::test]
async fn a_chain_of_the_same_outcome_is_told_to_nobody() {
    let stage = Stage::with(without("g")).await;
    let (mut client, mut at_a, _at_b) = beaten(&stage, TWO).await;
    stage.swap(without("g"));
    client.sync().await;
    assert!(at_a.is_quiet(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_heartbeat_right_after_a_reload_does_not_hide_what_changed() {
    let stage = Stage::with(Vec::new()).await;
    let (mut client, mut at_a, _at_b) = beaten(&stage, TWO).await;
    // As if the heartbeat had come between the swap and the word of it.
    stage.swap(without("g"));
    client.beat(TWO).await;
    assert_eq!(groups(&at_a.greet().await), ["h"]);
    assert_eq!(left(&mut at_a).await, ("consumerGroup", "g".to_owned()));
}

#[tokio::test]
async fn a_chain_that_refuses_the_heartbeat_takes_the_client_out_of_every_group() {
    let stage = Stage::with(Vec::new()).await;
    let both = [Group::Consumer("g", "T"), Group::Producer("p")];
    let (mut client, mut at_a, _at_b) = beaten(&stage, &both).await;
    stage.swap(refusing());
    let gone = [left(&mut at_a).await, left(&mut at_a).await];
    assert_eq!(
        gone,
        [
            ("consumerGroup", "g".to_owned()),
            ("producerGroup", "p".to_owned())
        ]
    );
    client.sync().await;
    assert!(at_a.is_quiet(Duration::from_millis(20)).await);
}

#[tokio::test]
async fn a_refused_heartbeat_is_remembered_for_a_chain_that_lets_it_pass() {
    let stage = Stage::with(refusing()).await;
    let (mut client, mut link) = stage.linked().await;
    let beat = client.beat(TWO).await;
    let came = client.answer(beat).await;
    assert_eq!(came.command.remark.unwrap().as_str(), "no heartbeats");
    assert!(link.is_quiet(Duration::from_millis(20)).await);
    stage.swap(Vec::new());
    assert_eq!(groups(&link.greet().await), ["g", "h"]);
}

#[tokio::test]
async fn a_refused_heartbeat_after_one_that_passed_takes_the_client_out() {
    let refusing = Script::of(&[BEAT]).on_request(|subject| {
        let is_bad = subject
            .accesses()
            .iter()
            .any(|access| access.group.as_deref() == Some("bad"));
        Ok(if is_bad { no("bad") } else { Verdict::Forward })
    });
    let stage = Stage::with(refusing.alone()).await;
    let (mut client, mut at_a, _at_b) = beaten(&stage, &[Group::Consumer("g", "T")]).await;
    let bad = client
        .beat(&[Group::Consumer("g", "T"), Group::Consumer("bad", "T")])
        .await;
    assert_eq!(client.answer(bad).await.command.remark.unwrap().as_str(), "bad");
    assert_eq!(left(&mut at_a).await, ("consumerGroup", "g".to_owned()));
    // Good again.
    client.beat(&[Group::Consumer("g", "T")]).await;
    assert_eq!(groups(&at_a.greet().await), ["g"]);
}

#[tokio::test]
async fn what_the_client_left_on_its_own_stays_left_when_a_chain_changes_the_heartbeat() {
    let stage = Stage::with(Vec::new()).await;
    let three = [
        Group::Consumer("g", "T"),
        Group::Consumer("h", "T"),
        Group::Consumer("i", "T"),
    ];
    let (mut client, mut at_a, mut at_b) = beaten(&stage, &three).await;
    let leaving = client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("consumerGroup", "i")],
        )
        .await;
    for link in [&mut at_a, &mut at_b] {
        left(link).await;
    }
    client.answer(leaving).await;
    stage.swap(without("g"));
    assert_eq!(groups(&at_a.greet().await), ["h", "i"]);
    let mut gone = [left(&mut at_a).await.1, left(&mut at_a).await.1];
    gone.sort();
    assert_eq!(gone, ["g", "i"]);
}

#[tokio::test]
async fn leaving_a_group_does_not_forget_a_refused_heartbeat() {
    let stage = Stage::with(refusing()).await;
    let (mut client, mut link) = stage.linked().await;
    let beat = client.beat(TWO).await;
    client.answer(beat).await;
    let leaving = client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("consumerGroup", "h")],
        )
        .await;
    left(&mut link).await;
    client.answer(leaving).await;
    stage.swap(Vec::new());
    assert_eq!(groups(&link.greet().await), ["g", "h"]);
    assert_eq!(left(&mut link).await, ("consumerGroup", "h".to_owned()));
}
