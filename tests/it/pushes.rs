//! Requests of brokers to clients, and the answers that must find their way back.

use gimbal::config::Addressing;
use gimbal::protocol::{Command, FLAG_ONEWAY, Kind, request as rq, response};

use crate::support::{Broker, Client, Gimbal, Group, NameServer, Peer, Running, Speaks};

async fn two() -> (Client, Peer, Peer, Running, NameServer) {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let (at_a, at_b) = (a.accept_greeted().await, b.accept_greeted().await);
    client.answer(beat).await;
    (client, at_a, at_b, proxy, ns)
}

fn push(code: gimbal::protocol::Code, opaque: i32, oneway: bool) -> Command {
    let mut push = Command::request(code, opaque).with_field("consumerGroup", "g");
    if oneway {
        push.flag |= FLAG_ONEWAY;
    }
    push
}

#[tokio::test]
async fn one_way_pushes_reach_the_client_byte_for_byte() {
    let (mut client, mut at_a, _at_b, _proxy, _ns) = two().await;
    for code in [rq::NOTIFY_CONSUMER_IDS_CHANGED, rq::RESET_CONSUMER_CLIENT_OFFSET] {
        let mut sent = push(code, 5, true);
        sent.set_kind(Kind::Binary);
        let sent = sent.with_body("{1:{}}");
        at_a.put(&sent).await;
        let came = client.pushed(code).await;
        assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
    }
}

#[tokio::test]
async fn two_brokers_pushing_the_same_number_each_get_their_own_answer() {
    let (mut client, mut at_a, mut at_b, _proxy, _ns) = two().await;
    at_a.put(&push(rq::GET_CONSUMER_RUNNING_INFO, 7, false).with_body("a"))
        .await;
    at_b.put(&push(rq::GET_CONSUMER_RUNNING_INFO, 7, false).with_body("b"))
        .await;
    let first = client.pushed(rq::GET_CONSUMER_RUNNING_INFO).await;
    let second = client.pushed(rq::GET_CONSUMER_RUNNING_INFO).await;
    assert_ne!(first.head.opaque, second.head.opaque);
    for asked in [&second, &first] {
        let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS).with_body(asked.text());
        client.peer.answer_with(asked, answer).await;
    }
    assert_eq!(at_a.expect_answer(7).await.text(), "a");
    assert_eq!(at_b.expect_answer(7).await.text(), "b");
}

#[tokio::test]
async fn a_push_may_have_the_number_of_a_request_in_flight() {
    let (mut client, mut at_a, _at_b, _proxy, _ns) = two().await;
    let opaque = client.ask(rq::PULL_MESSAGE, &[("bname", "a")]).await;
    let pull = at_a.expect(rq::PULL_MESSAGE).await;
    at_a.put(&push(rq::CONSUME_MESSAGE_DIRECTLY, opaque, false)).await;
    let asked = client.pushed(rq::CONSUME_MESSAGE_DIRECTLY).await;
    client.peer.answer(&asked, response::SUCCESS).await;
    at_a.expect_answer(opaque).await;
    at_a.answer(&pull, response::PULL_NOT_FOUND).await;
    assert_eq!(client.answer(opaque).await.head.code, response::PULL_NOT_FOUND);
}

#[tokio::test]
async fn an_answer_to_a_push_of_a_broker_that_is_gone_reaches_no_other_broker() {
    let (mut client, mut at_a, mut at_b, _proxy, _ns) = two().await;
    at_a.put(&push(rq::GET_CONSUMER_RUNNING_INFO, 7, false)).await;
    let of_a = client.pushed(rq::GET_CONSUMER_RUNNING_INFO).await;
    let pull = client.ask(rq::PULL_MESSAGE, &[("bname", "a")]).await;
    at_a.expect(rq::PULL_MESSAGE).await;
    drop(at_a);
    // Answered once the link is gone.
    assert_eq!(
        client.answer(pull).await.head.code,
        response::SERVICE_NOT_AVAILABLE
    );
    at_b.put(&push(rq::GET_CONSUMER_STATUS_FROM_CLIENT, 7, false))
        .await;
    let of_b = client.pushed(rq::GET_CONSUMER_STATUS_FROM_CLIENT).await;
    client.peer.answer(&of_a, response::SYSTEM_ERROR).await;
    client.peer.answer(&of_b, response::SUCCESS).await;
    assert_eq!(at_b.expect_answer(7).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn a_push_reaches_the_session_whose_link_it_came_on() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut links = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.client().await;
        let beat = client.beat(&[Group::Consumer("g", "T")]).await;
        links.push(a.accept_greeted().await);
        client.answer(beat).await;
        clients.push(client);
    }
    links[1]
        .put(&push(rq::NOTIFY_CONSUMER_IDS_CHANGED, 1, true))
        .await;
    clients[1].pushed(rq::NOTIFY_CONSUMER_IDS_CHANGED).await;
    for client in &mut clients {
        client.sync().await;
        assert!(client.leftovers().is_empty());
    }
}

#[tokio::test]
async fn a_reply_pushed_to_the_asker_is_answered_to_the_broker() {
    let (mut client, _at_a, mut at_b, _proxy, _ns) = two().await;
    let mut reply = push(rq::PUSH_REPLY_MESSAGE_TO_CLIENT, 3, false).with_body(vec![0, 1, 2]);
    reply.set_field("storeHost", "10.1.1.1:10911");
    at_b.put(&reply).await;
    let came = client.pushed(rq::PUSH_REPLY_MESSAGE_TO_CLIENT).await;
    assert_eq!(
        came.field("storeHost"),
        Some("10.1.1.1:10911"),
        "nobody asked to rewrite it"
    );
    client.peer.answer(&came, response::SUCCESS).await;
    at_b.expect_answer(3).await;
}

#[tokio::test]
async fn store_hosts_in_pushes_are_rewritten_where_asked() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let mut gimbal = Gimbal::before(&[&ns]);
    gimbal.listener().rewrite_store_host = true;
    gimbal.listener().advertise = Some("127.0.0.1".to_owned());
    let proxy = gimbal.start().await;
    let port = {
        let mut nameless = proxy.client_that(Speaks::NAMELESS).await;
        crate::support::address_of(&nameless.route("T").await, "a")
    };
    let mut client = proxy.client().await;
    client.beat(&[Group::Consumer("g", "T")]).await;
    let mut link = a.accept_greeted().await;
    let mut reply = push(rq::PUSH_REPLY_MESSAGE_TO_CLIENT, 3, true);
    reply.set_field("storeHost", "10.1.1.1:10911");
    link.put(&reply).await;
    let came = client.pushed(rq::PUSH_REPLY_MESSAGE_TO_CLIENT).await;
    assert_eq!(came.field("storeHost"), Some(port.as_str()));
    // The first send on a link that is still being opened is rewritten like every other.
    let send = client.ask(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]).await;
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS)
        .with_field("msgId", "0A00000100002A9F00000000000003E8");
    link.answer_with(&asked, answer).await;
    let digits: u16 = port.rsplit(':').next().unwrap().parse().unwrap();
    let expected = format!("7F000001{digits:08X}00000000000003E8");
    assert_eq!(client.answer(send).await.field("msgId"), Some(expected.as_str()));
}

#[tokio::test]
async fn names_a_client_makes_up_take_no_ports() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let mut gimbal = Gimbal::before(&[&ns]).addressing(Addressing::PerBroker);
    gimbal.listener().rewrite_store_host = true;
    gimbal.listener().advertise = Some("127.0.0.1".to_owned());
    let proxy = gimbal.start().await;
    let mut client = proxy.client().await;
    for name in 0..20 {
        let answer = client
            .call(rq::GET_MIN_OFFSET, &[("bname", &format!("made-up-{name}"))])
            .await;
        assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
    }
    // The range has room for eight; a real broker still finds some.
    client.route("T").await;
}
