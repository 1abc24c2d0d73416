//! The first bytes of a connection, and bytes that are not commands.

use std::time::Duration;

use gimbal::protocol::{request as rq, response};

use crate::support::{Broker, Gimbal, NameServer, SOON};

#[tokio::test]
async fn foreign_first_bytes_are_closed() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    for first in [
        &b"\x16\x03\x01\x00\x05"[..],
        b"PROXY TCP4 ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"\xff",
    ] {
        let mut client = proxy.client().await;
        client.peer.put_bytes(first).await;
        client.peer.expect_end().await;
    }
}

#[tokio::test]
async fn malformed_bytes_close_that_session_and_no_other() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut healthy = proxy.client().await;
    let opaque = healthy.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    let too_long = (17_u32 << 20).to_be_bytes();
    let bad_type = [0, 0, 0, 8, 9, 0, 0, 2, b'{', b'}', 0, 0];
    let bad_json = [0, 0, 0, 6, 0, 0, 0, 2, b'{', b'!'];
    let header_beyond_frame = [0, 0, 0, 6, 0, 0, 0, 99, b'{', b'}'];
    for bytes in [&too_long[..], &bad_type, &bad_json, &header_beyond_frame] {
        let mut client = proxy.client().await;
        client.peer.put_bytes(bytes).await;
        client.peer.expect_end().await;
    }
    link.answer(&asked, response::SUCCESS).await;
    assert_eq!(healthy.answer(opaque).await.head.code, response::SUCCESS);
}

#[tokio::test]
async fn a_malformed_command_closes_the_links_of_its_session_at_once() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    client.peer.put_bytes(&[0xff; 8]).await;
    link.expect_end().await;
    client.peer.expect_end().await;
}

#[tokio::test]
async fn a_malformed_answer_costs_the_link_and_not_the_session() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    link.put_bytes(&[0xff; 8]).await;
    let answer = client.answer(opaque).await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
    client.sync().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_after_its_time() {
    let ns = NameServer::start().await;
    let short = Duration::from_millis(200);
    let proxy = Gimbal::before(&[&ns])
        .with(|c| c.timeouts.opening = short)
        .start()
        .await;
    let mut client = proxy.client().await;
    client.peer.expect_end().await;
}

#[tokio::test]
async fn a_silent_session_is_closed_after_its_time_and_a_talking_one_is_not() {
    let ns = NameServer::start().await;
    let short = Duration::from_millis(900);
    let proxy = Gimbal::before(&[&ns])
        .with(|c| c.timeouts.idle = short)
        .start()
        .await;
    let mut silent = proxy.client().await;
    let mut talking = proxy.client().await;
    silent.sync().await;
    let until_closed = silent.peer.expect_end();
    tokio::pin!(until_closed);
    loop {
        tokio::select! {
            () = &mut until_closed => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => talking.sync().await,
        }
    }
    talking.sync().await;
}

#[tokio::test]
async fn the_first_bytes_may_come_one_by_one() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let command = client.command(gimbal::protocol::Code(3_442), &[]);
    for byte in command.encode().unwrap().to_bytes() {
        client.peer.put_bytes(&[byte]).await;
    }
    let answer = tokio::time::timeout(SOON, client.answer(command.opaque))
        .await
        .unwrap();
    assert_eq!(answer.head.code, response::REQUEST_CODE_NOT_SUPPORTED);
}
