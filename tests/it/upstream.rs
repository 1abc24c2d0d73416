//! Connections to brokers and name servers: what they begin with, and what becomes of peers that are not there.

use std::net::SocketAddr;
use std::time::Duration;

use gimbal::config::ProxyHeader;
use gimbal::protocol::{request as rq, response};
use gimbal::upstream::{CircuitState, PeerHealth, Role};
use tokio::time::{Instant, sleep};

use crate::support::{Broker, Client, Gimbal, Group, NameServer, Received, Running, SOON, Speaks};

/// One broker with topic `T`, and a proxy that begins connections to it like this.
async fn announcing(header: ProxyHeader) -> (Broker, NameServer, Running) {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.upstream.proxy_protocol = header)
        .start()
        .await;
    (a, ns, proxy)
}

/// An address where nobody listens.
fn dead_address() -> SocketAddr {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    taken.local_addr().unwrap()
}

fn of_broker(proxy: &Running, name: &str) -> PeerHealth {
    let all = proxy.proxy.health();
    let found = all
        .iter()
        .find(|peer| peer.role == Role::Broker && peer.name == name);
    found
        .unwrap_or_else(|| panic!("{name} is not in {all:?}"))
        .clone()
}

async fn ask(client: &mut Client, broker: &str) -> Received {
    client.call(rq::GET_MIN_OFFSET, &[("bname", broker)]).await
}

fn remark(answer: &Received) -> &str {
    answer.command.remark.as_ref().unwrap().as_str()
}

#[tokio::test]
async fn each_link_begins_with_the_address_of_its_own_client() {
    let (a, _ns, proxy) = announcing(ProxyHeader::V1).await;
    for from in [[127, 0, 0, 7], [127, 0, 0, 8]] {
        let mut client = Client::connect_from(from, proxy.address, Speaks::NAMED).await;
        let ours = client.address();
        client.beat(&[Group::Consumer("g", "T")]).await;
        let mut link = a.accept().await;
        let line = format!(
            "PROXY TCP4 {} 127.0.0.1 {} {}\r\n",
            ours.ip(),
            ours.port(),
            proxy.address.port()
        );
        assert_eq!(String::from_utf8(link.raw(line.len()).await).unwrap(), line);
        link.greet().await;
    }
}

#[tokio::test]
async fn the_second_version_is_binary_and_tells_the_port_that_the_client_came_in_by() {
    let (a, _ns, proxy) = announcing(ProxyHeader::V2).await;
    let mut client = proxy.client_on_port_of("a", "T").await;
    let ours = client.address();
    let asked = client.ask(rq::GET_MIN_OFFSET, &[]).await;
    let mut link = a.accept().await;
    let header = link.raw(28).await;
    assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(&header[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(header[24..26], ours.port().to_be_bytes());
    let entry = u16::from_be_bytes([header[26], header[27]]);
    assert_ne!(entry, proxy.address.port(), "the port of the broker");
    let request = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&request, response::SUCCESS).await;
    client.answer(asked).await;
}

#[tokio::test]
async fn a_broker_that_does_not_understand_the_header_is_told_apart() {
    let (a, _ns, proxy) = announcing(ProxyHeader::V2).await;
    let mut client = proxy.client().await;
    let asked = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    link.raw(28).await;
    drop(link);
    let answer = client.answer(asked).await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
    assert!(
        remark(&answer).contains("older than 5.1.4"),
        "{}",
        remark(&answer)
    );
    let seen = of_broker(&proxy, "a");
    assert!(seen.last_error.unwrap().contains("older than 5.1.4"));
    assert_eq!(seen.circuit, CircuitState::Closed);
}

#[tokio::test]
async fn a_reload_changes_how_later_links_begin_and_leaves_those_that_are_open() {
    let (a, ns, proxy) = announcing(ProxyHeader::Off).await;
    let mut first = proxy.client().await;
    first.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    let mut config = Gimbal::before(&[&ns]).config;
    config.listeners[0].bind = "127.0.0.1:0".parse().unwrap();
    config.upstream.proxy_protocol = ProxyHeader::V1;
    assert!(proxy.proxy.reload(config).is_empty());
    first.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    link.expect(rq::GET_MIN_OFFSET).await;
    let mut second = proxy.client().await;
    second.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    assert_eq!(a.accept().await.raw(6).await, b"PROXY ");
}

#[tokio::test]
async fn a_broker_that_cannot_be_reached_is_refused_at_once_until_it_is_back() {
    let address = dead_address();
    let ns = NameServer::start().await;
    ns.broker("a", &[(0, address)]);
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let mut last = String::new();
    for _ in 0..4 {
        let answer = ask(&mut client, "a").await;
        assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
        remark(&answer).clone_into(&mut last);
    }
    assert!(
        last.contains("not tried, since 3 attempts in a row failed") && last.contains("Connection refused"),
        "{last}"
    );
    let seen = of_broker(&proxy, "a");
    assert_ne!(seen.circuit, CircuitState::Closed);
    assert_eq!((seen.connections, seen.address), (0, address.to_string()));
    assert!(seen.refused > 0 && seen.failures >= 3);

    let a = Broker::at("a", address);
    let serving = tokio::spawn(async move {
        let mut link = a.accept().await;
        let asked = link.expect(rq::GET_MIN_OFFSET).await;
        link.answer(&asked, response::SUCCESS).await;
        link
    });
    let deadline = Instant::now() + SOON;
    while ask(&mut client, "a").await.head.code != response::SUCCESS {
        assert!(Instant::now() < deadline, "{:?}", of_broker(&proxy, "a"));
        sleep(Duration::from_millis(50)).await;
    }
    let seen = of_broker(&proxy, "a");
    assert_eq!(
        (seen.circuit, seen.connections, seen.failures_in_row),
        (CircuitState::Closed, 1, 0)
    );
    drop(serving.await.unwrap());
}

#[tokio::test]
async fn a_registered_client_comes_back_when_another_has_found_its_broker_again() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut clients = Vec::new();
    let mut links = Vec::new();
    for _ in 0..5 {
        let mut client = proxy.client().await;
        let beat = client.beat(&[Group::Consumer("g", "T")]).await;
        links.push(a.accept_greeted().await);
        client.answer(beat).await;
        clients.push(client);
    }
    let address = a.address;
    drop((a, links));
    let deadline = Instant::now() + SOON;
    while of_broker(&proxy, "a").circuit == CircuitState::Closed {
        assert!(Instant::now() < deadline, "{:?}", of_broker(&proxy, "a"));
        sleep(Duration::from_millis(20)).await;
    }
    let a = Broker::at("a", address);
    for _ in &clients {
        a.accept_greeted().await;
    }
}

#[tokio::test]
async fn names_of_name_servers_and_brokers_are_looked_up() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    ns.broker_at("a", &format!("localhost:{}", a.address.port()));
    let proxy = Gimbal::before(&[&ns])
        .with(|config| config.nameservers = vec![format!("localhost:{}", ns.address.port())])
        .start()
        .await;
    let mut client = proxy.client().await;
    let asked = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    let request = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&request, response::SUCCESS).await;
    assert_eq!(client.answer(asked).await.head.code, response::SUCCESS);
    let ns_seen = proxy.proxy.health();
    assert!(
        ns_seen
            .iter()
            .any(|peer| peer.role == Role::NameServer && peer.connections == 1),
        "{ns_seen:?}"
    );
}

#[tokio::test]
async fn a_silent_name_server_is_asked_once() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
    ns.hush();
    let answer = client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "U")]).await;
    assert!(
        remark(&answer).contains("no answer within"),
        "{}",
        remark(&answer)
    );
    assert_eq!(ns.asked_for("U"), 1);
}

#[tokio::test]
async fn a_name_server_whose_connection_was_lost_is_asked_again() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
    let seen = |proxy: &Running| proxy.proxy.health()[0].clone();
    assert_eq!(seen(&proxy).dials, 1);
    ns.drop_links();
    let answer = client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "U")]).await;
    assert_eq!(answer.head.code, response::TOPIC_NOT_EXIST);
    assert_eq!(seen(&proxy).dials, 2);
}

#[tokio::test]
async fn made_up_broker_names_cost_few_questions() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    for round in 0..4 {
        for name in 0..50 {
            let answer = ask(&mut client, &format!("made-up-{name}")).await;
            assert_eq!(
                answer.head.code,
                response::SERVICE_NOT_AVAILABLE,
                "{round} {name}"
            );
        }
    }
    let asked = ns.asked().len();
    assert!(asked < 120, "{asked} questions for 200 made-up names");
    // The names of brokers that are there are not among them.
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    a.accept().await;
}
