//! `gimbal dev --tls`: a certificate made for the run, and what is printed about it.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::tls::Hands;
use crate::support::{Client, Peer, SOON, Speaks};

/// What the process prints until it is ready.
async fn block(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("Ctrl-C stops it") {
        let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap();
        said.push_str(&line.expect("the block comes whole"));
        said.push('\n');
    }
    said
}

#[tokio::test]
async fn dev_shows_a_certificate_that_clients_can_trust_and_takes_it_along() {
    let mut command = Command::from(crate::cli::gimbal(&["dev", "--tls", "--listen", "127.0.0.1:0"]));
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let said = block(&mut child).await;
    for word in [
        "-Dtls.enable=true",
        "producer.WithTls(true)",
        "openssl s_client -connect 127.0.0.1:",
    ] {
        assert!(said.contains(word), "{word} in:\n{said}");
    }
    let after = |word: &str| {
        let rest = said.split_once(word).unwrap().1;
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let address = after("-connect ").parse().unwrap();
    let certificate = PathBuf::from(after("-CAfile "));
    let hands = Hands::trusting_pem(&std::fs::read_to_string(&certificate).unwrap());
    for name in ["localhost", "127.0.0.1"] {
        let peer = hands.connect(address, name).await;
        Client::over(peer, Speaks::NAMED).sync().await;
    }
    Client::connect(address, Speaks::NAMED).await.sync().await;

    // Bad openings are told once in a while, however many there are.
    for _ in 0..20 {
        let mut peer = Peer::new(TcpStream::connect(address).await.unwrap(), "foreign");
        peer.put_bytes(b"SSH-2.0-x\r\n").await;
        peer.expect_end().await;
    }
    let id = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .arg(&id)
            .status()
            .unwrap()
            .success()
    );
    let mut logged = String::new();
    let reading = child.stderr.as_mut().unwrap().read_to_string(&mut logged);
    timeout(SOON, reading).await.unwrap().unwrap();
    assert!(
        timeout(SOON, child.wait()).await.unwrap().unwrap().success(),
        "{logged}"
    );
    assert!(
        logged.contains("it speaks nothing known here (first byte 0x53)"),
        "{logged}"
    );
    assert!(
        logged.matches("it speaks nothing known here").count() < 20,
        "{logged}"
    );
    assert!(!certificate.exists(), "the key goes with the process");
}
