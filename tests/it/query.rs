//! `QUERY_MESSAGE` on the shared address: one question, every broker, one answer.

use gimbal::config::Addressing;
use gimbal::protocol::{Command, request as rq, response};

use crate::support::{Broker, Gimbal, NameServer, Peer, Running, Speaks};

const KEY: &[(&str, &str)] = &[("topic", "T"), ("key", "k"), ("maxNum", "32")];

async fn two() -> (Broker, Broker, NameServer, Running) {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns])
        .addressing(Addressing::Shared)
        .start()
        .await;
    (a, b, ns, proxy)
}

async fn found(link: &mut Peer, body: &'static str, stamp: &str) {
    let asked = link.expect(rq::QUERY_MESSAGE).await;
    let answer = Command::answer(&asked.head, asked.frame.kind(), response::SUCCESS)
        .with_field("indexLastUpdateTimestamp", stamp)
        .with_body(body);
    link.answer_with(&asked, answer).await;
}

#[tokio::test]
async fn the_first_of_a_burst_gets_all_messages_and_the_others_nothing_new() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let first = client.ask(rq::QUERY_MESSAGE, KEY).await;
    let second = client.ask(rq::QUERY_MESSAGE, KEY).await;
    let (mut at_a, mut at_b) = (a.accept().await, b.accept().await);
    found(&mut at_b, "from b", "9").await;
    found(&mut at_a, "from a", "7").await;
    let answer = client.answer(first).await;
    assert_eq!(answer.head.code, response::SUCCESS);
    let text = answer.text();
    assert!(text == "from afrom b" || text == "from bfrom a", "{text}");
    assert_eq!(answer.field("indexLastUpdateTimestamp"), Some("9"));
    assert_eq!(client.answer(second).await.head.code, response::QUERY_NOT_FOUND);
    // Later questions are questions again.
    let third = client.ask(rq::QUERY_MESSAGE, KEY).await;
    found(&mut at_a, "again", "7").await;
    found(&mut at_b, "", "9").await;
    assert_eq!(client.answer(third).await.text(), "again");
}

#[tokio::test]
async fn found_at_one_broker_is_found() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let opaque = client.ask(rq::QUERY_MESSAGE, KEY).await;
    let (mut at_a, mut at_b) = (a.accept().await, b.accept().await);
    let asked = at_a.expect(rq::QUERY_MESSAGE).await;
    at_a.answer(&asked, response::QUERY_NOT_FOUND).await;
    found(&mut at_b, "from b", "9").await;
    let answer = client.answer(opaque).await;
    assert_eq!(
        (answer.head.code, answer.text()),
        (response::SUCCESS, "from b".to_owned())
    );
}

#[tokio::test]
async fn found_nowhere_is_not_found() {
    let (a, b, _ns, proxy) = two().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let opaque = client.ask(rq::QUERY_MESSAGE, KEY).await;
    let (mut at_a, mut at_b) = (a.accept().await, b.accept().await);
    for link in [&mut at_a, &mut at_b] {
        let asked = link.expect(rq::QUERY_MESSAGE).await;
        link.answer(&asked, response::QUERY_NOT_FOUND).await;
    }
    assert_eq!(client.answer(opaque).await.head.code, response::QUERY_NOT_FOUND);
    // Brokers index a moment after storing: who asks again at once asks all brokers again.
    let opaque = client.ask(rq::QUERY_MESSAGE, KEY).await;
    found(&mut at_a, "from a", "7").await;
    found(&mut at_b, "", "7").await;
    assert_eq!(client.answer(opaque).await.text(), "from a");
}

#[tokio::test]
async fn one_broker_down_leaves_the_messages_of_the_others() {
    let (a, b, _ns, proxy) = two().await;
    drop(b);
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let opaque = client.ask(rq::QUERY_MESSAGE, KEY).await;
    found(&mut a.accept().await, "from a", "7").await;
    assert_eq!(client.answer(opaque).await.text(), "from a");
}
