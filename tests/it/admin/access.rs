//! Who may look in at the admin listener: tokens, certificates, foreign pages.

use super::*;

#[tokio::test]
async fn without_the_token_nothing_is_told_but_whether() {
    let ns = NameServer::start().await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "0123456789abcdef0123\n").unwrap();
    let admin = Admin {
        token_file: Some(token.path().to_owned()),
        ..loopback()
    };
    let looked = Looked::before(&ns, admin).await;
    for path in [
        "/metrics",
        "/api/v1/status",
        "/api/v1/tail",
        "/api/v1/openapi.json",
        "/nothing",
    ] {
        let (status, problem) = looked.get(path).await;
        assert_eq!(status, 401, "{path}");
        assert!(
            problem["accepted"].as_str().unwrap().contains("Bearer"),
            "{problem}"
        );
    }
    assert_eq!(looked.get("/livez").await.0, 200);
    let page = looked.get("/").await;
    assert!(page.0 == 200 && page.1.as_str().unwrap().contains("<title>Gimbal</title>"));
    let shown = async |token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        ask(looked.address(), "GET", "/api/v1/status", &header, "")
            .await
            .0
    };
    assert_eq!(
        (
            shown("0123456789abcdef0123").await,
            shown("0123456789abcdef0124").await
        ),
        (200, 401)
    );
    assert_eq!(looked.post("/api/v1/reload", "{}").await.0, 401);
}

#[tokio::test]
async fn a_certificate_of_the_callers_authority_stands_for_a_token() {
    use crate::support::tls::{Authority, Files, Hands};
    let (authority, callers, others) = (
        Authority::new("admin"),
        Authority::new("callers"),
        Authority::new("others"),
    );
    let folder = Files::new();
    let own = authority.issue(&["localhost"]);
    let admin = Admin {
        tls: Some(AdminTls {
            certificate: folder.write("own.pem", &own.certificate),
            key: folder.write("own.key", &own.key),
            client_ca: Some(folder.write("callers.pem", &callers.certificate)),
        }),
        ..loopback()
    };
    let ns = NameServer::start().await;
    let looked = Looked::before(&ns, admin).await;
    let asked = async |trust: Hands, path: &str| {
        let tcp = TcpStream::connect(looked.address()).await.unwrap();
        let stream = trust.shake(tcp, "localhost").await.unwrap();
        ask_over(stream, ("GET", path), "", "").await.0
    };
    let known = callers.issue(&["operator"]);
    assert_eq!(
        asked(Hands::trusting(&authority).showing(&known), "/api/v1/status").await,
        200
    );
    assert_eq!(asked(Hands::trusting(&authority), "/api/v1/status").await, 401);
    assert_eq!(
        asked(Hands::trusting(&authority), "/livez").await,
        200,
        "probes have no certificate"
    );
    let stranger = others.issue(&["operator"]);
    let tcp = TcpStream::connect(looked.address()).await.unwrap();
    let shaken = Hands::trusting(&authority)
        .showing(&stranger)
        .shake(tcp, "localhost")
        .await;
    if let Ok(mut stream) = shaken {
        // Under TLS 1.3 the refusal comes after the client's part.
        let mut byte = [0];
        assert!(
            !matches!(stream.read(&mut byte).await, Ok(1..)),
            "a stranger hears nothing"
        );
    }
}
