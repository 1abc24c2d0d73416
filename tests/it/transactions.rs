//! Transactions: a check must carry the broker's name, and an end must find the broker that holds the half message.

use gimbal::config::Addressing;
use gimbal::protocol::{Command, FLAG_ONEWAY, Kind, request as rq, response};

use crate::support::{Broker, Client, Gimbal, Group, NameServer, Peer, Running, Speaks};

const CHECK: &[(&str, &str)] = &[
    ("msgId", "UNIQ1"),
    ("transactionId", "UNIQ1"),
    ("tranStateTableOffset", "42"),
    ("commitLogOffset", "4711"),
];
const END: &[(&str, &str)] = &[
    ("producerGroup", "p"),
    ("msgId", "UNIQ1"),
    ("transactionId", "UNIQ1"),
    ("tranStateTableOffset", "42"),
    ("commitLogOffset", "4711"),
    ("commitOrRollback", "8"),
];

async fn two() -> (Broker, Broker, NameServer, Running) {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns])
        .addressing(Addressing::Shared)
        .start()
        .await;
    (a, b, ns, proxy)
}

/// A producer registered at both brokers, with its links.
async fn producer(a: &Broker, b: &Broker, proxy: &Running) -> (Client, Peer, Peer) {
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    client.route("T").await;
    let beat = client.beat(&[Group::Producer("p")]).await;
    let links = (a.accept_greeted().await, b.accept_greeted().await);
    client.answer(beat).await;
    (client, links.0, links.1)
}

fn check() -> Command {
    let mut check = Command::request(rq::CHECK_TRANSACTION_STATE, 1);
    check.flag |= FLAG_ONEWAY;
    for (name, value) in CHECK {
        check.set_field(name, *value);
    }
    check
}

#[tokio::test]
async fn a_check_without_the_broker_name_gets_it() {
    let (a, b, _ns, proxy) = two().await;
    let (mut client, _at_a, mut at_b) = producer(&a, &b, &proxy).await;
    at_b.put(&check().with_body("record")).await;
    let came = client.pushed(rq::CHECK_TRANSACTION_STATE).await;
    assert_eq!(
        (came.field("bname"), came.text()),
        (Some("b"), "record".to_owned())
    );
}

#[tokio::test]
async fn a_check_with_a_name_keeps_its_bytes() {
    let (a, b, _ns, proxy) = two().await;
    let (mut client, mut at_a, _at_b) = producer(&a, &b, &proxy).await;
    let sent = check().with_field("bname", "a");
    at_a.put(&sent).await;
    let came = client.pushed(rq::CHECK_TRANSACTION_STATE).await;
    assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
}

#[tokio::test]
async fn an_end_on_another_connection_finds_the_broker_that_checked() {
    let (a, b, _ns, proxy) = two().await;
    let (mut client, _at_a, mut at_b) = producer(&a, &b, &proxy).await;
    at_b.put(&check()).await;
    client.pushed(rq::CHECK_TRANSACTION_STATE).await;
    let mut other = proxy.client_that(Speaks::NAMELESS).await;
    other.tell(rq::END_TRANSACTION, END).await;
    b.accept().await.expect(rq::END_TRANSACTION).await;
}

#[tokio::test]
async fn an_end_finds_the_broker_that_stored_the_half_message() {
    let (a, b, ns, proxy) = two().await;
    ns.topic("U", &[&b]);
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    client.route("T").await;
    let send = client
        .ask(rq::SEND_MESSAGE_V2, &[("b", "U"), ("e", "0"), ("c", "TBW102")])
        .await;
    let mut link = b.accept().await;
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    let stored = Command::answer(&asked.head, Kind::Json, response::SUCCESS)
        .with_field("msgId", "0A00000100002A9F0000000000001267")
        .with_field("queueOffset", "42")
        .with_field("queueId", "0")
        .with_field("transactionId", "UNIQ1");
    link.answer_with(&asked, stored).await;
    client.answer(send).await;
    client.tell(rq::END_TRANSACTION, END).await;
    link.expect(rq::END_TRANSACTION).await;
    drop(a);
}

#[tokio::test]
async fn an_end_that_names_the_broker_needs_no_memory() {
    let (_a, b, _ns, proxy) = two().await;
    let mut client = proxy.client().await;
    let mut fields = END.to_vec();
    fields.push(("bname", "b"));
    client.tell(rq::END_TRANSACTION, &fields).await;
    b.accept().await.expect(rq::END_TRANSACTION).await;
}

#[tokio::test]
async fn a_two_way_end_of_a_go_client_is_answered() {
    let (a, b, _ns, proxy) = two().await;
    let (mut client, mut at_a, _at_b) = producer(&a, &b, &proxy).await;
    at_a.put(&check()).await;
    client.pushed(rq::CHECK_TRANSACTION_STATE).await;
    let mut fields = END.to_vec();
    fields.push(("bname", ""));
    let opaque = client.ask(rq::END_TRANSACTION, &fields).await;
    let asked = at_a.expect(rq::END_TRANSACTION).await;
    at_a.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn an_end_of_an_unknown_half_message_is_an_error_or_dropped() {
    let (a, b, _ns, proxy) = two().await;
    let (mut client, mut at_a, mut at_b) = producer(&a, &b, &proxy).await;
    client.tell(rq::END_TRANSACTION, END).await;
    let answer = client.call(rq::END_TRANSACTION, END).await;
    assert_eq!(answer.head.code, response::SYSTEM_ERROR);
    client.sync().await;
    assert!(client.leftovers().is_empty());
    let moment = std::time::Duration::from_millis(50);
    assert!(at_a.is_quiet(moment).await && at_b.is_quiet(moment).await);
}
