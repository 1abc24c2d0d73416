//! A client that does what the test says.

use std::net::SocketAddr;

use gimbal::protocol::{Code, Command, FLAG_ONEWAY, Kind, Language, request, response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::peer::{Peer, Received, SOON};

/// How a client introduces itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaks {
    pub(crate) language: Language,
    pub(crate) version: i32,
    pub(crate) kind: Kind,
}

impl Speaks {
    /// A Java client that names the broker in every command (5.1.0 and later).
    pub(crate) const NAMED: Self = Self::java(479);
    /// A Java client that does not (4.9.4).
    pub(crate) const NAMELESS: Self = Self::java(401);

    pub(crate) const fn java(version: i32) -> Self {
        Self {
            language: Language::JAVA,
            version,
            kind: Kind::Json,
        }
    }

    pub(crate) const fn in_binary(self) -> Self {
        Self {
            kind: Kind::Binary,
            ..self
        }
    }
}

/// A group in a heartbeat.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Group<'a> {
    Producer(&'a str),
    /// The group and a topic it subscribes to.
    Consumer(&'a str, &'a str),
}

/// One client connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: Peer,
    speaks: Speaks,
    next: i32,
    /// What came while something else was waited for.
    early: Vec<Received>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, speaks: Speaks) -> Self {
        let stream = timeout(SOON, TcpStream::connect(address)).await.unwrap().unwrap();
        Self::over(Peer::new(stream, "client"), speaks)
    }

    /// A client on an open connection.
    pub(crate) fn over(peer: Peer, speaks: Speaks) -> Self {
        Self {
            peer,
            speaks,
            next: 100,
            early: Vec::new(),
        }
    }

    /// A client whose connection comes from this address of the machine.
    pub(crate) async fn connect_from(from: [u8; 4], address: SocketAddr, speaks: Speaks) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = timeout(SOON, socket.connect(address)).await.unwrap().unwrap();
        Self {
            peer: Peer::new(stream, "client"),
            speaks,
            next: 100,
            early: Vec::new(),
        }
    }

    /// The address it comes from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.peer.local_address()
    }

    /// A command with an opaque of its own.
    pub(crate) fn command(&mut self, code: Code, fields: &[(&str, &str)]) -> Command {
        self.next += 1;
        let mut command = Command::request(code, self.next);
        command.language = self.speaks.language;
        command.version = self.speaks.version;
        command.set_kind(self.speaks.kind);
        for (name, value) in fields {
            command.set_field(name, *value);
        }
        command
    }

    /// Sends a request; its opaque.
    pub(crate) async fn ask(&mut self, code: Code, fields: &[(&str, &str)]) -> i32 {
        self.ask_with(code, fields, "").await
    }

    /// Sends a request with a body; its opaque.
    pub(crate) async fn ask_with(&mut self, code: Code, fields: &[(&str, &str)], body: &str) -> i32 {
        let command = self.command(code, fields).with_body(body.to_owned());
        self.peer.put(&command).await;
        command.opaque
    }

    /// Sends a one-way command; its opaque.
    pub(crate) async fn tell(&mut self, code: Code, fields: &[(&str, &str)]) -> i32 {
        let mut command = self.command(code, fields);
        command.flag |= FLAG_ONEWAY;
        self.peer.put(&command).await;
        command.opaque
    }

    /// The answer to a request, whatever else comes before it.
    pub(crate) async fn answer(&mut self, opaque: i32) -> Received {
        self.wait(&format!("the answer to {opaque}"), |received| {
            received.head.is_response() && received.head.opaque == opaque
        })
        .await
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call(&mut self, code: Code, fields: &[(&str, &str)]) -> Received {
        let opaque = self.ask(code, fields).await;
        self.answer(opaque).await
    }

    /// The next push with this code.
    pub(crate) async fn pushed(&mut self, code: Code) -> Received {
        self.wait(&format!("a push {code}"), |received| {
            !received.head.is_response() && received.head.code == code
        })
        .await
    }

    async fn wait(&mut self, what: &str, wanted: impl Fn(&Received) -> bool) -> Received {
        if let Some(at) = self.early.iter().position(&wanted) {
            return self.early.remove(at);
        }
        loop {
            let Some(received) = self.peer.next_or_end().await else {
                panic!("client: closed while waiting for {what}; came: {:?}", self.early);
            };
            if wanted(&received) {
                return received;
            }
            self.early.push(received);
        }
    }

    /// What came unasked for so far, without waiting.
    pub(crate) fn leftovers(&self) -> &[Received] {
        &self.early
    }

    /// The route of a topic, which must exist.
    pub(crate) async fn route(&mut self, topic: &str) -> Value {
        let fields = [("topic", topic), ("acceptStandardJsonOnly", "true")];
        let answer = self.call(request::GET_ROUTEINFO_BY_TOPIC, &fields).await;
        assert_eq!(answer.head.code, response::SUCCESS, "{:?}", answer.command);
        serde_json::from_slice(&answer.command.body).unwrap()
    }

    /// Sends a heartbeat of these groups; its opaque.
    pub(crate) async fn beat(&mut self, groups: &[Group<'_>]) -> i32 {
        self.ask_with(request::HEART_BEAT, &[], &heartbeat(groups)).await
    }

    /// Whether the other side closes rather than answering.
    pub(crate) async fn is_refused(mut self) -> bool {
        let command = self.command(Code(3_442), &[]);
        self.peer.try_put(&command).await.is_err() || self.peer.next_or_end().await.is_none()
    }

    /// Asks something that Gimbal answers by itself: everything sent before has been taken by then.
    pub(crate) async fn sync(&mut self) {
        let answer = self.call(Code(3_442), &[]).await;
        assert_eq!(answer.head.code, response::REQUEST_CODE_NOT_SUPPORTED);
    }
}

/// The body of a heartbeat.
pub(crate) fn heartbeat(groups: &[Group<'_>]) -> String {
    let mut producers = Vec::new();
    let mut consumers = Vec::new();
    for group in groups {
        match group {
            Group::Producer(name) => producers.push(json!({"groupName": name})),
            Group::Consumer(name, topic) => consumers.push(json!({
                "consumeType": "CONSUME_PASSIVELY", "groupName": name,
                "subscriptionDataSet": [{"subString": "*", "topic": topic}]
            })),
        }
    }
    json!({"clientID": "c", "consumerDataSet": consumers, "heartbeatFingerprint": 0,
           "producerDataSet": producers, "withoutSub": false})
    .to_string()
}
