//! What is not remoting on a listener's port: HTTP/2 for a gRPC upstream, and HTTP/1.

use std::net::SocketAddr;
use std::time::Duration;

use gimbal::config::{Grpc, ProxyProtocol, Tls};
use gimbal::tls::{CertificateFiles, ClientAuth, ClientSettings, ServerSettings, Verify, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::tls::{Authority, Files, Hands};
use crate::support::{Gimbal, NameServer, Peer, Running, SOON};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const GO_AWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Where gRPC clients go; speaks when the test says.
struct Upstream {
    listener: TcpListener,
    address: SocketAddr,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    async fn accept(&self) -> Peer {
        let (tcp, _) = timeout(SOON, self.listener.accept()).await.unwrap().unwrap();
        Peer::new(tcp, "gRPC upstream")
    }

    fn settings(&self) -> Grpc {
        Grpc {
            upstream: self.address.to_string(),
            proxy_protocol: false,
            tls: None,
        }
    }
}

/// An authority, and a proxy with a certificate of it, in front of an upstream.
struct Scene {
    authority: Authority,
    _files: Files,
    _ns: NameServer,
    proxy: Running,
}

impl Scene {
    async fn set(grpc: Option<Grpc>, change: impl FnOnce(&mut gimbal::config::Config)) -> Self {
        let (authority, files) = (Authority::new("ours"), Files::new());
        let own = authority.issue(&["localhost"]);
        let ns = NameServer::start().await;
        let tls = Tls {
            is_enforced: false,
            settings: ServerSettings {
                certificates: vec![CertificateFiles {
                    certificate: files.write("0.pem", &own.certificate),
                    key: files.write("0.key", &own.key),
                }],
                client_auth: ClientAuth::Optional,
                client_ca: Some(files.write("ca.pem", &authority.certificate)),
                min_version: Version::Tls12,
                offers_h2: grpc.is_some(),
            },
        };
        let proxy = Gimbal::before(&[&ns])
            .with(|config| {
                config.listeners[0].tls = Some(tls);
                config.listeners[0].grpc = grpc;
                change(config);
            })
            .start()
            .await;
        Self {
            authority,
            _files: files,
            _ns: ns,
            proxy,
        }
    }

    async fn clear(&self) -> Peer {
        Peer::new(TcpStream::connect(self.proxy.address).await.unwrap(), "client")
    }

    async fn secure(&self, alpn: &[&str]) -> Peer {
        let hands = Hands::trusting(&self.authority).offering(alpn);
        hands.connect(self.proxy.address, "localhost").await
    }
}

#[tokio::test]
async fn http2_goes_to_its_upstream_whole_and_both_ways() {
    let upstream = Upstream::start().await;
    let scene = Scene::set(Some(upstream.settings()), |_| {}).await;
    for mut client in [scene.clear().await, scene.secure(&["h2"]).await] {
        client.put_bytes(&[PREFACE, SETTINGS].concat()).await;
        let mut server = upstream.accept().await;
        assert_eq!(
            server.take(PREFACE.len() + SETTINGS.len()).await,
            [PREFACE, SETTINGS].concat()
        );
        // Large in both directions at once.
        let large: Vec<u8> = (0..3_000_000_u32)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        let (from_client, from_server) = tokio::join!(
            async {
                client.put_bytes(&large).await;
                client
            },
            async {
                let received = server.take(large.len()).await;
                server.put_bytes(&large).await;
                (server, received)
            },
        );
        let (mut client, (mut server, received)) = (from_client, from_server);
        assert!(received == large, "up");
        assert!(client.take(large.len()).await == large, "down");
        // Half of it may end before the other.
        client.shut().await;
        assert_eq!(server.rest().await, b"");
        server.put_bytes(b"last words").await;
        server.shut().await;
        assert_eq!(client.rest().await, b"last words");
    }
    let counts = scene.proxy.proxy.openings();
    let sent = counts.grpc_sent.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(sent, 2 * (3_000_000 + 33), "bytes are counted");
    let gone = async {
        while counts.grpc_now.now() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, gone).await.expect("nothing is left open");
}

#[tokio::test]
async fn http2_without_an_upstream_is_refused() {
    let scene = Scene::set(None, |_| {}).await;
    for mut client in [scene.clear().await, scene.secure(&["h2"]).await] {
        client.put_bytes(PREFACE).await;
        assert_eq!(client.rest().await, b"");
    }
    scene.proxy.has_refused(2, "grpc_disabled").await;
}

#[tokio::test]
async fn h2_is_offered_only_with_an_upstream() {
    let upstream = Upstream::start().await;
    let with = Scene::set(Some(upstream.settings()), |_| {}).await;
    let without = Scene::set(None, |_| {}).await;
    let agreed = async |scene: &Scene, alpn: &[&str]| {
        let hands = Hands::trusting(&scene.authority).offering(alpn);
        let stream = hands.try_connect(scene.proxy.address, "localhost").await.unwrap();
        stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    };
    assert_eq!(agreed(&with, &["http/1.1", "h2"]).await, Some(b"h2".to_vec()));
    assert_eq!(agreed(&with, &[]).await, None, "remoting clients ask for nothing");
    assert_eq!(agreed(&without, &["h2"]).await, None);
}

#[tokio::test]
async fn remoting_goes_on_beside_it() {
    let upstream = Upstream::start().await;
    let scene = Scene::set(Some(upstream.settings()), |_| {}).await;
    scene.proxy.client().await.sync().await;
    let peer = scene.secure(&[]).await;
    crate::support::Client::over(peer, crate::support::Speaks::NAMED)
        .sync()
        .await;
}

#[tokio::test]
async fn http1_is_told_what_this_port_is() {
    let upstream = Upstream::start().await;
    let scene = Scene::set(Some(upstream.settings()), |config| {
        config.listeners[0].tls.as_mut().unwrap().is_enforced = true;
    })
    .await;
    for mut client in [scene.clear().await, scene.secure(&["http/1.1"]).await] {
        client
            .put_bytes(b"GET /metrics HTTP/1.1\r\nHost: mq\r\n\r\n")
            .await;
        let said = String::from_utf8(client.rest().await).unwrap();
        assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
        let (head, text) = said.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}", text.len())),
            "{said}"
        );
        assert!(
            text.contains("a proxy for Apache RocketMQ") && text.contains("gRPC"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn the_upstream_is_told_who_the_client_is() {
    let upstream = Upstream::start().await;
    let grpc = Grpc {
        proxy_protocol: true,
        ..upstream.settings()
    };
    let scene = Scene::set(Some(grpc), |config| {
        config.listeners[0].proxy_protocol = ProxyProtocol {
            networks: vec!["127.0.0.1/32".parse().unwrap()],
            is_required: false,
        };
    })
    .await;
    let mut client = scene.clear().await;
    client
        .put_bytes(b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 9876\r\n")
        .await;
    client.put_bytes(PREFACE).await;
    let mut server = upstream.accept().await;
    let head = server.take(28).await;
    assert_eq!(&head[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(
        &head[16..],
        [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x26, 0x94]
    );
    assert_eq!(server.take(PREFACE.len()).await, PREFACE);

    let own = scene.authority.issue(&["orders"]);
    let hands = Hands::trusting(&scene.authority).offering(&["h2"]).showing(&own);
    let mut client = hands.connect(scene.proxy.address, "localhost").await;
    client.put_bytes(PREFACE).await;
    let mut server = upstream.accept().await;
    let head = server.take(16).await;
    let rest = server.take(u16::from_be_bytes([head[14], head[15]]).into()).await;
    let parts = [
        &[2, 0, 9][..],
        b"localhost",
        &[0x20, 0, 24, 3, 0, 0, 0, 0, 0x21, 0, 7],
        b"TLSv1.3",
        &[0x22, 0, 6],
        b"orders",
    ];
    assert_eq!(
        &rest[12..],
        parts.concat(),
        "name asked for, version, common name"
    );
    assert_eq!(server.take(PREFACE.len()).await, PREFACE);
}

#[tokio::test]
async fn the_upstream_may_be_under_tls() {
    let upstream = Upstream::start().await;
    let (authority, files) = (Authority::new("upstream"), Files::new());
    let own = authority.issue(&["127.0.0.1"]);
    let grpc = Grpc {
        proxy_protocol: true,
        tls: Some(ClientSettings {
            verify: Verify::Full,
            ca: Some(files.write("ca.pem", &authority.certificate)),
            is_h2: true,
            ..ClientSettings::default()
        }),
        ..upstream.settings()
    };
    let scene = Scene::set(Some(grpc), |_| {}).await;
    let mut client = scene.clear().await;
    client.put_bytes(PREFACE).await;
    let (mut tcp, _) = timeout(SOON, upstream.listener.accept()).await.unwrap().unwrap();
    // The header comes before TLS.
    let mut head = [0; 28];
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!(&head[..12], b"\r\n\r\n\0\r\nQUIT\n");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let mut server = timeout(SOON, acceptor.accept(tcp)).await.unwrap().unwrap();
    assert_eq!(server.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut read = vec![0; PREFACE.len()];
    server.read_exact(&mut read).await.unwrap();
    assert_eq!(read, PREFACE);
    server.write_all(b"answer").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.take(6).await, b"answer");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_closes_the_client() {
    let upstream = Upstream::start().await;
    let settings = upstream.settings();
    drop(upstream);
    let scene = Scene::set(Some(settings), |_| {}).await;
    let mut client = scene.clear().await;
    client.put_bytes(PREFACE).await;
    assert_eq!(client.rest().await, b"");
    let failed = &scene.proxy.proxy.openings().grpc_failed;
    assert_eq!(failed.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_not_overfed() {
    let upstream = Upstream::start().await;
    let scene = Scene::set(Some(upstream.settings()), |_| {}).await;
    let mut client = scene.clear().await;
    client.put_bytes(PREFACE).await;
    let server = upstream.accept().await;
    let most = 64 << 20;
    let written = client
        .put_until_stuck(&[7; 1 << 16], Duration::from_secs(1), most)
        .await;
    assert!(
        written < most,
        "the client is not read while its upstream is full"
    );
    let passed = scene
        .proxy
        .proxy
        .openings()
        .grpc_sent
        .load(std::sync::atomic::Ordering::Relaxed);
    assert!(passed < most as u64);
    drop(server);
}

#[tokio::test]
async fn a_silent_pipe_is_closed_after_its_time() {
    let upstream = Upstream::start().await;
    let short = Duration::from_millis(400);
    let scene = Scene::set(Some(upstream.settings()), |config| config.timeouts.idle = short).await;
    let mut client = scene.clear().await;
    client.put_bytes(PREFACE).await;
    let mut server = upstream.accept().await;
    server.take(PREFACE.len()).await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.rest().await, b"");
}

#[tokio::test]
async fn a_proxy_that_leaves_says_so_between_two_frames_and_lets_streams_finish() {
    let upstream = Upstream::start().await;
    let scene = Scene::set(Some(upstream.settings()), |_| {}).await;
    let mut client = scene.clear().await;
    client.put_bytes(PREFACE).await;
    let mut server = upstream.accept().await;
    server.take(PREFACE.len()).await;
    // One frame and a half.
    let data = [&[0, 0, 6, 0, 0, 0, 0, 0, 1][..], b"abcdef"].concat();
    server.put_bytes(&[SETTINGS, &data[..12]].concat()).await;
    client.take(SETTINGS.len() + 12).await;
    let draining = tokio::spawn(scene.proxy.proxy.drain());
    // The rest of the frame first, then the word, then what follows.
    while TcpStream::connect(scene.proxy.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.put_bytes(&[&data[12..], &data].concat()).await;
    assert_eq!(client.take(3).await, b"def");
    assert_eq!(client.take(GO_AWAY.len()).await, GO_AWAY);
    assert_eq!(client.take(data.len()).await, data);
    client.shut().await;
    assert_eq!(server.rest().await, b"");
    server.shut().await;
    timeout(SOON, draining)
        .await
        .expect("the last pipe has ended")
        .unwrap();
}
