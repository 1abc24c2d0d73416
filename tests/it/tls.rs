//! TLS towards clients: who gets in, what is shown, and what new files do.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gimbal::config::Tls;
use gimbal::filter::Verdict;
use gimbal::protocol::{request as rq, response};
use gimbal::tls::{CertificateFiles, ClientAuth, ServerSettings, State, Version};
use rcgen::DnType;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;

use crate::support::filters::{Script, Stage};
use crate::support::tls::{Authority, Files, Hands, Pem};
use crate::support::{Broker, Client, Gimbal, NameServer, Peer, Running, SOON, Speaks, address_of};

/// TLS with these certificates, in files named after their place.
fn tls(files: &Files, certificates: &[&Pem]) -> Tls {
    let own = certificates.iter().enumerate().map(|(at, pem)| CertificateFiles {
        certificate: files.write(&format!("{at}.pem"), &pem.certificate),
        key: files.write(&format!("{at}.key"), &pem.key),
    });
    Tls {
        is_enforced: false,
        settings: ServerSettings {
            certificates: own.collect(),
            client_auth: ClientAuth::None,
            client_ca: None,
            min_version: Version::Tls12,
            offers_h2: false,
        },
    }
}

/// An authority, and a proxy with a certificate of it for `localhost`.
struct Scene {
    authority: Authority,
    files: Files,
    broker: Broker,
    ns: NameServer,
    proxy: Running,
}

impl Scene {
    async fn set(change: impl FnOnce(&Files, &mut Tls)) -> Self {
        Self::set_with(change, |gimbal| gimbal).await
    }

    async fn set_with(
        change: impl FnOnce(&Files, &mut Tls),
        configure: impl FnOnce(Gimbal) -> Gimbal,
    ) -> Self {
        let (authority, files) = (Authority::new("ours"), Files::new());
        let broker = Broker::start("a");
        let ns = NameServer::knowing(&[&broker]).await;
        let mut tls = tls(&files, &[&authority.issue(&["localhost"])]);
        change(&files, &mut tls);
        let gimbal = Gimbal::before(&[&ns]).with(|config| config.listeners[0].tls = Some(tls));
        let proxy = configure(gimbal).start().await;
        Self {
            authority,
            files,
            broker,
            ns,
            proxy,
        }
    }

    fn hands(&self) -> Hands {
        Hands::trusting(&self.authority)
    }

    async fn client(&self, hands: &Hands) -> Client {
        Client::over(
            hands.connect(self.proxy.address, "localhost").await,
            Speaks::NAMED,
        )
    }

    /// Somebody who is turned away, in the handshake or, as TLS 1.3 has it, right after it.
    async fn is_turned_away(&self, hands: &Hands) -> bool {
        match hands.try_connect(self.proxy.address, "localhost").await {
            Err(_) => true,
            Ok(stream) => {
                let wire = crate::support::tls::Wire::Tls(Box::new(stream));
                Client::over(Peer::over(wire, "client"), Speaks::NAMED)
                    .is_refused()
                    .await
            }
        }
    }

    fn state(&self) -> Arc<State> {
        self.proxy.proxy.listeners()[0].tls_state().unwrap()
    }

    /// Waits until the certificates are in this state.
    async fn becomes(&self, wanted: impl Fn(&State) -> bool) {
        let reached = async {
            while !wanted(&self.state()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reached = tokio::time::timeout(SOON, reached).await;
        assert!(reached.is_ok(), "{:?}", self.state());
    }
}

/// A command goes through and its answer comes back, with bodies of many records both ways.
async fn serves(client: &mut Client, broker: &Broker) {
    let body = "0123456789abcdef".repeat(200_000);
    let opaque = client
        .ask_with(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")], &body)
        .await;
    let mut link = broker.accept().await;
    let sent = link.expect(rq::SEND_MESSAGE_V2).await;
    assert!(sent.text() == body, "the body arrives whole");
    let answer = gimbal::protocol::Command::answer(&sent.head, sent.frame.kind(), response::SUCCESS);
    link.answer_with(&sent, answer.with_body(body.clone())).await;
    assert!(
        client.answer(opaque).await.text() == body,
        "the answer arrives whole"
    );
}

#[tokio::test]
async fn permissive_serves_clients_in_clear_and_under_every_version_alike() {
    let scene = Scene::set(|_, _| {}).await;
    for version in [&TLS12, &TLS13] {
        let mut client = scene.client(&scene.hands().speaking(version)).await;
        serves(&mut client, &scene.broker).await;
    }
    serves(&mut scene.proxy.client().await, &scene.broker).await;
}

#[tokio::test]
async fn enforcing_turns_clients_in_clear_away() {
    let scene = Scene::set(|_, tls| tls.is_enforced = true).await;
    let mut clear = scene.proxy.client().await;
    clear.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    clear.peer.expect_end().await;
    scene.client(&scene.hands()).await.sync().await;
    scene.proxy.has_refused(1, "tls_required").await;
}

#[tokio::test]
async fn a_listener_without_certificates_closes_a_handshake() {
    let scene = Scene::set_with(
        |_, _| {},
        |gimbal| gimbal.with(|config| config.listeners[0].tls = None),
    )
    .await;
    assert!(
        scene
            .hands()
            .try_connect(scene.proxy.address, "localhost")
            .await
            .is_err()
    );
    scene.proxy.has_refused(1, "tls_disabled").await;
    scene.proxy.client().await.sync().await;
}

#[tokio::test]
async fn the_ports_of_brokers_and_two_below_speak_it_too() {
    let scene = Scene::set(|_, tls| tls.is_enforced = true).await;
    let nameless = |peer| Client::over(peer, Speaks::NAMELESS);
    let mut asking = nameless(scene.hands().connect(scene.proxy.address, "localhost").await);
    let port: SocketAddr = address_of(&asking.route("T").await, "a").parse().unwrap();
    for below in [0, 2] {
        let address = SocketAddr::new(port.ip(), port.port() - below);
        let mut client = nameless(scene.hands().connect(address, "localhost").await);
        serves(&mut client, &scene.broker).await;
    }
}

#[tokio::test]
async fn the_certificate_is_the_one_that_has_the_name_asked_for() {
    let authority = Authority::new("ours");
    let scene = Scene::set(|files, set| {
        let names: [&[&str]; 3] = [
            &["first.example.org"],
            &["second.example.org"],
            &["*.third.example.org"],
        ];
        let pems: Vec<Pem> = names.iter().map(|names| authority.issue(names)).collect();
        *set = tls(files, &pems.iter().collect::<Vec<_>>());
    })
    .await;
    let hands = Hands::trusting(&authority);
    for name in ["first.example.org", "SECOND.example.org", "any.third.example.org"] {
        let shaken = hands.try_connect(scene.proxy.address, name).await;
        assert!(shaken.is_ok(), "{name}: {shaken:?}");
    }
    for name in ["fourth.example.org", "a.b.third.example.org"] {
        let error = hands
            .try_connect(scene.proxy.address, name)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("first.example.org"),
            "{name} is shown the first: {error}"
        );
    }
}

/// A filter that notes the subjects of connections.
fn noting(subjects: &Arc<Mutex<Vec<Option<String>>>>) -> Script {
    let subjects = Arc::clone(subjects);
    Script::wanting(Vec::new()).on_connect(move |subject| {
        let name = subject.client().tls_subject.as_deref().map(str::to_owned);
        subjects.lock().unwrap().push(name);
        Ok(Verdict::Forward)
    })
}

#[tokio::test]
async fn the_subject_of_a_client_is_visible_to_filters() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let mut tls = tls(&files, &[&authority.issue(&["localhost"])]);
    tls.settings.client_auth = ClientAuth::Optional;
    tls.settings.client_ca = Some(files.write("ca.pem", &authority.certificate));
    let subjects = Arc::default();
    let stage = Stage::set(noting(&subjects).alone(), |gimbal| {
        gimbal.with(|config| config.listeners[0].tls = Some(tls))
    })
    .await;
    let own = authority.issue_to(
        &["client"],
        &[
            (DnType::OrganizationName, "Example"),
            (DnType::CommonName, "orders"),
        ],
    );
    let hands = Hands::trusting(&authority);
    for hands in [hands.clone().showing(&own), hands] {
        let peer = hands.connect(stage.running.address, "localhost").await;
        Client::over(peer, Speaks::NAMED).sync().await;
    }
    stage.client().await.sync().await;
    let seen = subjects.lock().unwrap().clone();
    assert_eq!(seen, [Some("CN=orders,O=Example".to_owned()), None, None]);
}

#[tokio::test]
async fn clients_without_a_good_certificate_are_turned_away() {
    let stranger = Authority::new("theirs").issue(&["client"]);
    for auth in [ClientAuth::Optional, ClientAuth::Required] {
        for version in [&TLS12, &TLS13] {
            let authority = Authority::new("clients");
            let scene = Scene::set(|files, tls| {
                tls.settings.client_auth = auth;
                tls.settings.client_ca = Some(files.write("ca.pem", &authority.certificate));
            })
            .await;
            let hands = scene.hands().speaking(version);
            let own = authority.issue(&["client"]);
            scene.client(&hands.clone().showing(&own)).await.sync().await;
            assert!(scene.is_turned_away(&hands.clone().showing(&stranger)).await);
            assert_eq!(scene.is_turned_away(&hands).await, auth == ClientAuth::Required);
        }
    }
}

#[tokio::test]
async fn the_oldest_version_is_a_setting() {
    let scene = Scene::set(|_, tls| tls.settings.min_version = Version::Tls13).await;
    assert!(scene.is_turned_away(&scene.hands().speaking(&TLS12)).await);
    scene.client(&scene.hands().speaking(&TLS13)).await.sync().await;
    scene.proxy.has_refused(1, "tls_failed").await;
}

#[tokio::test]
async fn new_certificates_hold_for_the_next_connection_and_broken_ones_change_nothing() {
    let scene = Scene::set(|_, _| {}).await;
    let mut before = scene.client(&scene.hands()).await;
    before.sync().await;

    scene.files.write("0.pem", "half a certificate");
    scene.becomes(|state| state.error.is_some()).await;
    let told = scene.state().error.clone().unwrap();
    let path = scene.files.path("0.pem").display().to_string();
    assert!(
        told.contains(&path) && told.contains("holds no certificate"),
        "{told}"
    );
    scene.client(&scene.hands()).await.sync().await;

    let next = Authority::new("next");
    let renewed = next.issue(&["localhost"]);
    scene.files.write("0.pem", &renewed.certificate);
    let named = |state: &State| {
        state
            .error
            .as_ref()
            .is_some_and(|error| error.contains("is not the key of"))
    };
    scene.becomes(named).await;
    scene.files.write("0.key", &renewed.key);
    scene.becomes(|state| state.error.is_none()).await;
    scene.client(&Hands::trusting(&next)).await.sync().await;
    assert!(
        scene
            .hands()
            .try_connect(scene.proxy.address, "localhost")
            .await
            .is_err()
    );
    before.sync().await;
}

#[tokio::test]
async fn a_swapped_link_is_a_new_certificate() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let put = |folder: &str, pem: &Pem| {
        std::fs::create_dir(files.path(folder)).unwrap();
        files.write(&format!("{folder}/tls.crt"), &pem.certificate);
        files.write(&format!("{folder}/tls.key"), &pem.key);
    };
    // As Kubernetes mounts a secret: files are links through a link to a folder, which is swapped.
    let link = |to: &str, name: &str| {
        let fresh = files.path("fresh");
        std::os::unix::fs::symlink(to, &fresh).unwrap();
        std::fs::rename(&fresh, files.path(name)).unwrap();
    };
    put("first", &authority.issue(&["localhost"]));
    link("first", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let scene = Scene::set(|_, tls| {
        tls.settings.certificates = vec![CertificateFiles {
            certificate: files.path("tls.crt"),
            key: files.path("tls.key"),
        }];
    })
    .await;
    scene.client(&Hands::trusting(&authority)).await.sync().await;
    let next = Authority::new("next");
    put("second", &next.issue(&["localhost"]));
    link("second", "..data");
    let hands = Hands::trusting(&next);
    let reached = async {
        while hands.try_connect(scene.proxy.address, "localhost").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, reached)
        .await
        .expect("the new certificate is shown");
}

#[tokio::test]
async fn a_new_authority_of_clients_holds_for_the_next_connection() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let scene = Scene::set(|files, tls| {
        tls.settings.client_auth = ClientAuth::Required;
        tls.settings.client_ca = Some(files.write("ca.pem", &old.certificate));
    })
    .await;
    let (of_old, of_new) = (old.issue(&["client"]), new.issue(&["client"]));
    assert!(scene.is_turned_away(&scene.hands().showing(&of_new)).await);
    scene.files.write("ca.pem", &new.certificate);
    scene
        .becomes(|state| state.certificates.iter().any(|one| one.subject == "CN=new"))
        .await;
    scene.client(&scene.hands().showing(&of_new)).await.sync().await;
    assert!(scene.is_turned_away(&scene.hands().showing(&of_old)).await);
}

#[tokio::test]
async fn a_reload_looks_at_the_files_and_takes_new_settings() {
    let scene = Scene::set(|_, _| {}).await;
    let next = Authority::new("next");
    let other = Files::new();
    let mut config = scene.proxy_config();
    config.listeners[0].tls = Some(tls(&other, &[&next.issue(&["localhost"])]));
    assert_eq!(
        scene.proxy.proxy.reload(config.clone()),
        [""; 0],
        "needs no restart"
    );
    scene.client(&Hands::trusting(&next)).await.sync().await;
    config.listeners[0].tls = None;
    scene.proxy.proxy.reload(config);
    assert!(
        Hands::trusting(&next)
            .try_connect(scene.proxy.address, "localhost")
            .await
            .is_err()
    );
}

impl Scene {
    /// The settings the proxy runs by.
    fn proxy_config(&self) -> gimbal::config::Config {
        let listener = self.proxy.proxy.listeners()[0].settings();
        let mut gimbal = Gimbal::before(&[&self.ns]);
        gimbal.config.listeners = vec![(*listener).clone()];
        gimbal.config
    }
}

#[tokio::test]
async fn a_handshake_that_trickles_is_cut_off() {
    let short = Duration::from_millis(800);
    let scene = Scene::set_with(|_, _| {}, |gimbal| gimbal.with(|c| c.timeouts.opening = short)).await;
    let tcp = TcpStream::connect(scene.proxy.address).await.unwrap();
    let mut trickling = Peer::new(tcp, "trickling");
    // The beginning of a hello of 500 bytes, and then a byte at a time.
    trickling
        .put_bytes(&[0x16, 3, 1, 1, 0xf4, 1, 0, 1, 0xf0, 3, 3])
        .await;
    let (mut reading, mut writing) = trickling.split();
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if tokio::io::AsyncWriteExt::write_all(&mut writing, &[7])
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut byte = [0];
    tokio::select! {
        () = trickle => {}
        end = tokio::time::timeout(SOON, tokio::io::AsyncReadExt::read(&mut reading, &mut byte)) => {
            assert!(matches!(end.unwrap(), Ok(0) | Err(_)), "closed without a word");
        }
    }
    scene.proxy.has_refused(1, "slow").await;
}

#[tokio::test]
async fn garbage_ends_its_own_connection_with_an_alert() {
    let scene = Scene::set(|_, _| {}).await;
    let mut healthy = scene.client(&scene.hands()).await;
    let tcp = TcpStream::connect(scene.proxy.address).await.unwrap();
    let mut garbage = Peer::new(tcp, "garbage");
    // A hello of one byte.
    garbage.put_bytes(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await;
    let told = garbage.rest().await;
    assert_eq!(told.first(), Some(&0x15), "an alert: {told:?}");
    healthy.sync().await;
    scene.proxy.has_refused(1, "tls_failed").await;
}

#[tokio::test]
async fn garbage_inside_a_session_ends_it_and_its_links() {
    let scene = Scene::set(|_, _| {}).await;
    let mut client = scene.client(&scene.hands()).await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = scene.broker.accept().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    client.peer.put_raw(&[0x17, 3, 3, 0, 4, 1, 2, 3, 4]).await;
    link.expect_end().await;
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_gone() {
    let scene = Scene::set(|_, _| {}).await;
    let mut client = scene.client(&scene.hands()).await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = scene.broker.accept().await;
    link.expect(rq::GET_MIN_OFFSET).await;
    client.peer.shut().await;
    link.expect_end().await;
}

#[test]
fn the_state_is_plain_json() {
    let (authority, files) = (Authority::new("ours"), Files::new());
    let tls = tls(&files, &[&authority.issue(&["localhost"])]);
    let server = gimbal::tls::ServerTls::new(&tls.settings).unwrap();
    let state = serde_json::to_value(&*server.state()).unwrap();
    assert_eq!(state["certificates"][0]["subject"], "CN=localhost");
    assert!(state["certificates"][0]["not_after"].as_i64().unwrap() > 0);
    let file = state["certificates"][0]["file"].as_str().unwrap();
    assert_eq!(Path::new(file), files.path("0.pem"));
    assert!(!state.to_string().contains("PRIVATE"), "no keys");
}
