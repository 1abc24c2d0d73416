//! More connections than there may be: in all, of a listener, of an address, of a user, and of those that say nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gimbal::auth::Credentials;
use gimbal::protocol::{request as rq, response};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{all_gone, eventually};
use crate::support::{Client, Gimbal, NameServer, Peer, SOON, Speaks};

/// Long enough for an answer that would come.
const QUIET: Duration = Duration::from_millis(300);
/// Silent connections; `TEST_SILENT=10000` says otherwise.
const SILENT: usize = 2_000;

/// A command that Gimbal answers by itself, as bytes.
fn probe() -> Vec<u8> {
    let command = gimbal::protocol::Command::request(gimbal::protocol::Code(3_442), 7);
    command.encode().unwrap().to_bytes().to_vec()
}

/// A connection from a loopback address of one's choice.
async fn connect_from(from: &str, to: SocketAddr) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let stream = timeout(SOON, socket.connect(to)).await.unwrap().unwrap();
    Peer::new(stream, from)
}

async fn served(peer: &mut Peer) {
    peer.put_bytes(&probe()).await;
    peer.expect_answer(7).await;
}

#[tokio::test]
async fn an_address_has_its_number_of_connections_and_others_have_theirs() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.limits.connections_per_address = Some(2))
        .start()
        .await;
    let mut first = connect_from("127.0.0.1", proxy.address).await;
    let mut second = connect_from("127.0.0.1", proxy.address).await;
    served(&mut first).await;
    served(&mut second).await;
    let mut third = connect_from("127.0.0.1", proxy.address).await;
    third.put_bytes(&probe()).await;
    third.expect_end().await;
    assert_eq!(proxy.proxy.core().counts.refused_by_address.total(), 1);
    let mut elsewhere = connect_from("127.0.0.2", proxy.address).await;
    served(&mut elsewhere).await;
    assert_eq!(proxy.proxy.admission().addresses(), 2);
    drop(second);
    eventually("room", || proxy.proxy.admission().connections() == 2).await;
    let mut again = connect_from("127.0.0.1", proxy.address).await;
    served(&mut again).await;
    drop((first, third, elsewhere, again));
    all_gone(&proxy).await;
}

#[tokio::test]
async fn on_a_full_listener_the_next_client_waits_until_one_has_gone() {
    let ns = NameServer::start().await;
    let mut gimbal = Gimbal::before(&[&ns]);
    gimbal.listener().connections = Some(1);
    let proxy = gimbal.start().await;
    let mut first = proxy.client().await;
    first.sync().await;
    let mut second = proxy.client().await;
    second.peer.put_bytes(&probe()).await;
    assert!(second.peer.is_quiet(QUIET).await);
    assert_eq!(proxy.proxy.core().counts.waited_for_listener.total(), 1);
    drop(first);
    second.peer.expect_answer(7).await;
    drop(second);
    all_gone(&proxy).await;
}

#[tokio::test]
async fn a_reload_that_allows_more_lets_in_who_waits() {
    let ns = NameServer::start().await;
    let gimbal = Gimbal::before(&[&ns]).with(|config| config.limits.connections = 1);
    let mut config = gimbal.config.clone();
    let proxy = gimbal.start().await;
    let mut first = proxy.client().await;
    first.sync().await;
    let mut second = proxy.client().await;
    second.peer.put_bytes(&probe()).await;
    eventually("it waits", || {
        proxy.proxy.core().counts.waited_for_all.total() == 1
    })
    .await;
    assert!(second.peer.is_quiet(QUIET).await);
    config.limits.connections = 2;
    assert_eq!(proxy.proxy.reload(config), Vec::<String>::new());
    second.peer.expect_answer(7).await;
    first.sync().await;
    drop((first, second));
    all_gone(&proxy).await;
}

#[tokio::test]
async fn a_verified_user_has_its_number_of_connections_and_is_told() {
    const KEYS: &str = "[[key]]\naccess_key = 'alice'\nsecret_key = 'of-alice'\n\
                        [[key]]\naccess_key = 'bob'\nsecret_key = 'of-bob'\n";
    let ns = NameServer::start().await;
    let keys = Arc::new(Credentials::parse(KEYS).unwrap());
    let proxy = Gimbal::before(&[&ns])
        .with(|config| {
            config.credentials = Some(Arc::clone(&keys));
            config.limits.connections_per_user = Some(1);
        })
        .start()
        .await;
    let asking = async |user: &str, client: &mut Client| {
        let mut command = client.command(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]);
        keys.sign(&mut command, user).unwrap();
        client.peer.put(&command).await;
        client.answer(command.opaque).await
    };
    let (mut first, mut second, mut other) =
        (proxy.client().await, proxy.client().await, proxy.client().await);
    assert_eq!(
        asking("alice", &mut first).await.head.code,
        response::TOPIC_NOT_EXIST
    );
    let refused = asking("alice", &mut second).await;
    assert_eq!(refused.head.code, response::NO_PERMISSION);
    let remark = refused.command.remark.unwrap();
    assert!(
        remark.as_str().contains("limits.connections_per_user"),
        "{remark:?}"
    );
    second.peer.expect_end().await;
    assert_eq!(proxy.proxy.core().counts.refused_by_user.total(), 1);
    assert_eq!(
        asking("bob", &mut other).await.head.code,
        response::TOPIC_NOT_EXIST
    );
    // The first goes on, and its place is free once it has gone.
    assert_eq!(
        asking("alice", &mut first).await.head.code,
        response::TOPIC_NOT_EXIST
    );
    drop(first);
    eventually("room for alice", || proxy.proxy.core().users.len() == 1).await;
    let mut again = proxy.client().await;
    assert_eq!(
        asking("alice", &mut again).await.head.code,
        response::TOPIC_NOT_EXIST
    );
    drop((second, other, again));
    all_gone(&proxy).await;
}

#[tokio::test]
async fn thousands_of_silent_connects_keep_nobody_out() {
    // Both ends of each are in this process.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let silent = std::env::var("TEST_SILENT").map_or(SILENT, |number| number.parse().unwrap());
    let openings = silent / 4 * 3;
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.limits.openings = openings)
        .start()
        .await;
    let mut before = proxy.client().await;
    before.sync().await;
    let mut held = Vec::with_capacity(silent);
    for _ in 0..silent {
        let connected = timeout(2 * SOON, TcpStream::connect(proxy.address)).await;
        held.push(connected.unwrap().unwrap());
        assert!(proxy.proxy.admission().openings() <= openings);
    }
    before.sync().await;
    // Behind them all in the backlog, and served as soon as those before are let in or cut off.
    let mut honest = Client::connect(proxy.address, Speaks::NAMED).await;
    honest.sync().await;
    assert!(proxy.proxy.core().counts.openings_cut.total() > 0);
    assert!(proxy.proxy.admission().openings() <= openings);
    drop((before, honest, held));
    all_gone(&proxy).await;
}
