//! A case file as it is written, key by key.
//!
//! The doc comments are the descriptions in the JSON Schema, so they speak to whoever writes cases.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value as Json;

use crate::config::value::Period;

/// Everything a case file may say.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    title = "Gimbal filter cases",
    description = "Commands to show to a filter and what it must decide: cases.toml beside its manifest, run by `gimbal filter test`."
)]
pub struct File {
    /// Handed to the filter for every case that has no config of its own.
    #[schemars(with = "BTreeMap<String, Json>")]
    pub config: toml::Table,
    /// The cases, each with a filter of its own whose store and limits are empty.
    pub case: Vec<CaseSection>,
}

/// One command to show, and what is expected of the filter.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CaseSection {
    /// What it shows, as a sentence.
    pub name: String,
    /// The config for this case, in place of the file's.
    #[schemars(with = "Option<BTreeMap<String, Json>>")]
    pub config: Option<toml::Table>,
    /// Who sends the command.
    pub client: ClientSection,
    /// How often it is shown, to the same filter; the last decision counts. Default: 1.
    pub times: Option<u32>,
    /// Show a send of one message.
    pub send: Option<SendSection>,
    /// Show a send of several messages (320).
    pub batch: Option<BatchSection>,
    /// Show a pull (11).
    pub pull: Option<PullSection>,
    /// Show a pop (200050).
    pub pop: Option<PopSection>,
    /// Show the acknowledgement of a popped message (200051).
    pub ack: Option<AckSection>,
    /// Show a heartbeat (34).
    pub heartbeat: Option<HeartbeatSection>,
    /// Show a request for a topic's route (105).
    pub route: Option<RouteSection>,
    /// Show the end of a transaction (37).
    pub transaction: Option<TransactionSection>,
    /// Show a message handed back by its consumer (36).
    pub send_back: Option<SendBackSection>,
    /// Show the recall of a delayed message (370).
    pub recall: Option<RecallSection>,
    /// Show a request for a consumer's offset (14), or with `commit` its update (15).
    pub offset: Option<OffsetSection>,
    /// Show any other command, as it is on the wire.
    pub command: Option<CommandSection>,
    /// Show a connection that begins, to filters that see connections.
    pub connect: Option<bool>,
    /// Show this answer to the command above, in place of the command.
    pub answer: Option<AnswerSection>,
    /// What the filter must decide. Without it the decision is printed, and only a failure fails.
    pub expect: ExpectSection,
}

/// Who sends the command.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSection {
    /// Its address. Default: "127.0.0.1".
    pub ip: Option<String>,
    /// Its client id, such as "10.0.0.7@4711".
    pub id: Option<String>,
    /// The user whose signature was verified.
    pub user: Option<String>,
    /// Its language: "JAVA" (default), "GO", "CPP", "PYTHON" and so on.
    pub language: Option<String>,
    /// Its version ordinal: 317 is 4.4.0 and every Go client, 477 is 5.3.2. Default: 479.
    pub version: Option<i32>,
    /// The listener it came in by. Default: "default".
    pub listener: Option<String>,
    /// Subject of its verified TLS certificate, such as "CN=orders".
    pub certificate: Option<String>,
}

/// A message.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MessageSection {
    /// Its body, as text.
    pub body: String,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys, separated by blanks.
    pub key: Option<String>,
    /// Its other properties.
    pub properties: BTreeMap<String, Plain>,
    /// Of an answer: its topic. Default: that of the request.
    pub topic: Option<String>,
    /// Of an answer: its offset. Default: the place in the list, from the offset asked for.
    pub offset: Option<i64>,
    /// How often it was delivered before. Default: 0.
    pub reconsumed: Option<i32>,
}

/// A send.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SendSection {
    /// The topic.
    pub topic: String,
    /// The message's body, as text.
    pub body: String,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys, separated by blanks.
    pub key: Option<String>,
    /// Its other properties.
    pub properties: BTreeMap<String, Plain>,
    /// The producer group. Default: "producers".
    pub group: Option<String>,
    /// The queue. Default: 0.
    pub queue: Option<i32>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
    /// "v2" (310, as Java sends it; default) or "v1" (10, as Go does).
    pub header: Option<HeaderName>,
    /// Nobody waits for an answer.
    pub oneway: bool,
    /// How often it was delivered before, of a send to a retry topic.
    pub reconsumed: Option<i32>,
}

/// How the ext fields of a send are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderName {
    /// One letter each.
    V2,
    /// By their names.
    V1,
}

/// A send of several messages.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSection {
    /// The topic of all of them.
    pub topic: String,
    /// The messages.
    pub messages: Vec<MessageSection>,
    /// The producer group. Default: "producers".
    pub group: Option<String>,
    /// The queue. Default: 0.
    pub queue: Option<i32>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
    /// Nobody waits for an answer.
    pub oneway: bool,
}

/// A pull.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PullSection {
    /// The topic.
    pub topic: String,
    /// The consumer group. Default: "consumers".
    pub group: Option<String>,
    /// The queue. Default: 0.
    pub queue: Option<i32>,
    /// The offset to begin with. Default: 0.
    pub offset: Option<i64>,
    /// Messages at most. Default: 32.
    pub max: Option<i32>,
    /// Tags subscribed to. Default: "*".
    pub tags: Option<String>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// A pop.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PopSection {
    /// The topic.
    pub topic: String,
    /// The consumer group. Default: "consumers".
    pub group: Option<String>,
    /// The queue. Default: -1, any.
    pub queue: Option<i32>,
    /// Messages at most. Default: 32.
    pub max: Option<i32>,
    /// Tags subscribed to. Default: "*".
    pub tags: Option<String>,
    /// Whether the messages of a queue come in order.
    pub ordered: bool,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// The acknowledgement of a popped message.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AckSection {
    /// The topic.
    pub topic: String,
    /// The consumer group. Default: "consumers".
    pub group: Option<String>,
    /// The queue. Default: 0.
    pub queue: Option<i32>,
    /// The message's offset. Default: 0.
    pub offset: Option<i64>,
    /// The handle that came with the message. Default: one that fits.
    pub handle: Option<String>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// A heartbeat.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeartbeatSection {
    /// Producer groups.
    pub producers: Vec<String>,
    /// Consumer groups and what they subscribe to.
    pub consumers: Vec<ConsumerSection>,
}

/// A consumer group in a heartbeat.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerSection {
    /// The group.
    pub group: String,
    /// Topics it subscribes to.
    pub topics: Vec<String>,
    /// Tags subscribed to. Default: "*".
    pub tags: Option<String>,
}

/// A request for a topic's route.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSection {
    /// The topic.
    pub topic: String,
}

/// The end of a transaction.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransactionSection {
    /// The topic.
    pub topic: String,
    /// The producer group. Default: "producers".
    pub group: Option<String>,
    /// How it ends. Default: "commit".
    pub outcome: Option<OutcomeName>,
    /// Whether a broker asked for it.
    pub checked: bool,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeName {
    /// The message is handed out.
    Commit,
    /// It is not.
    Rollback,
    /// The producer does not know yet.
    Unknown,
}

/// A message handed back.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SendBackSection {
    /// The message's topic.
    pub topic: String,
    /// The consumer group. Default: "consumers".
    pub group: Option<String>,
    /// The level of the delay after which it comes again. Default: 0, the broker's.
    pub level: Option<i32>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// The recall of a delayed message.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecallSection {
    /// The topic.
    pub topic: String,
    /// The producer group. Default: "producers".
    pub group: Option<String>,
    /// The handle that came with the send's answer.
    pub handle: Option<String>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// A consumer's offset.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OffsetSection {
    /// The topic.
    pub topic: String,
    /// The consumer group. Default: "consumers".
    pub group: Option<String>,
    /// The queue. Default: 0.
    pub queue: Option<i32>,
    /// The offset to keep; without it, the offset is asked for.
    pub commit: Option<i64>,
    /// The broker it names. Default: "broker-a".
    pub broker: Option<String>,
}

/// A command as it is on the wire.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CommandSection {
    /// The request code, by number or name: 310 or "`SEND_MESSAGE_V2`".
    pub code: Plain,
    /// Ext fields.
    pub fields: BTreeMap<String, Plain>,
    /// The body, as text.
    pub body: String,
    /// Nobody waits for an answer.
    pub oneway: bool,
}

/// An answer.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerSection {
    /// The response code, by number or name. Default: 0.
    pub code: Option<Plain>,
    /// Human text.
    pub remark: Option<String>,
    /// Ext fields, beside those that such an answer has.
    pub fields: BTreeMap<String, Plain>,
    /// The body, as text; not together with messages.
    pub body: String,
    /// Messages that a pull or a pop found.
    pub messages: Vec<MessageSection>,
}

/// What the filter must decide; what is not said may be anything.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectSection {
    /// What becomes of the command.
    pub verdict: Option<VerdictName>,
    /// The code of the answer, by number or name: 16 or "`NO_PERMISSION`".
    pub code: Option<Plain>,
    /// The remark of the answer or the reason of the close; * is any text, ? one character.
    pub remark: Option<String>,
    /// How long it is held.
    pub delay: Option<Period>,
    /// Ext fields as they leave; "" for one that must not be there.
    pub fields: BTreeMap<String, Plain>,
    /// Properties of every message as it leaves; "" for one that must not be there.
    pub properties: BTreeMap<String, Plain>,
    /// The body as it leaves, or that of every message; * is any text, ? one character.
    pub body: Option<String>,
    /// How many messages leave.
    pub messages: Option<usize>,
    /// What topics become at the broker, where the filter maps names: "topics become a.*" and the like, as they are printed.
    pub names: Option<String>,
    /// Whether the command leaves as it came.
    pub unchanged: Option<bool>,
    /// How the filter fails, as text with * and ?.
    pub failure: Option<String>,
    /// Whether it is meant that clients try again after this verdict: no warning then.
    pub retried: bool,
}

/// What becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictName {
    /// It goes on.
    Forward,
    /// It is answered.
    Answer,
    /// It is held.
    Delay,
    /// It is forgotten.
    Drop,
    /// The connection is closed.
    Close,
}

/// A text, or a number or truth value that becomes one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plain(pub String);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Plain;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Plain, E> {
                Ok(Plain(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Plain, E> {
                Ok(Plain(number.to_string()))
            }

            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Plain, E> {
                Ok(Plain(truth.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for Plain {
    fn schema_name() -> Cow<'static, str> {
        "Plain".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer", "boolean"]})
    }
}
