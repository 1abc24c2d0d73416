//! Links: when they are opened, what goes over them first, and what becomes of them.

use std::time::Duration;

use gimbal::protocol::{Code, request as rq, response};
use tokio::time::Instant;

use crate::support::{Broker, Client, Gimbal, Group, NameServer, Peer, Running};

/// One broker with topic `T`.
async fn one() -> (Broker, NameServer, Running) {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    (a, ns, proxy)
}

/// A client with an answered heartbeat, and its link.
async fn registered(proxy: &Running, a: &Broker) -> (Client, Peer) {
    let mut client = proxy.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let link = a.accept_greeted().await;
    client.answer(beat).await;
    (client, link)
}

async fn round_trip(client: &mut Client, link: &mut Peer, code: Code) {
    let opaque = client.ask(code, &[("bname", "a"), ("topic", "T")]).await;
    let asked = link.expect(code).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn nobody_is_dialled_for_a_client_that_only_asks_for_routes() {
    let (a, _ns, proxy) = one().await;
    let mut client = proxy.client().await;
    client.route("T").await;
    assert!(a.is_left_alone(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn the_heartbeat_goes_first_on_a_new_link_and_its_answer_is_awaited() {
    let (a, ns, proxy) = one().await;
    let b = Broker::start("b");
    ns.topic("U", &[&b]);
    let (mut client, _link) = registered(&proxy, &a).await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "b")]).await;
    let mut fresh = b.accept().await;
    let beat = fresh.expect(rq::HEART_BEAT).await;
    assert!(beat.text().contains(r#""groupName":"g""#), "{}", beat.text());
    client.sync().await;
    assert!(
        fresh.is_quiet(Duration::from_millis(100)).await,
        "the answer is not there yet"
    );
    fresh.answer(&beat, response::SUCCESS).await;
    fresh.expect(rq::GET_MIN_OFFSET).await;
    client.sync().await;
    assert!(
        client.leftovers().is_empty(),
        "the replay's answer is not the client's"
    );
}

#[tokio::test]
async fn commands_flow_when_the_replayed_heartbeat_is_not_answered_in_time() {
    let (a, ns, proxy) = one().await;
    let b = Broker::start("b");
    ns.topic("U", &[&b]);
    let (mut client, _link) = registered(&proxy, &a).await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "b")]).await;
    client.tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "b")]).await;
    let mut fresh = b.accept().await;
    fresh.expect(rq::HEART_BEAT).await;
    fresh.expect(rq::UPDATE_CONSUMER_OFFSET).await;
    assert_eq!(
        client.answer(opaque).await.head.code,
        response::SERVICE_NOT_AVAILABLE,
        "it had as little time as the greeting, and was not sent"
    );
}

#[tokio::test]
async fn one_link_serves_a_session_and_a_broker_and_every_session_has_its_own() {
    let (a, _ns, proxy) = one().await;
    let (mut first, mut link) = registered(&proxy, &a).await;
    for code in [rq::GET_MIN_OFFSET, rq::GET_MAX_OFFSET, rq::PULL_MESSAGE] {
        round_trip(&mut first, &mut link, code).await;
    }
    assert!(a.is_left_alone(Duration::from_millis(50)).await);
    let (mut second, mut other) = registered(&proxy, &a).await;
    round_trip(&mut second, &mut other, rq::GET_MIN_OFFSET).await;
    round_trip(&mut first, &mut link, rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn the_links_of_a_client_that_leaves_are_closed_at_once() {
    let (a, _ns, proxy) = one().await;
    let (mut client, mut link) = registered(&proxy, &a).await;
    client
        .ask(
            rq::PULL_MESSAGE,
            &[
                ("bname", "a"),
                ("sysFlag", "2"),
                ("suspendTimeoutMillis", "15000"),
            ],
        )
        .await;
    link.expect(rq::PULL_MESSAGE).await;
    let left = Instant::now();
    drop(client);
    link.expect_end().await;
    assert!(left.elapsed() < Duration::from_secs(2), "{:?}", left.elapsed());
}

#[tokio::test]
async fn a_client_that_leaves_while_its_broker_is_dialled_leaves_nothing_behind() {
    let (a, _ns, proxy) = one().await;
    let mut client = proxy.client().await;
    client.beat(&[Group::Consumer("g", "T")]).await;
    let mut link = a.accept().await;
    link.expect(rq::HEART_BEAT).await;
    drop(client);
    link.expect_end().await;
}

#[tokio::test]
async fn requests_at_a_broker_that_goes_are_answered_unavailable_at_once() {
    let (a, _ns, proxy) = one().await;
    let (mut client, mut link) = registered(&proxy, &a).await;
    let pull = client
        .ask(
            rq::PULL_MESSAGE,
            &[
                ("bname", "a"),
                ("sysFlag", "2"),
                ("suspendTimeoutMillis", "15000"),
            ],
        )
        .await;
    let send = client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    link.expect(rq::PULL_MESSAGE).await;
    link.expect(rq::SEND_MESSAGE_V2).await;
    let gone = Instant::now();
    drop(a);
    link.reset();
    for opaque in [pull, send] {
        let answer = client.answer(opaque).await;
        assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
    }
    assert!(gone.elapsed() < Duration::from_secs(2), "{:?}", gone.elapsed());
}

#[tokio::test]
async fn a_lost_link_is_opened_and_greeted_again_without_the_client() {
    let (a, _ns, proxy) = one().await;
    let (mut client, link) = registered(&proxy, &a).await;
    drop(link);
    let mut link = a.accept_greeted().await;
    round_trip(&mut client, &mut link, rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_broker_that_restarts_gets_the_registration_back() {
    let (a, _ns, proxy) = one().await;
    let address = a.address;
    let (mut client, link) = registered(&proxy, &a).await;
    drop((link, a));
    let refused = client.call(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    assert_eq!(refused.head.code, response::SERVICE_NOT_AVAILABLE);
    let a = Broker::at("a", address);
    let mut link = a.accept_greeted().await;
    round_trip(&mut client, &mut link, rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_link_nobody_registered_on_stays_closed_until_it_is_wanted() {
    let (a, _ns, proxy) = one().await;
    let mut client = proxy.client().await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let link = a.accept().await;
    drop(link);
    assert!(a.is_left_alone(Duration::from_millis(300)).await);
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    a.accept().await.expect(rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_refused_connection_is_answered_unavailable_quickly() {
    let (a, _ns, proxy) = one().await;
    drop(a);
    let mut client = proxy.client().await;
    let asked = Instant::now();
    let answer = client.call(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
    let remark = answer.command.remark.unwrap();
    assert!(remark.as_str().contains("not sent"), "{remark:?}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn commands_follow_a_broker_to_its_new_address() {
    let (a, ns, proxy) = one().await;
    let (mut client, mut old) = registered(&proxy, &a).await;
    let parked = client.ask(rq::PULL_MESSAGE, &[("bname", "a")]).await;
    let pull = old.expect(rq::PULL_MESSAGE).await;
    let moved = Broker::start("a");
    ns.topic("T", &[&moved]);
    client.route("T").await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = moved.accept_greeted().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    old.answer(&pull, response::PULL_NOT_FOUND).await;
    assert_eq!(client.answer(parked).await.head.code, response::PULL_NOT_FOUND);
    old.expect_end().await;
}

#[tokio::test]
async fn a_broker_that_died_and_came_back_elsewhere_is_found_without_a_restart() {
    let (a, ns, proxy) = one().await;
    let (mut client, link) = registered(&proxy, &a).await;
    let moved = Broker::start("a");
    ns.topic("T", &[&moved]);
    drop((link, a));
    let mut link = moved.accept_greeted().await;
    round_trip(&mut client, &mut link, rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_slave_serves_pulls_and_refuses_sends_when_there_is_no_master() {
    let (master, ns, proxy) = one().await;
    let slave = Broker::start("a");
    ns.broker("a", &[(1, slave.address)]);
    let route = serde_json::json!({"queueDatas": [], "brokerDatas": [
        {"brokerName": "a", "cluster": "C", "brokerAddrs": {"1": slave.address.to_string()}}]});
    ns.route("T", &route.to_string());
    drop(master);
    let mut client = proxy.client().await;
    let send = client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    let pull = client
        .ask(rq::PULL_MESSAGE, &[("bname", "a"), ("topic", "T")])
        .await;
    let mut link = slave.accept().await;
    let asked = link.expect(rq::PULL_MESSAGE).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(pull).await.head.code, response::SUCCESS);
    assert_eq!(
        client.answer(send).await.head.code,
        response::SERVICE_NOT_AVAILABLE
    );
    let later = client.call(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    assert_eq!(later.head.code, response::SERVICE_NOT_AVAILABLE);
    client.tell(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    link.expect(rq::GET_MIN_OFFSET).await;
}

#[tokio::test]
async fn a_suggested_slave_is_hidden_from_the_client() {
    let (a, _ns, proxy) = one().await;
    let (mut client, mut link) = registered(&proxy, &a).await;
    let opaque = client
        .ask(rq::PULL_MESSAGE, &[("bname", "a"), ("topic", "T")])
        .await;
    let asked = link.expect(rq::PULL_MESSAGE).await;
    let answer = gimbal::protocol::Command::answer(&asked.head, asked.frame.kind(), response::PULL_NOT_FOUND)
        .with_field("suggestWhichBrokerId", "1")
        .with_field("nextBeginOffset", "7");
    link.answer_with(&asked, answer).await;
    let answer = client.answer(opaque).await;
    assert_eq!(
        (
            answer.field("suggestWhichBrokerId"),
            answer.field("nextBeginOffset")
        ),
        (Some("0"), Some("7"))
    );
}

#[tokio::test]
async fn a_broker_that_accepts_and_closes_is_not_dialled_in_a_storm() {
    let (a, _ns, proxy) = one().await;
    let (_client, link) = registered(&proxy, &a).await;
    drop(link);
    let mut dials = 0;
    let until = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < until && !a.is_left_alone(until - Instant::now()).await {
        dials += 1;
    }
    assert!((1..=6).contains(&dials), "{dials} dials in 1.5 s");
}
