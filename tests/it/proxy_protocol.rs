//! Balancers that say in a PROXY protocol header whom a connection is from.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gimbal::config::{ProxyProtocol, Tls};
use gimbal::filter::{Client as Facts, Verdict};
use gimbal::protocol::request as rq;
use gimbal::tls::{CertificateFiles, ClientAuth, ServerSettings, Version};
use tokio::net::TcpStream;

use crate::support::filters::{Script, Stage};
use crate::support::tls::{Authority, Files, Hands, Wire};
use crate::support::{Client, Peer, Speaks, address_of};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 9876\r\n";

/// A header of version 2 from 192.0.2.7:12345, with these parts.
fn binary(command: u8, parts: &[(u8, &[u8])]) -> Vec<u8> {
    let mut payload = vec![192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x26, 0x94];
    for (kind, value) in parts {
        payload.push(*kind);
        payload.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        payload.extend(*value);
    }
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, 0x11], &length, &payload].concat()
}

/// A proxy that notes who its clients are, and trusts headers from some networks.
struct Scene {
    stage: Stage,
    facts: Arc<Mutex<Vec<Facts>>>,
}

impl Scene {
    async fn trusting(networks: &[&str]) -> Self {
        Self::set(networks, |_| {}).await
    }

    async fn set(networks: &[&str], change: impl FnOnce(&mut gimbal::config::Config)) -> Self {
        let facts: Arc<Mutex<Vec<Facts>>> = Arc::default();
        let noted = Arc::clone(&facts);
        let script = Script::wanting(Vec::new()).on_connect(move |subject| {
            noted.lock().unwrap().push(Facts::clone(subject.client()));
            Ok(Verdict::Forward)
        });
        let rules = ProxyProtocol {
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
            is_required: false,
        };
        let stage = Stage::set(script.alone(), |gimbal| {
            gimbal.with(|config| {
                config.listeners[0].proxy_protocol = rules;
                change(config);
            })
        })
        .await;
        Self { stage, facts }
    }

    /// Somebody who has sent these bytes.
    async fn having_sent(&self, first: &[u8]) -> Client {
        self.at(self.stage.running.address, first).await
    }

    async fn at(&self, address: SocketAddr, first: &[u8]) -> Client {
        let mut peer = Peer::new(TcpStream::connect(address).await.unwrap(), "balancer");
        peer.put_bytes(first).await;
        Client::over(peer, Speaks::NAMED)
    }

    /// What is known of the last client.
    fn last(&self) -> Facts {
        self.facts.lock().unwrap().last().unwrap().clone()
    }
}

const HERE: &[&str] = &["127.0.0.0/8"];

#[tokio::test]
async fn the_client_is_who_the_header_says() {
    let scene = Scene::trusting(HERE).await;
    for header in [TEXT.to_vec(), binary(0x21, &[])] {
        let mut client = scene.having_sent(&header).await;
        client.sync().await;
        let facts = scene.last();
        assert_eq!(facts.peer, "192.0.2.7:12345".parse().unwrap());
        let proxied = facts.proxied.unwrap();
        assert_eq!(proxied.destination, Some("198.51.100.1:9876".parse().unwrap()));
        assert!(proxied.through.ip().is_loopback(), "{}", proxied.through);
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte_and_with_the_command_behind_it() {
    let scene = Scene::trusting(HERE).await;
    for header in [TEXT.to_vec(), binary(0x21, &[(2, b"mq.example.org")])] {
        let mut client = scene.having_sent(b"").await;
        for byte in header {
            client.peer.put_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        client.sync().await;
        assert_eq!(scene.last().peer.ip().to_string(), "192.0.2.7");
    }
    let mut client = scene.having_sent(b"").await;
    let command = client.command(gimbal::protocol::Code(3_442), &[]);
    let frame = command.encode().unwrap().to_bytes();
    client.peer.put_bytes(&[TEXT, &frame].concat()).await;
    client.answer(command.opaque).await;
}

#[tokio::test]
async fn a_balancer_that_speaks_for_itself_keeps_its_address() {
    let scene = Scene::trusting(HERE).await;
    let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), local, binary(0x20, &[])] {
        let mut client = scene.having_sent(&header).await;
        client.sync().await;
        assert!(scene.last().peer.ip().is_loopback());
    }
}

#[tokio::test]
async fn a_header_is_neither_needed_nor_taken_from_elsewhere() {
    let scene = Scene::trusting(HERE).await;
    scene.having_sent(b"").await.sync().await;
    assert!(scene.last().proxied.is_none());
    let strict = Scene::trusting(&["192.0.2.0/24", "::1/128"]).await;
    for header in [TEXT.to_vec(), binary(0x21, &[])] {
        strict.having_sent(&header).await.peer.expect_end().await;
    }
    strict.stage.running.has_refused(2, "header_forbidden").await;
    strict.having_sent(b"").await.sync().await;
}

#[tokio::test]
async fn a_header_can_be_required_of_those_networks_and_of_no_other() {
    for (networks, is_refused) in [(HERE, true), (&["192.0.2.0/24"][..], false)] {
        let scene = Scene::set(networks, |config| {
            config.listeners[0].proxy_protocol.is_required = true;
        })
        .await;
        assert_eq!(scene.having_sent(b"").await.is_refused().await, is_refused);
        scene
            .stage
            .running
            .has_refused(u64::from(is_refused), "header_missing")
            .await;
    }
}

#[tokio::test]
async fn forged_headers_end_their_connection_and_no_other() {
    let scene = Scene::trusting(HERE).await;
    let mut healthy = scene.having_sent(TEXT).await;
    let twice = [TEXT, TEXT].concat();
    let oversized = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let wrong_family = [SIGNATURE, &[0x21, 0x21, 0, 12], &[0; 12]].concat();
    let short_part = [SIGNATURE, &[0x21, 0x11, 0, 16], &[0; 12], &[2, 0, 9, 1]].concat();
    let forged: [(&[u8], &str); 6] = [
        (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 99999\r\n",
            "header_malformed",
        ),
        (&[&b"PROXY TCP4 "[..], &[b'1'; 120]].concat(), "header_malformed"),
        (&oversized, "header_malformed"),
        (&wrong_family, "header_malformed"),
        (&short_part, "header_malformed"),
        (&twice, "foreign"),
    ];
    for (bytes, cause) in forged {
        let before = scene.stage.running.refused(cause);
        scene.having_sent(bytes).await.peer.expect_end().await;
        scene.stage.running.has_refused(before + 1, cause).await;
    }
    healthy.sync().await;
}

#[tokio::test]
async fn a_header_that_stops_in_the_middle_is_cut_off() {
    let scene = Scene::set(HERE, |config| {
        config.timeouts.opening = Duration::from_millis(300)
    })
    .await;
    scene.having_sent(&TEXT[..20]).await.peer.expect_end().await;
    scene
        .having_sent(&binary(0x21, &[])[..20])
        .await
        .peer
        .expect_end()
        .await;
    scene.stage.running.has_refused(2, "slow").await;
    let mut gone = scene.having_sent(&TEXT[..20]).await;
    gone.peer.shut().await;
    gone.peer.expect_end().await;
    scene.stage.running.has_refused(1, "left").await;
}

#[tokio::test]
async fn the_parts_of_a_header_are_kept() {
    let scene = Scene::trusting(HERE).await;
    let tls = [
        &[0x07, 0, 0, 0, 0][..],
        &[0x21, 0, 7],
        b"TLSv1.3",
        &[0x22, 0, 6],
        b"orders",
    ]
    .concat();
    let parts: [(u8, &[u8]); 5] = [
        (0x01, b"h2"),
        (0x02, b"mq.example.org"),
        (0x05, b"unique"),
        (0x20, &tls),
        (0xe0, b"\x01private"),
    ];
    scene.having_sent(&binary(0x21, &parts)).await.sync().await;
    let facts = scene.last();
    let proxied = facts.proxied.unwrap();
    assert_eq!(proxied.alpn(), Some(&b"h2"[..]));
    assert_eq!(proxied.authority(), Some("mq.example.org"));
    assert_eq!(proxied.unique_id(), Some(&b"unique"[..]));
    assert_eq!(proxied.tls_version(), Some("TLSv1.3"));
    assert_eq!(proxied.verified_name(), Some("orders"));
    assert_eq!(proxied.parts[4], (0xe0, b"\x01private"[..].into()));
    assert_eq!(facts.tls_subject.as_deref(), Some("CN=orders"));
}

#[tokio::test]
async fn a_name_that_the_balancer_did_not_verify_is_no_subject() {
    let scene = Scene::trusting(HERE).await;
    for (flags, verdict) in [(0x01, 0), (0x07, 1)] {
        let tls = [&[flags, 0, 0, 0, verdict][..], &[0x22, 0, 6], b"orders"].concat();
        scene
            .having_sent(&binary(0x21, &[(0x20, &tls)]))
            .await
            .sync()
            .await;
        assert_eq!(scene.last().tls_subject, None);
    }
}

#[tokio::test]
async fn the_header_comes_before_tls_and_on_the_ports_of_brokers_too() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let own = authority.issue(&["localhost"]);
    let tls = Tls {
        is_enforced: true,
        settings: ServerSettings {
            certificates: vec![CertificateFiles {
                certificate: files.write("0.pem", &own.certificate),
                key: files.write("0.key", &own.key),
            }],
            client_auth: ClientAuth::None,
            client_ca: None,
            min_version: Version::Tls12,
            offers_h2: false,
        },
    };
    let scene = Scene::set(HERE, |config| config.listeners[0].tls = Some(tls)).await;
    let connect = async |address: SocketAddr| {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut tcp, TEXT).await.unwrap();
        let stream = Hands::trusting(&authority).shake(tcp, "localhost").await.unwrap();
        Client::over(
            Peer::over(Wire::Tls(Box::new(stream)), "client"),
            Speaks::NAMELESS,
        )
    };
    let mut client = connect(scene.stage.running.address).await;
    let port = address_of(&client.route("T").await, "a").parse().unwrap();
    assert_eq!(scene.last().peer.to_string(), "192.0.2.7:12345");
    let mut client = connect(port).await;
    client.ask(rq::PULL_MESSAGE, &[("topic", "T")]).await;
    scene.stage.a.accept().await.expect(rq::PULL_MESSAGE).await;
    assert_eq!(scene.last().peer.to_string(), "192.0.2.7:12345");
}
