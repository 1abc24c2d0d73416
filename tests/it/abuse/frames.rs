//! Bytes that are no commands, or never become one.

use std::time::Duration;

use gimbal::protocol::Code;

use super::{all_gone, eventually};
use crate::support::{Gimbal, NameServer, Running};

/// The limit on a frame's time; what is slower than a busy machine must be slower than this.
const SHORT: Duration = Duration::from_secs(1);

async fn impatient() -> (NameServer, Running) {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.timeouts.frame = SHORT)
        .start()
        .await;
    (ns, proxy)
}

#[tokio::test]
async fn frames_cut_off_anywhere_leave_nothing_behind() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut healthy = proxy.client().await;
    let whole = healthy.command(Code(3_442), &[("a", "b")]).encode().unwrap();
    let whole = whole.to_bytes();
    for end in 0..whole.len() {
        let mut client = proxy.client().await;
        client.peer.put_bytes(&whole[..end]).await;
    }
    healthy.sync().await;
    eventually("the others are gone", || {
        proxy.proxy.admission().connections() == 1
    })
    .await;
    assert_eq!(proxy.proxy.core().counts.malformed.total(), 0);
    drop(healthy);
    all_gone(&proxy).await;
}

#[tokio::test]
async fn a_frame_that_never_ends_is_cut_off_whether_it_stands_still_or_trickles() {
    let (_ns, proxy) = impatient().await;
    let (mut still, mut trickling) = (proxy.client().await, proxy.client().await);
    // Both have spoken before, so the time of openings is over.
    still.sync().await;
    trickling.sync().await;
    let mut large = vec![0, 1, 0, 0, 0, 0, 0, 2, b'{', b'}'];
    still.peer.put_bytes(&large).await;
    still.peer.expect_end().await;
    eventually("it is counted", || {
        proxy.proxy.core().counts.frame_late.total() == 1
    })
    .await;
    large.resize(1_000, b'x');
    let counts = &proxy.proxy.core().counts;
    for byte in large {
        if counts.frame_late.total() == 2 {
            break;
        }
        trickling.peer.put_bytes(&[byte]).await;
        tokio::time::sleep(SHORT / 20).await;
    }
    assert_eq!(counts.frame_late.total(), 2);
    drop((still, trickling));
    all_gone(&proxy).await;
}

#[tokio::test]
async fn commands_that_come_in_pieces_are_not_late_one_after_the_other() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.timeouts.frame = 3 * SHORT)
        .start()
        .await;
    let mut client = proxy.client().await;
    let command = client.command(Code(3_442), &[]);
    let bytes = command.encode().unwrap().to_bytes();
    let (mut sent, mut piece) = (0, Vec::new());
    // The end of each command and the beginning of the next come together: some frame is always in progress.
    for _ in 0..12 {
        piece.extend_from_slice(&bytes[sent..]);
        piece.extend_from_slice(&bytes[..10]);
        client.peer.put_bytes(&piece).await;
        client.peer.expect_answer(command.opaque).await;
        tokio::time::sleep(SHORT / 3).await;
        (sent, piece) = (10, Vec::new());
    }
    assert_eq!(proxy.proxy.core().counts.frame_late.total(), 0);
}

#[tokio::test]
async fn another_protocol_in_the_middle_of_a_session_ends_it_and_is_counted() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let counts = &proxy.proxy.core().counts;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = proxy.client().await;
        client.sync().await;
        client.peer.put_bytes(bytes).await;
        client.peer.expect_end().await;
    }
    // Read as a length, each is far above the limit.
    eventually("all are counted", || counts.oversized.total() == 3).await;
    let mut client = proxy.client().await;
    client.sync().await;
    client
        .peer
        .put_bytes(&[0, 0, 0, 8, 9, 0, 0, 2, b'{', b'}', 0, 0])
        .await;
    client.peer.expect_end().await;
    eventually("so is this", || counts.malformed.total() == 1).await;
    drop(client);
    all_gone(&proxy).await;
}

#[tokio::test]
async fn a_client_that_vanished_without_a_word_is_closed_for_being_idle() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.timeouts.idle = SHORT)
        .start()
        .await;
    let mut client = proxy.client().await;
    client.sync().await;
    client.peer.expect_end().await;
    eventually("it is counted", || proxy.proxy.core().counts.idle.total() == 1).await;
    all_gone(&proxy).await;
}
