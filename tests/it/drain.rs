//! Leaving in order: what is parked is answered, what is in flight is finished, and clients go when it costs them least.

use std::time::Duration;

use gimbal::protocol::{Code, Command, Language, request as rq, response};
use tokio::time::Instant;

use crate::support::{Broker, Client, Gimbal, Group, NameServer, Peer, Running, Speaks};

const PULL: &[(&str, &str)] = &[
    ("bname", "a"),
    ("topic", "T"),
    ("queueOffset", "77"),
    ("sysFlag", "2"),
    ("suspendTimeoutMillis", "15000"),
];

async fn one(change: impl FnOnce(&mut gimbal::config::Config)) -> (Broker, NameServer, Running) {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).with(change).start().await;
    (a, ns, proxy)
}

async fn registered(proxy: &Running, a: &Broker, speaks: Speaks) -> (Client, Peer) {
    let mut client = proxy.client_that(speaks).await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let link = a.accept_greeted().await;
    client.answer(beat).await;
    (client, link)
}

#[tokio::test]
async fn a_parked_pull_is_answered_with_nothing_new_at_the_offset_asked() {
    let (a, _ns, proxy) = one(|_| {}).await;
    let (mut client, mut link) = registered(&proxy, &a, Speaks::java(453)).await;
    let pull = client.ask(rq::PULL_MESSAGE, PULL).await;
    link.expect(rq::PULL_MESSAGE).await;
    let draining = tokio::spawn(proxy.proxy.drain());
    let answer = client.answer(pull).await;
    assert_eq!(answer.head.code, response::PULL_NOT_FOUND);
    assert_eq!(
        (
            answer.field("nextBeginOffset"),
            answer.field("suggestWhichBrokerId")
        ),
        (Some("77"), Some("0"))
    );
    client.peer.expect_end().await;
    draining.await.unwrap();
}

#[tokio::test]
async fn a_parked_pull_of_a_link_not_ready_yet_is_answered_too() {
    let (a, _ns, proxy) = one(|_| {}).await;
    let mut client = proxy.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let mut link = a.accept().await;
    link.expect(rq::HEART_BEAT).await;
    let pull = client.ask(rq::PULL_MESSAGE, PULL).await;
    client.sync().await;
    let draining = tokio::spawn(proxy.proxy.drain());
    assert_eq!(client.answer(pull).await.head.code, response::PULL_NOT_FOUND);
    client.answer(beat).await;
    client.peer.expect_end().await;
    draining.await.unwrap();
}

#[tokio::test]
async fn a_send_in_flight_is_finished() {
    let (a, _ns, proxy) = one(|_| {}).await;
    let (mut client, mut link) = registered(&proxy, &a, Speaks::java(453)).await;
    let send = client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    let pull = client.ask(rq::PULL_MESSAGE, PULL).await;
    link.expect(rq::PULL_MESSAGE).await;
    let draining = tokio::spawn(proxy.proxy.drain());
    client.answer(pull).await;
    link.answer_with(
        &asked,
        Command::request(response::SUCCESS, 0).with_field("msgId", "id"),
    )
    .await;
    assert_eq!(client.answer(send).await.field("msgId"), Some("id"));
    client.peer.expect_end().await;
    link.expect_end().await;
    draining.await.unwrap();
}

#[tokio::test]
async fn clients_that_beat_on_connecting_are_let_go_at_once_and_then_the_drain_is_over() {
    let (a, _ns, proxy) = one(|_| {}).await;
    let (mut young, _link) = registered(&proxy, &a, Speaks::java(453)).await;
    let mut unregistered = proxy.client_that(Speaks::NAMELESS).await;
    unregistered.sync().await;
    let mut silent = proxy.client().await;
    let since = Instant::now();
    let draining = tokio::spawn(proxy.proxy.drain());
    young.peer.expect_end().await;
    unregistered.peer.expect_end().await;
    silent.peer.expect_end().await;
    drop((young, unregistered, silent));
    draining.await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_beat_on_connecting_is_served_until_it_must_go() {
    let (a, _ns, proxy) = one(|c| c.drain.deadline = Duration::from_secs(2)).await;
    let go = Speaks {
        language: Language::GO,
        version: 317,
        ..Speaks::NAMED
    };
    let (mut client, mut link) = registered(&proxy, &a, go).await;
    let (mut early, _other) = registered(&proxy, &a, Speaks::java(453)).await;
    let since = Instant::now();
    let draining = tokio::spawn(proxy.proxy.drain());
    early.peer.expect_end().await;
    let pull = client.ask(rq::PULL_MESSAGE, PULL).await;
    let asked = link.expect(rq::PULL_MESSAGE).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(pull).await.head.code, response::SUCCESS);
    client.peer.expect_end().await;
    assert!(
        since.elapsed() > Duration::from_millis(1_500),
        "{:?}",
        since.elapsed()
    );
    draining.await.unwrap();
}

#[tokio::test]
async fn nobody_is_accepted_once_draining_has_begun_but_until_the_delay_is_over() {
    let (_a, _ns, proxy) = one(|c| c.drain.delay = Duration::from_millis(700)).await;
    let address = proxy.address;
    let draining = tokio::spawn(proxy.proxy.drain());
    let mut client = Client::connect(address, Speaks::NAMED).await;
    client.route("T").await;
    client.peer.expect_end().await;
    draining.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_deadline_closes_what_has_not_finished() {
    let (a, _ns, proxy) = one(|c| c.drain.deadline = Duration::from_millis(500)).await;
    let (mut client, mut link) = registered(&proxy, &a, Speaks::java(453)).await;
    client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    link.expect(rq::SEND_MESSAGE_V2).await;
    let since = Instant::now();
    proxy.proxy.drain().await;
    assert!(
        since.elapsed() < Duration::from_millis(2_300),
        "{:?}",
        since.elapsed()
    );
    link.expect_end().await;
}

#[tokio::test]
async fn clients_that_understand_it_are_told_to_go_away_where_the_operator_says_so() {
    let (a, _ns, proxy) = one(|c| c.drain.go_away = true).await;
    let (mut client, mut link) = registered(&proxy, &a, Speaks::java(476)).await;
    let pull = client.ask(rq::PULL_MESSAGE, PULL).await;
    link.expect(rq::PULL_MESSAGE).await;
    let draining = tokio::spawn(proxy.proxy.drain());
    assert_eq!(client.answer(pull).await.head.code, response::PULL_NOT_FOUND);
    let again = client.call(rq::PULL_MESSAGE, PULL).await;
    assert_eq!(again.head.code, response::GO_AWAY);
    drop(client);
    draining.await.unwrap();
}

#[tokio::test]
async fn a_client_that_stays_although_told_to_go_is_closed_after_a_while() {
    let (a, _ns, proxy) = one(|c| c.drain.go_away = true).await;
    let (mut client, _link) = registered(&proxy, &a, Speaks::java(476)).await;
    let draining = tokio::spawn(proxy.proxy.drain());
    // The drain may not have reached this session yet; from some question on it has.
    loop {
        let opaque = client.ask(Code(3_442), &[]).await;
        if client.answer(opaque).await.head.code == response::GO_AWAY {
            break;
        }
    }
    let since = Instant::now();
    client.peer.expect_end().await;
    assert!(
        since.elapsed() > Duration::from_secs(2),
        "others may still come: {:?}",
        since.elapsed()
    );
    drop(client);
    draining.await.unwrap();
}

#[tokio::test]
async fn nobody_is_told_to_go_away_who_does_not_understand_it() {
    let (a, _ns, proxy) = one(|c| c.drain.go_away = true).await;
    let go = Speaks {
        language: Language::GO,
        version: 500,
        ..Speaks::NAMED
    };
    for speaks in [Speaks::java(475), go] {
        let mut client = proxy.client_that(speaks).await;
        let send = client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
        let mut link = a.accept().await;
        let asked = link.expect(rq::SEND_MESSAGE_V2).await;
        link.answer(&asked, response::SUCCESS).await;
        client.answer(send).await;
    }
    let mut old = proxy.client_that(Speaks::java(475)).await;
    let pull = old.ask(rq::PULL_MESSAGE, PULL).await;
    let mut link = a.accept().await;
    link.expect(rq::PULL_MESSAGE).await;
    let draining = tokio::spawn(proxy.proxy.drain());
    assert_eq!(old.answer(pull).await.head.code, response::PULL_NOT_FOUND);
    old.peer.expect_end().await;
    drop(old);
    draining.await.unwrap();
}

#[tokio::test]
async fn nobody_is_told_to_go_away_where_the_operator_does_not_say_so() {
    let (a, _ns, proxy) = one(|_| {}).await;
    let (mut client, mut link) = registered(&proxy, &a, Speaks::java(600)).await;
    let send = client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    let pull = client.ask(rq::PULL_MESSAGE, PULL).await;
    link.expect(rq::PULL_MESSAGE).await;
    let draining = tokio::spawn(proxy.proxy.drain());
    client.answer(pull).await;
    client.ask(rq::PULL_MESSAGE, PULL).await;
    link.answer(&asked, response::SUCCESS).await;
    client.answer(send).await;
    client.peer.expect_end().await;
    draining.await.unwrap();
}
