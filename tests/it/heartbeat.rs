//! Heartbeats and unregistrations: at whom, how often, and what the client is told.

use std::time::Duration;

use gimbal::config::Addressing;
use gimbal::protocol::{Command, request as rq, response};

use crate::support::{Broker, Gimbal, Group, NameServer, Peer, Running, Speaks};

const CONSUMER: &[Group<'_>] = &[
    Group::Consumer("g", "T"),
    Group::Producer("CLIENT_INNER_PRODUCER"),
];

async fn two() -> (Broker, Broker, NameServer, Running) {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    (a, b, ns, proxy)
}

async fn say(link: &mut Peer, version: i32, v2: bool) {
    let beat = link.expect(rq::HEART_BEAT).await;
    let mut answer = Command::answer(&beat.head, beat.frame.kind(), response::SUCCESS);
    answer.version = version;
    if v2 {
        answer.set_field("IS_SUPPORT_HEART_BEAT_V2", "true");
        answer.set_field("IS_SUB_CHANGE", "true");
    }
    link.answer_with(&beat, answer).await;
}

#[tokio::test]
async fn a_burst_of_equal_heartbeats_reaches_every_broker_once() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let mut beats = Vec::new();
    for _ in 0..4 {
        beats.push(client.beat(CONSUMER).await);
    }
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    for beat in beats {
        assert_eq!(client.answer(beat).await.head.code, response::SUCCESS);
    }
    let beat = client.beat(CONSUMER).await;
    client.answer(beat).await;
    for link in &mut links {
        assert!(link.is_quiet(Duration::from_millis(50)).await, "one is enough");
    }
}

#[tokio::test]
async fn a_burst_over_open_links_reaches_every_broker_once_too() {
    let (a, b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let beat = client.beat(CONSUMER).await;
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    client.answer(beat).await;
    // The new topic must be asked for first, as any topic must after a while.
    ns.topic("U", &[&a, &b]);
    let groups = [Group::Consumer("g", "T"), Group::Consumer("h", "U")];
    let mut beats = Vec::new();
    for _ in 0..4 {
        beats.push(client.beat(&groups).await);
    }
    for link in &mut links {
        link.greet().await;
    }
    for beat in beats {
        assert_eq!(client.answer(beat).await.head.code, response::SUCCESS);
    }
    for link in &mut links {
        assert!(link.is_quiet(Duration::from_millis(50)).await, "one is enough");
    }
}

#[tokio::test]
async fn the_answer_has_the_lowest_version_and_no_promise_of_short_heartbeats() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client.beat(CONSUMER).await;
    say(&mut a.accept().await, 503, true).await;
    say(&mut b.accept().await, 401, true).await;
    let answer = client.answer(opaque).await;
    assert_eq!((answer.head.code, answer.head.version), (response::SUCCESS, 401));
    assert_eq!(answer.field("IS_SUPPORT_HEART_BEAT_V2"), None);
}

#[tokio::test]
async fn a_heartbeat_of_nothing_is_answered_with_a_version_of_brokers() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let opaque = client.beat(&[Group::Producer("p")]).await;
    let answer = client.answer(opaque).await;
    assert_eq!(answer.head.code, response::SUCCESS);
    assert!(
        answer.head.version >= 232,
        "SQL filters need it: {}",
        answer.head.version
    );
}

#[tokio::test]
async fn one_broker_down_does_not_fail_the_heartbeat_and_gets_it_later() {
    let (a, b, _ns, proxy) = two().await;
    let address = b.address;
    drop(b);
    let mut client = proxy.client().await;
    let opaque = client.beat(CONSUMER).await;
    a.accept_greeted().await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
    let b = Broker::at("b", address);
    b.accept_greeted().await;
}

#[tokio::test]
async fn a_broker_that_refuses_the_heartbeat_gets_it_again_before_the_next_beat() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client.beat(CONSUMER).await;
    let _at_a = a.accept_greeted().await;
    let mut at_b = b.accept().await;
    let beat = at_b.expect(rq::HEART_BEAT).await;
    at_b.answer(&beat, response::SYSTEM_BUSY).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
    at_b.greet().await;
    client.sync().await;
    assert!(
        client.leftovers().is_empty(),
        "the repetition is not the client's"
    );
}

#[tokio::test]
async fn every_broker_down_fails_the_heartbeat() {
    let (a, b, _ns, proxy) = two().await;
    drop((a, b));
    let mut client = proxy.client().await;
    let opaque = client.beat(CONSUMER).await;
    let answer = client.answer(opaque).await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
}

#[tokio::test]
async fn a_changed_subscription_goes_to_every_broker_again() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let first = client.beat(CONSUMER).await;
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    client.answer(first).await;
    let changed = client.beat(&[Group::Consumer("h", "T")]).await;
    for link in &mut links {
        let beat = link.greet().await;
        assert!(beat.text().contains(r#""groupName":"h""#), "{}", beat.text());
    }
    assert_eq!(client.answer(changed).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn the_newest_heartbeat_is_the_one_replayed() {
    let (a, b, ns, proxy) = two().await;
    let c = Broker::start("c");
    ns.broker("c", &[(0, c.address)]);
    let mut client = proxy.client().await;
    let first = client.beat(CONSUMER).await;
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    client.answer(first).await;
    client.beat(&[Group::Consumer("h", "T")]).await;
    for link in &mut links {
        link.greet().await;
    }
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "c")]).await;
    let mut link = c.accept().await;
    let beat = link.greet().await;
    assert!(beat.text().contains(r#""groupName":"h""#), "{}", beat.text());
    link.expect(rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_new_broker_of_a_topic_gets_the_heartbeat_when_its_route_is_asked_for() {
    let (a, b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client.beat(CONSUMER).await;
    a.accept_greeted().await;
    b.accept_greeted().await;
    client.answer(opaque).await;
    let c = Broker::start("c");
    ns.topic("T", &[&a, &b, &c]);
    client.route("T").await;
    c.accept_greeted().await;
}

#[tokio::test]
async fn an_unregistration_reaches_every_broker_and_is_not_undone_by_a_replay() {
    let (a, b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client
        .beat(&[Group::Consumer("g", "T"), Group::Consumer("h", "T")])
        .await;
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    client.answer(opaque).await;
    let opaque = client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("consumerGroup", "g")],
        )
        .await;
    for link in &mut links {
        let left = link.expect(rq::UNREGISTER_CLIENT).await;
        assert_eq!(left.field("consumerGroup"), Some("g"));
        link.answer(&left, response::SUCCESS).await;
    }
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
    let c = Broker::start("c");
    ns.broker("c", &[(0, c.address)]);
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "c")]).await;
    let mut fresh = c.accept().await;
    fresh.greet().await;
    let left = fresh.expect(rq::UNREGISTER_CLIENT).await;
    assert_eq!(left.field("consumerGroup"), Some("g"));
    fresh.expect(rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_client_that_has_left_every_group_is_spoken_for_no_more() {
    let (a, b, ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client.beat(&[Group::Consumer("g", "T")]).await;
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    client.answer(opaque).await;
    client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("consumerGroup", "g")],
        )
        .await;
    for link in &mut links {
        link.expect(rq::UNREGISTER_CLIENT).await;
    }
    let c = Broker::start("c");
    ns.broker("c", &[(0, c.address)]);
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "c")]).await;
    c.accept().await.expect(rq::GET_MIN_OFFSET).await;
    drop(links);
    assert!(
        a.is_left_alone(Duration::from_millis(300)).await,
        "nothing to come back for"
    );
}

#[tokio::test]
async fn a_heartbeat_after_leaving_a_group_is_a_new_one_even_if_it_looks_the_same() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let groups = [Group::Consumer("g", "T"), Group::Consumer("h", "T")];
    let opaque = client.beat(&groups).await;
    let mut links = [a.accept_greeted().await, b.accept_greeted().await];
    client.answer(opaque).await;
    client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("consumerGroup", "g")],
        )
        .await;
    let again = client.beat(&groups).await;
    for link in &mut links {
        let left = link.expect(rq::UNREGISTER_CLIENT).await;
        link.answer(&left, response::SUCCESS).await;
        link.greet().await;
    }
    client.answer(again).await;
}

#[tokio::test]
async fn a_producer_is_made_known_to_every_master_of_a_topic_it_sends_to() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let opaque = client.beat(&[Group::Producer("p")]).await;
    client.answer(opaque).await;
    client
        .ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T"), ("e", "0")])
        .await;
    let mut at_a = a.accept_greeted().await;
    at_a.expect(rq::SEND_MESSAGE_V2).await;
    b.accept_greeted().await;
}

#[tokio::test]
async fn a_producer_that_names_no_broker_is_made_known_to_every_master_too() {
    let (a, b, ns, _) = two().await;
    let proxy = Gimbal::before(&[&ns])
        .addressing(Addressing::Shared)
        .start()
        .await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let opaque = client.beat(&[Group::Producer("p")]).await;
    client.answer(opaque).await;
    client
        .ask(rq::SEND_MESSAGE, &[("topic", "T"), ("queueId", "0")])
        .await;
    a.accept_greeted().await;
    b.accept_greeted().await;
}

#[tokio::test]
async fn on_a_port_a_heartbeat_goes_to_the_broker_of_the_port_and_no_further() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client_on_port_of("a", "T").await;
    let opaque = client.beat(CONSUMER).await;
    a.accept_greeted().await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
    assert!(b.is_left_alone(Duration::from_millis(50)).await);
}

#[tokio::test]
async fn a_heartbeat_that_cannot_be_read_is_answered_with_an_error() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let opaque = client.ask_with(rq::HEART_BEAT, &[], "no json").await;
    assert_eq!(client.answer(opaque).await.head.code, response::SYSTEM_ERROR);
}
