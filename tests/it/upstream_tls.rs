//! TLS towards brokers and name servers.

use gimbal::config::ProxyHeader;
use gimbal::protocol::{request as rq, response};
use gimbal::tls::{CertificateFiles, ClientSettings, Verify};
use tokio::time::{Instant, sleep};

use crate::support::tls::{Authority, Files, server};
use crate::support::{Broker, Gimbal, NameServer, Received, Running, SOON};

const NAME: &str = "127.0.0.1";

/// What trusts this authority.
fn trusting(files: &Files, authority: &Authority) -> ClientSettings {
    ClientSettings {
        ca: Some(files.write("ca.pem", &authority.certificate)),
        ..ClientSettings::default()
    }
}

/// A proxy that speaks TLS with broker `a`, and in clear with nobody.
async fn before(ns: &NameServer, a: &Broker, tls: ClientSettings) -> Running {
    ns.broker("a", &[(0, a.address)]);
    Gimbal::before(&[ns])
        .with(|config| config.upstream.tls = Some(tls))
        .start()
        .await
}

fn remark(answer: &Received) -> String {
    let remark = answer.command.remark.as_ref();
    remark.map(|text| text.as_str().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn brokers_and_name_servers_are_met_under_tls_with_our_certificate() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new();
    let hands = server(&servers.issue(&[NAME]), Some(&clients));
    let ns = NameServer::start_under(Some(hands.clone())).await;
    let a = Broker::start("a");
    let own = clients.issue(&["gimbal"]);
    let settings = ClientSettings {
        certificate: Some(CertificateFiles {
            certificate: files.write("own.pem", &own.certificate),
            key: files.write("own.key", &own.key),
        }),
        ..trusting(&files, &servers)
    };
    let proxy = before(&ns, &a, settings).await;
    let mut client = proxy.client().await;
    let asked = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await.under_tls(&hands).await.unwrap();
    let request = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&request, response::SUCCESS).await;
    assert_eq!(client.answer(asked).await.head.code, response::SUCCESS);
    let known = proxy.proxy.upstream_certificates().unwrap();
    assert!(
        known
            .certificates
            .iter()
            .any(|certificate| certificate.subject == "CN=gimbal"),
        "{known:?}"
    );
}

#[tokio::test]
async fn without_a_certificate_a_broker_that_wants_one_refuses() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new();
    let own = servers.issue(&[NAME]);
    let ns = NameServer::start_under(Some(server(&own, None))).await;
    let a = Broker::start("a");
    let proxy = before(&ns, &a, trusting(&files, &servers)).await;
    let mut client = proxy.client().await;
    let asked = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    assert!(
        a.accept()
            .await
            .under_tls(&server(&own, Some(&clients)))
            .await
            .is_err()
    );
    let answer = client.answer(asked).await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
}

#[tokio::test]
async fn the_proxy_header_goes_before_the_handshake() {
    let servers = Authority::new("servers");
    let files = Files::new();
    let hands = server(&servers.issue(&[NAME]), None);
    let ns = NameServer::start_under(Some(hands.clone())).await;
    let a = Broker::start("a");
    ns.broker("a", &[(0, a.address)]);
    let proxy = Gimbal::before(&[&ns])
        .with(|config| {
            config.upstream.tls = Some(trusting(&files, &servers));
            config.upstream.proxy_protocol = ProxyHeader::V2;
        })
        .start()
        .await;
    let mut client = proxy.client().await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    assert_eq!(&link.raw(28).await[..12], b"\r\n\r\n\0\r\nQUIT\n");
    let mut link = link.under_tls(&hands).await.unwrap();
    link.expect(rq::GET_MIN_OFFSET).await;
}

/// What comes of dialling a broker that shows a certificate for `name` of `issuer`, or of the one that is trusted.
async fn dialled(
    issuer: Option<&Authority>,
    name: &str,
    change: impl FnOnce(&mut ClientSettings),
) -> Result<(), String> {
    let trusted = Authority::new("trusted");
    let files = Files::new();
    let ns_hands = server(&trusted.issue(&[NAME, "broker.example.org"]), None);
    let hands = server(&issuer.unwrap_or(&trusted).issue(&[name]), None);
    let ns = NameServer::start_under(Some(ns_hands)).await;
    let a = Broker::start("a");
    let mut settings = trusting(&files, &trusted);
    change(&mut settings);
    let proxy = before(&ns, &a, settings).await;
    let mut client = proxy.client().await;
    let asked = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let link = a.accept().await.under_tls(&hands).await;
    let Ok(mut link) = link else {
        return Err(remark(&client.answer(asked).await));
    };
    // In TLS 1.3 the server is done before the client has judged it.
    if link.next_or_end().await.is_none() {
        return Err(remark(&client.answer(asked).await));
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_unless_nothing_is_checked() {
    let stranger = Authority::new("stranger");
    for verify in [Verify::Full, Verify::Ca] {
        let outcome = dialled(Some(&stranger), NAME, |settings| settings.verify = verify).await;
        let why = outcome.unwrap_err();
        assert!(why.contains("TLS: ") && why.contains("certificate"), "{why}");
    }
    let outcome = dialled(Some(&stranger), NAME, |settings| {
        settings.verify = Verify::None;
        settings.ca = None;
    });
    outcome.await.unwrap();
}

#[tokio::test]
async fn another_name_is_refused_unless_names_do_not_count_or_it_is_expected() {
    let name = "broker.example.org";
    let why = dialled(None, name, |_| {}).await.unwrap_err();
    assert!(why.contains("TLS: "), "{why}");
    dialled(None, name, |settings| settings.verify = Verify::Ca)
        .await
        .unwrap();
    dialled(None, name, |settings| {
        settings.server_name = Some(name.to_owned());
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_new_ca_file_holds_for_the_next_connection_without_a_reload() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new();
    let settings = trusting(&files, &old);
    let ns = NameServer::start_under(Some(server(&old.issue(&[NAME]), None))).await;
    let a = Broker::start("a");
    let proxy = before(&ns, &a, settings).await;
    let mut client = proxy.client().await;
    assert_eq!(
        client
            .call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")])
            .await
            .head
            .code,
        response::TOPIC_NOT_EXIST
    );
    let hands = server(&new.issue(&[NAME]), None);
    let serving = tokio::spawn(async move {
        loop {
            let Ok(mut link) = a.accept().await.under_tls(&hands).await else {
                continue;
            };
            if let Some(request) = link.next_or_end().await {
                link.answer(&request, response::SUCCESS).await;
                return link;
            }
        }
    });
    files.write("ca.pem", &new.certificate);
    let deadline = Instant::now() + SOON;
    while client.call(rq::GET_MIN_OFFSET, &[("bname", "a")]).await.head.code != response::SUCCESS {
        assert!(Instant::now() < deadline, "{:?}", proxy.proxy.health());
        sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(serving.await.unwrap());
}

#[tokio::test]
async fn a_broken_ca_file_keeps_the_old_one_and_says_so() {
    let authority = Authority::new("old");
    let files = Files::new();
    let hands = server(&authority.issue(&[NAME]), None);
    let ns = NameServer::start_under(Some(hands.clone())).await;
    let a = Broker::start("a");
    let proxy = before(&ns, &a, trusting(&files, &authority)).await;
    files.write("ca.pem", "no certificate at all");
    let deadline = Instant::now() + SOON;
    while proxy.proxy.upstream_certificates().unwrap().error.is_none() {
        assert!(Instant::now() < deadline);
        sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut client = proxy.client().await;
    client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await.under_tls(&hands).await.unwrap();
    link.expect(rq::GET_MIN_OFFSET).await;
}
