//! Peers that do not read: whoever feeds them is not read either, memory stays bounded, and nobody else stalls for long.

use std::time::Duration;

use gimbal::protocol::{Command, FLAG_ONEWAY, request as rq, response};
use tokio::time::Instant;

use crate::support::{Broker, Gimbal, Group, NameServer, Received, Running};

const QUIET: Duration = Duration::from_millis(500);
const FAR_TOO_MUCH: usize = 256 << 20;

async fn two(queue: usize) -> (Broker, Broker, NameServer, Running) {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.limits.queue = queue)
        .start()
        .await;
    (a, b, ns, proxy)
}

fn big_push() -> Vec<u8> {
    let mut push = Command::request(rq::RESET_CONSUMER_CLIENT_OFFSET, 1).with_body(vec![b'x'; 60_000]);
    push.flag |= FLAG_ONEWAY;
    push.encode().unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_broker_being_read() {
    let (a, _b, _ns, proxy) = two(256 << 10).await;
    let mut client = proxy.client().await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    let push = big_push();
    let written = link.put_until_stuck(&push, QUIET, FAR_TOO_MUCH).await;
    assert!(written < FAR_TOO_MUCH, "{written} bytes went nowhere");
    // The client reads on: everything comes, in order, and then the answer.
    let rest = push.len() - written % push.len();
    let (pushes, ()) = tokio::join!(
        async {
            let mut pushes = 0;
            loop {
                let received = client.peer.next().await;
                if received.head.is_response() {
                    return pushes;
                }
                assert_eq!(received.command.body.len(), 60_000);
                pushes += 1;
            }
        },
        async {
            if rest < push.len() {
                link.put_bytes(&push[push.len() - rest..]).await;
            }
            link.answer(&asked, response::SUCCESS).await;
        }
    );
    assert_eq!(pushes, written.div_ceil(push.len()));
}

#[tokio::test]
async fn two_brokers_feeding_a_slow_client_are_both_read_to_the_end() {
    let (a, b, _ns, proxy) = two(64 << 10).await;
    let mut client = proxy.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let (mut at_a, mut at_b) = (a.accept_greeted().await, b.accept_greeted().await);
    client.answer(beat).await;
    let push = big_push();
    let count = 600;
    let feed = |link: &mut crate::support::Peer| {
        let all = push.repeat(count);
        let link = std::mem::replace(link, unused());
        tokio::spawn(async move {
            let mut link = link;
            link.put_bytes(&all).await;
            link
        })
    };
    let feeders = [feed(&mut at_a), feed(&mut at_b)];
    for number in 0..2 * count {
        client.peer.expect(rq::RESET_CONSUMER_CLIENT_OFFSET).await;
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for feeder in feeders {
        feeder.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_is_read_no_further_while_its_broker_takes_nothing() {
    let (a, _b, _ns, proxy) = two(256 << 10).await;
    let mut client = proxy.client().await;
    let mut send = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]);
    send.flag |= FLAG_ONEWAY;
    send.body = vec![b'x'; 60_000].into();
    let bytes = send.encode().unwrap().to_bytes();
    let (written, _link) = tokio::join!(
        client.peer.put_until_stuck(&bytes, QUIET, FAR_TOO_MUCH),
        a.accept()
    );
    assert!(written < FAR_TOO_MUCH, "{written} bytes went nowhere");
}

#[tokio::test]
async fn a_stuck_broker_is_given_up_after_ten_seconds_and_the_session_goes_on() {
    let (a, b, _ns, proxy) = two(64 << 10).await;
    let mut client = proxy.client().await;
    let mut send = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]);
    send.flag |= FLAG_ONEWAY;
    send.body = vec![b'x'; 60_000].into();
    let bytes = send.encode().unwrap().to_bytes();
    let (written, _stuck) = tokio::join!(
        client.peer.put_until_stuck(&bytes, QUIET, FAR_TOO_MUCH),
        a.accept()
    );
    // What the client has sent already must not find it again and get stuck once more.
    drop(a);
    let since = Instant::now();
    let rest = &bytes[written % bytes.len()..];
    if rest.len() < bytes.len() {
        client.peer.put_bytes(rest).await;
    }
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "b")]).await;
    let mut link = b.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    client.answer(opaque).await;
    assert!(since.elapsed() < Duration::from_secs(13), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_broker_slow_to_answer_stalls_no_other_broker() {
    let (a, b, _ns, proxy) = two(4 << 20).await;
    let mut client = proxy.client().await;
    for _ in 0..50 {
        client
            .ask_with(
                rq::SEND_MESSAGE_V2,
                &[("n", "a"), ("b", "T")],
                &"x".repeat(10_000),
            )
            .await;
    }
    let _silent = a.accept().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "b")]).await;
    let mut link = b.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn what_filled_the_queue_while_the_link_was_greeted_does_not_stop_the_client_for_good() {
    let (a, _b, _ns, proxy) = two(16 << 10).await;
    let mut client = proxy.client().await;
    client.beat(&[Group::Consumer("g", "T")]).await;
    let mut link = a.accept().await;
    let beat = link.expect(rq::HEART_BEAT).await;
    for number in 0..12 {
        let number = number.to_string();
        let mut send = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T"), ("e", &number)]);
        send.flag |= FLAG_ONEWAY;
        send.body = vec![b'x'; 6_000].into();
        client.peer.put(&send).await;
    }
    link.answer(&beat, response::SUCCESS).await;
    let started = Instant::now();
    for number in 0..12 {
        let sent: Received = link.expect(rq::SEND_MESSAGE_V2).await;
        assert_eq!(sent.field("e"), Some(number.to_string().as_str()));
    }
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn frames_already_read_are_not_forgotten_when_the_queue_was_full_for_a_moment() {
    let (a, _b, _ns, proxy) = two(1 << 10).await;
    let mut client = proxy.client().await;
    client.tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    link.expect(rq::UPDATE_CONSUMER_OFFSET).await;
    // One write, read at once, many times the queue's limit.
    let mut bytes = Vec::new();
    for number in 0..60 {
        let number = number.to_string();
        let mut told = client.command(
            rq::UPDATE_CONSUMER_OFFSET,
            &[("bname", "a"), ("commitOffset", &number)],
        );
        told.flag |= FLAG_ONEWAY;
        told.body = vec![b'x'; 900].into();
        bytes.extend_from_slice(&told.encode().unwrap().to_bytes());
    }
    client.peer.put_bytes(&bytes).await;
    for number in 0..60 {
        let told = link.expect(rq::UPDATE_CONSUMER_OFFSET).await;
        assert_eq!(told.field("commitOffset"), Some(number.to_string().as_str()));
    }
}

/// A connection to nowhere in particular, to stand in for one that was moved out.
fn unused() -> crate::support::Peer {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_nonblocking(true).unwrap();
    crate::support::Peer::new(tokio::net::TcpStream::from_std(stream).unwrap(), "unused")
}
