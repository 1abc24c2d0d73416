//! Commands for tests: a request, the response to it, and the messages inside.

use super::accesses;
use crate::{Access, Code, code};

/// A request, and the response to it where that is what a test is about. Made by [`Request::new`] or one of the
/// shorter ways, and completed by the methods; every part can also be read, and is public for what a filter changed.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of the wire, each with a name of its own"
)]
pub struct Request {
    /// The request code.
    pub code: Code,
    /// Ext fields, in order.
    pub fields: Vec<(String, String)>,
    /// The body, where it is not messages.
    pub body: Vec<u8>,
    /// The user messages inside: of the response if there is one, else of the request.
    pub messages: Vec<Message>,
    /// The response, if one has come.
    pub response: Option<Response>,
    /// Groups that a filter took out of a heartbeat.
    pub removed_groups: Vec<String>,
    /// Whether nobody waits for an answer.
    pub is_oneway: bool,
    /// Whether a broker sent it.
    pub is_from_broker: bool,
    /// Whether its client signed it.
    pub is_signed: bool,
    /// Its correlation number.
    pub opaque: i32,
    /// The sender's language.
    pub language: String,
    /// The sender's version ordinal.
    pub version: i32,
    /// Human text.
    pub remark: Option<String>,
    /// Who sent it.
    pub client: Client,
    pub(super) max_delay: Option<u32>,
    pub(super) accesses: Option<Vec<Access>>,
}

/// A broker's response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The response code.
    pub code: Code,
    /// Human text.
    pub remark: Option<String>,
    /// Ext fields, in order.
    pub fields: Vec<(String, String)>,
    /// The body, where it is not messages.
    pub body: Vec<u8>,
}

/// What is known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its IP address; the port is always 50000.
    pub ip: String,
    /// Its client id.
    pub id: Option<String>,
    /// Its verified user.
    pub user: Option<String>,
    /// The listener it came in by.
    pub listener: String,
    /// Subject of its certificate.
    pub tls_subject: Option<String>,
    /// Number of its connection.
    pub connection: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            ip: "192.0.2.1".to_owned(),
            id: None,
            user: None,
            listener: "default".to_owned(),
            tls_subject: None,
            connection: 1,
        }
    }
}

/// A user message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its own topic; none means that of the command.
    pub topic: Option<String>,
    /// Its properties, in order.
    pub properties: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Where it stands in its queue.
    pub queue_offset: Option<u64>,
    /// How often it was delivered before.
    pub reconsume_times: u32,
    /// When it was made, milliseconds since 1970.
    pub born_timestamp: u64,
    /// Why it cannot be read, if a test is about that.
    pub unreadable: Option<String>,
}

impl Message {
    /// A message with this body.
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    /// With a property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a topic of its own.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.topic = Some(topic.to_owned());
        self
    }

    /// The body as text, for assertions.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Request {
    /// A request with this code, of a Java client.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            fields: Vec::new(),
            body: Vec::new(),
            messages: Vec::new(),
            response: None,
            removed_groups: Vec::new(),
            is_oneway: code == code::END_TRANSACTION,
            is_from_broker: code::PUSHES.contains(&code) || [40, 220, 221, 307].contains(&code),
            is_signed: false,
            opaque: 1,
            language: "JAVA".to_owned(),
            version: 477,
            remark: None,
            client: Client::default(),
            max_delay: None,
            accesses: None,
        }
    }

    /// A send (310) of one message by producer group `producers`.
    pub fn send(topic: &str) -> Self {
        Self::new(code::SEND_MESSAGE_V2)
            .field("a", "producers")
            .field("b", topic)
            .field("e", "0")
            .messages([Message::new("hello")])
    }

    /// A batch send (320) by producer group `producers`.
    pub fn batch(topic: &str, messages: impl IntoIterator<Item = Message>) -> Self {
        Self::new(code::SEND_BATCH_MESSAGE)
            .field("a", "producers")
            .field("b", topic)
            .field("e", "0")
            .field("m", "true")
            .messages(messages)
    }

    /// A pull (11).
    pub fn pull(topic: &str, group: &str) -> Self {
        Self::new(code::PULL_MESSAGE)
            .field("consumerGroup", group)
            .field("topic", topic)
            .field("queueId", "0")
    }

    /// A pop (200050).
    pub fn pop(topic: &str, group: &str) -> Self {
        Self::new(code::POP_MESSAGE)
            .field("consumerGroup", group)
            .field("topic", topic)
            .field("queueId", "-1")
    }

    /// A heartbeat (34) of consumer groups, each with the topics it subscribes to.
    pub fn heartbeat(client_id: &str, groups: &[(&str, &[&str])]) -> Self {
        let consumers: Vec<_> = groups
            .iter()
            .map(|(group, topics)| {
                let subscriptions: Vec<_> = topics
                    .iter()
                    .map(|topic| serde_json::json!({ "topic": topic, "subString": "*" }))
                    .collect();
                serde_json::json!({ "groupName": group, "subscriptionDataSet": subscriptions })
            })
            .collect();
        let body =
            serde_json::json!({ "clientID": client_id, "consumerDataSet": consumers, "producerDataSet": [] });
        Self::new(code::HEART_BEAT)
            .body(body.to_string())
            .client_id(client_id)
    }

    /// With an ext field; one of that name is replaced.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        set(&mut self.fields, name, value);
        self
    }

    /// With a body. In a send it is the body of its one message.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if code::SENDS.contains(&self.code) && self.code != code::SEND_BATCH_MESSAGE {
            let properties = self
                .messages
                .pop()
                .map(|message| message.properties)
                .unwrap_or_default();
            self.messages = vec![Message {
                properties,
                ..Message::new(body)
            }];
        } else {
            self.body = body.into();
        }
        self
    }

    /// With these messages in place of those inside.
    #[must_use]
    pub fn messages(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.messages = messages.into_iter().collect();
        self
    }

    /// With a property in every message.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        for message in &mut self.messages {
            set(&mut message.properties, name, value);
        }
        self
    }

    /// One-way: nobody waits for an answer.
    #[must_use]
    pub fn oneway(mut self) -> Self {
        self.is_oneway = true;
        self
    }

    /// Signed by its client.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.is_signed = true;
        self
    }

    /// From this IP address.
    #[must_use]
    pub fn ip(mut self, ip: &str) -> Self {
        ip.clone_into(&mut self.client.ip);
        self
    }

    /// From this verified user.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.client.user = Some(user.to_owned());
        self
    }

    /// From the client of this id.
    #[must_use]
    pub fn client_id(mut self, id: &str) -> Self {
        self.client.id = Some(id.to_owned());
        self
    }

    /// By this listener.
    #[must_use]
    pub fn listener(mut self, listener: &str) -> Self {
        listener.clone_into(&mut self.client.listener);
        self
    }

    /// On this connection; 1 otherwise.
    #[must_use]
    pub fn connection(mut self, number: u64) -> Self {
        self.client.connection = number;
        self
    }

    /// With this bound on delays, in place of the usual one of its code.
    #[must_use]
    pub fn max_delay(mut self, milliseconds: u32) -> Self {
        self.max_delay = Some(milliseconds);
        self
    }

    /// Touching this, in place of what code, fields and body say.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.accesses.get_or_insert_default().push(access);
        self
    }

    /// Answered with this code. What [`messages`](Self::messages) sets from here on is what the answer brings.
    #[must_use]
    pub fn answered(mut self, code: Code) -> Self {
        self.response = Some(Response {
            code,
            ..Response::default()
        });
        self.messages.clear();
        self
    }

    /// Answered with success and these messages.
    #[must_use]
    pub fn found(self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.answered(code::SUCCESS).messages(messages)
    }

    /// The value of an ext field, for assertions.
    pub fn value(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }

    pub(super) fn topic(&self) -> Option<String> {
        accesses::topic(self)
    }

    pub(super) fn group(&self) -> Option<String> {
        accesses::group(self)
    }

    /// Bytes of the body as a client would write it: a batch has 22 bytes around each message.
    pub(super) fn body_size(&self) -> usize {
        let own = self
            .response
            .as_ref()
            .map_or(self.body.len(), |response| response.body.len());
        let around = match (self.response.is_some(), self.code) {
            (true, _) => 91,
            (false, code::SEND_BATCH_MESSAGE) => 22,
            (false, _) => 0,
        };
        own + self
            .messages
            .iter()
            .map(|message| message.body.len() + around)
            .sum::<usize>()
    }
}

pub(super) fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

pub(super) fn set(pairs: &mut Vec<(String, String)>, name: &str, value: &str) {
    match pairs.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => value.clone_into(old),
        None => pairs.push((name.to_owned(), value.to_owned())),
    }
}

pub(super) fn remove(pairs: &mut Vec<(String, String)>, name: &str) -> bool {
    let before = pairs.len();
    pairs.retain(|(key, _)| key != name);
    pairs.len() < before
}
