//! Recording on a running proxy: what filters would be shown, without secrets, and nothing while nobody records.

use std::net::SocketAddr;
use std::sync::Arc;

use gimbal::admin::Server;
use gimbal::config::Admin;
use gimbal::protocol::{Code, request as rq, response};
use gimbal::proxy::{House, Order, start_admin};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cli::{gimbal, output};
use crate::metrics::eventually;
use crate::support::filters::{Script, Stage};
use crate::support::{Client, Group, Peer, SOON};

/// A stage that can be recorded.
struct Recorded {
    stage: Stage,
    house: Arc<House>,
    _orders: mpsc::Receiver<Order>,
    server: Server,
}

/// A recording as it comes in.
struct Lines(BufReader<TcpStream>);

impl Recorded {
    fn on(stage: Stage) -> Self {
        let (house, orders) = stage.running.proxy.house(json!({}), "info");
        let admin = Admin {
            bind: "127.0.0.1:0".parse().unwrap(),
            token_file: None,
            open: Vec::new(),
            hosts: Vec::new(),
            tls: None,
        };
        let server = start_admin(&admin, Arc::clone(&house)).unwrap();
        Self {
            stage,
            house,
            _orders: orders,
            server,
        }
    }

    async fn new() -> Self {
        Self::on(Stage::with(Vec::new()).await)
    }

    fn address(&self) -> SocketAddr {
        self.server.bound()
    }

    /// Begins to record; the header has come.
    async fn record(&self, query: &str) -> (Lines, Value) {
        let mut socket = TcpStream::connect(self.address()).await.unwrap();
        let request =
            format!("GET /api/v1/record?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut lines = Lines(BufReader::new(socket));
        let header = lines.next().await;
        (lines, header)
    }

    fn is_on(&self) -> bool {
        self.stage.running.proxy.core().tap.is_on()
    }

    fn count(&self, metric: &str) -> String {
        let text = self.stage.running.proxy.observers().metrics.text();
        let line = text.lines().find(|line| line.starts_with(metric)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }
}

impl Lines {
    /// The next line of JSON; heads, sizes of chunks and empty lines are passed over.
    async fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line);
            let count = timeout(SOON, read).await.unwrap().unwrap();
            assert!(count > 0, "the recording has ended");
            if line.starts_with('{') {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }
}

const FIELDS: [(&str, &str); 10] = [
    ("a", "shop"),
    ("b", "orders"),
    ("n", "a"),
    ("e", "0"),
    ("i", "KEYS\u{1}k1\u{2}dbPassword\u{1}s3cr3t\u{2}"),
    ("AccessKey", "s3cr3t-access"),
    ("Signature", "s3cr3t-signature"),
    ("SecurityToken", "s3cr3t-token"),
    ("OnsChannel", "s3cr3t-channel"),
    ("x", "1"),
];

/// A send and its answer.
async fn send(client: &mut Client, link: &mut Peer, fields: &[(&str, &str)], body: &str) {
    let asked = client.ask_with(rq::SEND_MESSAGE_V2, fields, body).await;
    let heard = link.expect(rq::SEND_MESSAGE_V2).await;
    link.answer(&heard, response::SUCCESS).await;
    client.answer(asked).await;
}

async fn beat(client: &mut Client, link: &mut Peer) {
    let beat = client.beat(&[Group::Producer("shop")]).await;
    let heard = link.expect(rq::HEART_BEAT).await;
    link.answer(&heard, response::SUCCESS).await;
    client.answer(beat).await;
}

#[tokio::test]
async fn a_request_and_its_answer_are_recorded_without_secrets() {
    for bodies in [false, true] {
        let recorded = Recorded::new().await;
        let (mut client, mut link) = recorded.stage.linked().await;
        beat(&mut client, &mut link).await;
        let (mut lines, header) = recorded.record(&format!("bodies={bodies}")).await;
        assert_eq!(header["bodies"], json!(bodies));
        assert_eq!(header["gimbal"], env!("CARGO_PKG_VERSION"));
        assert!(
            header["masked"]
                .as_array()
                .unwrap()
                .contains(&json!("OnsChannel"))
        );
        send(&mut client, &mut link, &FIELDS, "hello").await;
        let (request, answer) = (lines.next().await, lines.next().await);
        for line in [&request, &answer] {
            assert!(!line.to_string().contains("s3cr3t"), "{line}");
            assert_eq!(line["session"], request["session"]);
        }
        let command = &request["command"];
        assert_eq!(
            (&request["way"], &command["code"]),
            (&json!("request"), &json!(310))
        );
        assert_eq!(command["name"], "SEND_MESSAGE_V2");
        assert_eq!(command["fields"]["b"], "orders");
        assert_eq!(command["fields"]["AccessKey"], "***");
        assert_eq!(command["fields"]["i"], "KEYS\u{1}k1\u{2}dbPassword\u{1}***\u{2}");
        let said = &request["client"];
        assert_eq!(said["peer"], client.address().to_string());
        assert_eq!((&said["id"], &said["listener"]), (&json!("c"), &json!("main")));
        assert_eq!(
            (&said["language"], &said["version"]),
            (&json!("JAVA"), &json!(479))
        );
        if bodies {
            assert_eq!(command["body"], "aGVsbG8=");
        } else {
            assert_eq!(
                (&command["body"], &command["body_size"]),
                (&Value::Null, &json!(5))
            );
        }
        assert_eq!(
            (&answer["way"], &answer["broker"]),
            (&json!("response"), &json!("a"))
        );
        assert_eq!(answer["command"]["code"], 0);
        assert_eq!(answer["asked"]["fields"]["b"], "orders");
        assert_eq!(answer["asked"]["opaque"], command["opaque"]);
        assert!(answer["at_us"].as_u64() >= request["at_us"].as_u64());
        assert_eq!(recorded.count("gimbal_recorded_commands_total"), "2");
        assert_eq!(recorded.count("gimbal_recording_dropped_total"), "0");
    }
}

#[tokio::test]
async fn what_filters_do_comes_after_what_is_recorded() {
    let filter = Script::of(&[rq::SEND_MESSAGE_V2]).on_request(|subject| {
        subject.set_field("x", "changed");
        Ok(gimbal::filter::Verdict::Forward)
    });
    let recorded = Recorded::on(Stage::with(filter.alone()).await);
    let (mut client, mut link) = recorded.stage.linked().await;
    let (mut lines, _) = recorded.record("").await;
    // Unsigned: a change would break the signature, and the command would be refused.
    let fields = [("a", "shop"), ("b", "orders"), ("n", "a"), ("e", "0"), ("x", "1")];
    let asked = client.ask_with(rq::SEND_MESSAGE_V2, &fields, "hello").await;
    let heard = link.expect(rq::SEND_MESSAGE_V2).await;
    assert_eq!(heard.field("x"), Some("changed"));
    link.answer(&heard, response::SUCCESS).await;
    client.answer(asked).await;
    assert_eq!(lines.next().await["command"]["fields"]["x"], "1");
    assert_eq!(lines.next().await["asked"]["fields"]["x"], "1");
}

#[tokio::test]
async fn only_what_was_asked_for_is_recorded() {
    let recorded = Recorded::new().await;
    let (mut client, mut link) = recorded.stage.linked().await;
    let other = [("a", "shop"), ("b", "invoices"), ("n", "a"), ("e", "0")];
    let queries = [
        "topic=ord*",
        "topic=orders&group=shop&code=send_message_v2,11",
        "code=310&topic=orders&client=127.0.0.1*&sample=1",
    ];
    for query in queries {
        let (mut lines, _) = recorded.record(query).await;
        send(&mut client, &mut link, &other, "no").await;
        send(&mut client, &mut link, &FIELDS, "yes").await;
        let (request, answer) = (lines.next().await, lines.next().await);
        assert_eq!(request["command"]["fields"]["b"], "orders", "{query}");
        assert_eq!(answer["asked"]["opaque"], request["command"]["opaque"], "{query}");
    }
    for (query, said) in [
        ("code=SEND", "code cannot be"),
        ("sample=0", "sample cannot be"),
        ("colour=red", "colour"),
    ] {
        let mut socket = TcpStream::connect(recorded.address()).await.unwrap();
        let request =
            format!("GET /api/v1/record?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(SOON, socket.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains(said),
            "{answer}"
        );
        assert!(answer.contains("\"accepted\""), "{answer}");
    }
}

#[tokio::test]
async fn pushes_of_brokers_are_recorded() {
    let recorded = Recorded::new().await;
    let (mut client, mut link) = recorded.stage.linked().await;
    beat(&mut client, &mut link).await;
    let (mut lines, _) = recorded.record("").await;
    let mut push = gimbal::protocol::Command::request(rq::NOTIFY_CONSUMER_IDS_CHANGED, 1)
        .with_field("consumerGroup", "g");
    push.flag |= gimbal::protocol::FLAG_ONEWAY;
    link.put(&push).await;
    client.pushed(rq::NOTIFY_CONSUMER_IDS_CHANGED).await;
    let line = lines.next().await;
    assert_eq!((&line["way"], &line["broker"]), (&json!("push"), &json!("a")));
    assert_eq!(line["command"]["fields"]["consumerGroup"], "g");
}

#[tokio::test]
async fn nothing_is_captured_while_nobody_records() {
    let recorded = Recorded::new().await;
    let (mut client, mut link) = recorded.stage.linked().await;
    send(&mut client, &mut link, &FIELDS, "before").await;
    assert!(!recorded.is_on());
    let (mut lines, _) = recorded.record("").await;
    assert!(recorded.is_on());
    send(&mut client, &mut link, &FIELDS, "during").await;
    lines.next().await;
    lines.next().await;
    drop(lines);
    eventually("the recording has ended", || !recorded.is_on()).await;
    send(&mut client, &mut link, &FIELDS, "after").await;
    assert_eq!(recorded.count("gimbal_recorded_commands_total"), "2");
}

#[tokio::test]
async fn a_recorder_that_does_not_read_misses_commands_and_holds_up_none() {
    const SENDS: usize = 48;
    let recorded = Recorded::new().await;
    let (mut client, mut link) = recorded.stage.linked().await;
    let (mut lines, _) = recorded.record("bodies=true").await;
    let body = "x".repeat(1 << 20);
    for _ in 0..SENDS {
        send(&mut client, &mut link, &FIELDS, &body).await;
    }
    assert_ne!(recorded.count("gimbal_recording_dropped_total"), "0");
    // Everything is either there or told to be missing.
    let (mut commands, mut left_out) = (0, 0);
    while commands + left_out < 2 * SENDS as u64 {
        let line = lines.next().await;
        match line["left_out"].as_u64() {
            Some(count) => left_out += count,
            None => commands += 1,
        }
    }
    assert_eq!(commands + left_out, 2 * SENDS as u64);
    assert!(left_out > 0 && commands > 0, "{commands} and {left_out}");
    assert_eq!(
        recorded.count("gimbal_recording_dropped_total"),
        left_out.to_string()
    );
}

#[tokio::test]
async fn recordings_at_a_time_are_bounded() {
    let recorded = Recorded::new().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(recorded.record("").await);
    }
    let (_, refused) = recorded.record("").await;
    assert_eq!(refused["error"], "4 others are recording");
    drop(held);
    eventually("they have ended", || !recorded.is_on()).await;
    let (_lines, header) = recorded.record("").await;
    assert!(header["gimbal"].is_string());
    // The house answers for it as it does for everything shown.
    assert!(gimbal::admin::House::unready(&*recorded.house).is_empty());
}

#[tokio::test]
async fn the_command_line_writes_a_file_within_its_bounds() {
    let recorded = Recorded::new().await;
    let (mut client, mut link) = recorded.stage.linked().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.jsonl");
    let url = format!("http://{}", recorded.address());
    let args = [
        "record",
        "--admin",
        &url,
        "-o",
        path.to_str().unwrap(),
        "--topic",
        "orders",
        "--bodies",
        "--max",
        "3",
    ];
    let mut command = gimbal(&args);
    let running = tokio::task::spawn_blocking(move || output(&mut command));
    eventually("it records", || recorded.is_on()).await;
    send(&mut client, &mut link, &FIELDS, "one").await;
    send(&mut client, &mut link, &FIELDS, "two").await;
    let (code, stdout, stderr) = timeout(SOON, running).await.unwrap().unwrap();
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    assert!(stderr.starts_with("recorded 3 commands, "), "{stderr}");
    assert!(stderr.contains("0 were left out"), "{stderr}");
    let text = std::fs::read(&path).unwrap();
    let reader = gimbal::author::corpus::Reader::new(&text[..]).unwrap();
    let codes: Vec<Code> = reader
        .map(|item| match item.unwrap() {
            gimbal::author::corpus::Item::Command(entry) => entry.request().code,
            gimbal::author::corpus::Item::LeftOut(count) => panic!("{count} were left out"),
        })
        .collect();
    assert_eq!(codes, [rq::SEND_MESSAGE_V2; 3]);
    // A filter decides about it as it would have about the traffic.
    let acl = concat!(env!("CARGO_MANIFEST_DIR"), "/filters/acl/acl.wasm");
    let settings = folder.path().join("acl.toml");
    std::fs::write(&settings, "[config]\ndefault = \"allow\"\n").unwrap();
    let mut replay = gimbal(&["replay", path.to_str().unwrap(), "--filter", acl]);
    replay.arg("--config").arg(&settings);
    let (code, stdout, stderr) = output(&mut replay);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout.matches("SEND_MESSAGE_V2").count(), 3, "{stdout}");
    assert!(stdout.contains("\n3 commands, "), "{stdout}");
    // A file that is there is not lost.
    let (code, _, stderr) = output(&mut gimbal(&args));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("exists; accepted: the name of a new file"),
        "{stderr}"
    );
}

#[tokio::test]
async fn an_interrupt_ends_a_recording_with_a_whole_file() {
    let recorded = Recorded::new().await;
    let (mut client, mut link) = recorded.stage.linked().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.jsonl");
    let url = format!("http://{}", recorded.address());
    let mut command = gimbal(&["record", "--admin", &url, "-o", path.to_str().unwrap()]);
    command.stderr(std::process::Stdio::piped());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("it records", || recorded.is_on()).await;
    send(&mut client, &mut link, &FIELDS, "one").await;
    eventually("it has written", || {
        std::fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 3)
    })
    .await;
    let number = child.id().unwrap().to_string();
    let told = std::process::Command::new("kill")
        .args(["-INT", &number])
        .status();
    assert!(told.unwrap().success());
    let mut stderr = String::new();
    let mut pipe = child.stderr.take().unwrap();
    timeout(SOON, pipe.read_to_string(&mut stderr))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        timeout(SOON, child.wait()).await.unwrap().unwrap().code(),
        Some(0)
    );
    assert!(stderr.starts_with("recorded 2 commands, "), "{stderr}");
}

#[test]
fn what_cannot_be_recorded_is_told_with_what_can() {
    let (code, _, stderr) = output(&mut gimbal(&["record", "--admin", "http://127.0.0.1:1"]));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("no admin listener at http://127.0.0.1:1"),
        "{stderr}"
    );
    for (args, said) in [
        (
            ["--size", "many"],
            "accepted: bytes, or a number with KiB, MiB or GiB",
        ),
        (["--for", "sixty"], "invalid value 'sixty' for '--for <TIME>'"),
        (["--max", "0"], "invalid value '0' for '--max <N>'"),
    ] {
        let (code, _, stderr) = output(&mut gimbal(&["record", args[0], args[1]]));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}
