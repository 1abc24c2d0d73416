//! The admin listener: who may ask, what is told, what can be done.

mod access;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gimbal::admin::{Action, Server};
use gimbal::config::Admin;
use gimbal::config::admin::AdminTls;
use gimbal::protocol::request as rq;
use gimbal::proxy::{House, Order, start_admin};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Broker, Gimbal, Group, NameServer, Running, SOON};

/// An admin listener with the proxy behind it.
struct Looked {
    proxy: Running,
    house: Arc<House>,
    orders: mpsc::Receiver<Order>,
    server: Server,
}

fn loopback() -> Admin {
    Admin {
        bind: "127.0.0.1:0".parse().unwrap(),
        token_file: None,
        open: vec!["livez".to_owned(), "readyz".to_owned()],
        hosts: Vec::new(),
        tls: None,
    }
}

impl Looked {
    async fn before(ns: &NameServer, admin: Admin) -> Self {
        let proxy = Gimbal::before(&[ns]).start().await;
        let (house, orders) = proxy.proxy.house(json!({ "admin": { "bind": "x" } }), "info");
        let server = start_admin(&admin, Arc::clone(&house)).unwrap();
        Self {
            proxy,
            house,
            orders,
            server,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.bound()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        ask(self.address(), "GET", path, "", "").await
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        ask(
            self.address(),
            "POST",
            path,
            "Content-Type: application/json\r\n",
            body,
        )
        .await
    }
}

/// One request on a connection of its own; the body as JSON, or as a string where it is none.
async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let socket = TcpStream::connect(address).await.unwrap();
    ask_over(socket, (method, path), headers, body).await
}

async fn ask_over(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    (method, path): (&str, &str),
    headers: &str,
    body: &str,
) -> (u16, Value) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Peers that speak TLS may leave without a word.
    drop(timeout(SOON, socket.read_to_end(&mut answer)).await.unwrap());
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(
        head.to_lowercase()
            .contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    (
        status,
        serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())),
    )
}

#[expect(clippy::future_not_send, reason = "a test awaits it where it is made")]
async fn until<F: AsyncFn() -> bool>(what: &str, is_so: F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(SOON, waiting).await.is_ok(), "{what}");
}

#[tokio::test]
async fn sessions_are_told_with_what_they_said_of_themselves() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    ns.topic("T", &[&a]);
    let looked = Looked::before(&ns, loopback()).await;
    let mut client = looked.proxy.client().await;
    client.route("T").await;
    let beat = client.beat(&[Group::Consumer("readers", "T")]).await;
    let _link = a.accept_greeted().await;
    client.answer(beat).await;
    let (status, page) = looked.get("/api/v1/sessions?q=READERS&limit=5").await;
    assert_eq!(
        (status, &page["total"], &page["matched"]),
        (200, &json!(1), &json!(1)),
        "{page}"
    );
    let session = &page["sessions"][0];
    assert_eq!(session["consumers"], json!(["readers"]));
    assert_eq!(session["peer"], json!(client.address().to_string()));
    assert_eq!(session["requests"], json!(2));
    assert!(session["topics"].as_array().unwrap().contains(&json!("T")));
    assert_eq!(session["brokers"], json!(["a"]));
    let (status, one) = looked
        .get(&format!("/api/v1/sessions/{}", session["session"]))
        .await;
    assert_eq!((status, &one["consumers"]), (200, &session["consumers"]));
    assert_eq!(
        looked.get("/api/v1/sessions?q=nobody").await.1["matched"],
        json!(0)
    );
    let (_, upstreams) = looked.get("/api/v1/upstreams").await;
    assert_eq!(
        (
            &upstreams["brokers"][0]["name"],
            &upstreams["brokers"][0]["links"]
        ),
        (&json!("a"), &json!(1))
    );
    assert_eq!(
        looked.get("/api/v1/routes?q=t").await.1["routes"][0]["topic"],
        json!("T")
    );
    assert_eq!(looked.get("/api/v1/listeners").await.1[0]["sessions"], json!(1));
    drop(client);
    until("the session goes from the list", async || {
        looked.get("/api/v1/sessions").await.1["total"] == 0
    })
    .await;
}

#[tokio::test]
async fn questions_about_sessions_that_make_no_sense_are_told_what_would() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let looked = Looked::before(&ns, loopback()).await;
    for (path, expected) in [
        ("/api/v1/sessions/999999", 404),
        ("/api/v1/sessions/x", 404),
        ("/api/v1/sessions?limit=0", 400),
        ("/api/v1/sessions?limit=9999", 400),
        ("/api/v1/sessions?sort=age", 400),
        ("/api/v1/sessions?colour=red", 400),
    ] {
        let (status, problem) = looked.get(path).await;
        assert_eq!(status, expected, "{path}");
        assert!(
            !problem["accepted"].as_str().unwrap().is_empty(),
            "{path}: {problem}"
        );
    }
}

#[tokio::test]
async fn readiness_waits_for_a_name_server_and_ends_with_the_drain() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    ns.hush();
    let looked = Looked::before(&ns, loopback()).await;
    let (status, reasons) = looked.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(reasons.as_str().unwrap().contains("no name server"), "{reasons}");
    assert_eq!(looked.get("/livez").await, (200, json!("ok\n")));
    ns.speak();
    until("a name server has answered", async || {
        looked.get("/readyz").await.0 == 200
    })
    .await;
    ns.hush();
    assert_eq!(
        looked.get("/readyz").await.0,
        200,
        "one that goes later takes nobody out of service"
    );
    let Looked { proxy, server, .. } = looked;
    let mut held = proxy.client().await;
    held.sync().await;
    let draining = tokio::spawn(proxy.proxy.drain());
    let address = server.bound();
    until("draining turns it off", async || {
        ask(address, "GET", "/readyz", "", "").await.0 == 503
    })
    .await;
    let (_, status) = ask(address, "GET", "/api/v1/status", "", "").await;
    assert_eq!(
        (&status["draining"], &status["reasons"][0]),
        (&json!(true), &json!("draining"))
    );
    assert_eq!(
        ask(address, "GET", "/livez", "", "").await.0,
        200,
        "it lives to the end"
    );
    drop(held);
    draining.await.unwrap();
}

#[tokio::test]
async fn the_tail_shows_commands_that_fit_as_they_end() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    ns.topic("T", &[&a]);
    let looked = Looked::before(&ns, loopback()).await;
    let mut tail = TcpStream::connect(looked.address()).await.unwrap();
    let request = "GET /api/v1/tail?outcome=refused HTTP/1.1\r\nHost: localhost\r\n\r\n";
    tail.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let read_until = async |tail: &mut TcpStream, heard: &mut String, what: &str| {
        let mut buffer = [0; 4_096];
        while !heard.contains(what) {
            let count = timeout(SOON, tail.read(&mut buffer)).await.unwrap().unwrap();
            assert!(count > 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    read_until(&mut tail, &mut heard, "event: begin").await;
    let mut client = looked.proxy.client().await;
    client.route("T").await;
    // An admin code is not allowed here.
    let refused = client
        .ask(rq::UPDATE_AND_CREATE_TOPIC, &[("topic", "<b>x</b>")])
        .await;
    client.answer(refused).await;
    read_until(&mut tail, &mut heard, "UPDATE_AND_CREATE_TOPIC").await;
    assert!(
        heard.contains("text/event-stream") && heard.contains("\"outcome\":\"refused\""),
        "{heard}"
    );
    assert!(
        !heard.contains("GET_ROUTEINFO"),
        "what does not fit is not told: {heard}"
    );
    for (path, said) in [
        ("/api/v1/tail?outcome=lost", "outcome cannot be"),
        ("/api/v1/tail?sample=2", "sample cannot be"),
        ("/api/v1/tail?colour=red", "colour"),
    ] {
        let (status, problem) = looked.get(path).await;
        assert_eq!(status, 400);
        assert!(problem["error"].as_str().unwrap().contains(said), "{problem}");
    }
}

#[tokio::test]
async fn actions_reach_whoever_runs_the_process() {
    let ns = NameServer::start().await;
    let mut looked = Looked::before(&ns, loopback()).await;
    let answering = {
        let (_, closed) = mpsc::channel(1);
        let mut orders = std::mem::replace(&mut looked.orders, closed);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < 3 {
                let Order { action, reply } = orders.recv().await.unwrap();
                let done = gimbal::admin::view::Done {
                    done: format!("{action:?}"),
                    notes: Vec::new(),
                };
                reply.send(Ok(done)).unwrap();
                seen.push(action);
            }
            seen
        })
    };
    assert_eq!(looked.post("/api/v1/reload", "").await.0, 200);
    assert_eq!(
        looked.post("/api/v1/log-level", "{\"level\":\"debug\"}").await.0,
        200
    );
    assert_eq!(
        looked.post("/api/v1/drain", "{}").await,
        (200, json!({ "done": "Drain" }))
    );
    let expected = [
        Action::Reload,
        Action::LogLevel("debug".to_owned()),
        Action::Drain,
    ];
    assert_eq!(answering.await.unwrap(), expected);
    for (path, body, expected) in [
        ("/api/v1/log-level", "", 400),
        ("/api/v1/log-level", "{\"level\":\"x\",\"y\":1}", 400),
        ("/api/v1/reload", "{\"force\":true}", 400),
        ("/api/v1/reload", "{}", 503),
        ("/api/v1/filters/acl/disable", "{}", 409),
    ] {
        let (status, problem) = looked.post(path, body).await;
        assert_eq!(status, expected, "{path} {body}: {problem}");
    }
    let (status, _) = ask(looked.address(), "POST", "/api/v1/drain", "", "").await;
    assert_eq!(status, 415, "a form of another site cannot drain");
    let huge = format!("{{\"level\":\"{}\"}}", "x".repeat(20_000));
    assert_eq!(looked.post("/api/v1/log-level", &huge).await.0, 413);
    drop(looked.house);
}

#[tokio::test]
async fn every_path_is_described_and_every_description_leads_somewhere() {
    let ns = NameServer::start().await;
    let looked = Looked::before(&ns, loopback()).await;
    let (_, document) = looked.get("/api/v1/openapi.json").await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let text = document.to_string();
    for schema in text.split("\"#/components/schemas/").skip(1) {
        let name = schema.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name} is described"
        );
    }
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 21, "{:?}", paths.keys());
    for (path, item) in paths {
        let methods: Vec<&String> = item.as_object().unwrap().keys().collect();
        let real = path.replace("{session}", "1").replace("{name}", "none");
        let is_action = methods == ["post"];
        assert!(is_action || methods == ["get"], "{path}: {methods:?}");
        if ["/api/v1/tail", "/api/v1/record"].contains(&path.as_str()) {
            continue;
        }
        let operation = &item[if is_action { "post" } else { "get" }];
        let (status, _) = if is_action {
            // Nothing is done without a body that says so.
            ask(looked.address(), "POST", &real, "", "").await
        } else {
            looked.get(&real).await
        };
        assert!(
            operation["responses"][status.to_string()].is_object(),
            "{path} answers {status}, undescribed"
        );
        assert!(
            operation["summary"].is_string() || operation["description"].is_string(),
            "{path}"
        );
        let wrong = if is_action { "GET" } else { "DELETE" };
        let (status, problem) = ask(
            looked.address(),
            wrong,
            &real,
            "Content-Type: application/json\r\n",
            "",
        )
        .await;
        assert_eq!(status, 405, "{wrong} {path}");
        assert!(problem["accepted"].is_string(), "{problem}");
    }
    let (status, problem) = looked.get("/api/v2/status").await;
    assert_eq!(
        (status, problem["error"].as_str()),
        (404, Some("there is nothing at /api/v2/status"))
    );
}
