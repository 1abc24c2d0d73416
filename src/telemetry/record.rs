//! What is known of one command after its end: a line of the access log, an event of the live tail, a span.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

/// One command after its end. Never holds bodies, keys of messages or secrets.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Record {
    /// When it came in, RFC 3339 in UTC.
    #[serde(serialize_with = "write_time")]
    #[schema(value_type = String)]
    pub time: SystemTime,
    /// Number of the client's connection, unique while the process lives.
    pub session: u64,
    /// Name of the listener it came in by.
    #[serde(serialize_with = "write_text")]
    #[schema(value_type = String)]
    pub listener: Arc<str>,
    /// Address of the client, after the PROXY protocol, as `ip:port`.
    #[serde(serialize_with = "write_text")]
    #[schema(value_type = String)]
    pub peer: Arc<str>,
    /// The client's id, once it has said it.
    #[serde(serialize_with = "write_optional_text")]
    #[schema(value_type = Option<String>)]
    pub client: Option<Arc<str>>,
    /// Who signed the command, or whose certificate the connection showed.
    #[serde(serialize_with = "write_optional_text")]
    #[schema(value_type = Option<String>)]
    pub user: Option<Arc<str>>,
    /// Which way it went.
    pub way: Way,
    /// The request code.
    pub code: i32,
    /// Its name in RocketMQ, as `SEND_MESSAGE_V2`; empty for codes without one.
    pub name: &'static str,
    /// Whether nobody waited for an answer.
    pub oneway: bool,
    /// The topic it named.
    #[serde(serialize_with = "write_optional_text")]
    #[schema(value_type = Option<String>)]
    pub topic: Option<Arc<str>>,
    /// The producer or consumer group it named.
    #[serde(serialize_with = "write_optional_text")]
    #[schema(value_type = Option<String>)]
    pub group: Option<Arc<str>>,
    /// The broker that answered, or should have.
    #[serde(serialize_with = "write_optional_text")]
    #[schema(value_type = Option<String>)]
    pub broker: Option<Arc<str>>,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of its answer; none for one-way commands.
    pub result: Option<i32>,
    /// What filters decided, those that only let it pass left out.
    pub filters: Vec<Decision>,
    /// The remark of an answer that is not a success, at most 256 bytes.
    pub remark: Option<String>,
    /// From its arrival to its answer, microseconds.
    pub total_us: u64,
    /// The part of it that was spent waiting for brokers and name servers, microseconds.
    pub upstream_us: Option<u64>,
    /// The part of it that was spent in filters, microseconds.
    pub chain_us: Option<u64>,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// Bytes of the answer.
    pub response_bytes: u64,
}

/// Which way a command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A request of the client.
    Request,
    /// A request that a broker sent to the client.
    Push,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A broker or name server answered, or it was one-way and went on.
    Forwarded,
    /// Gimbal answered from what it knows: routes, joined answers, heartbeats.
    Answered,
    /// A filter answered in the broker's place.
    Denied,
    /// A filter dropped it; one-way commands only.
    Dropped,
    /// A filter closed the connection.
    Closed,
    /// Gimbal refused it: a code that is not allowed, a bad signature, too large, leaving.
    Refused,
    /// Nobody answered it in time, or nobody could be reached.
    Failed,
    /// The connection ended before its answer was there.
    Abandoned,
}

impl Way {
    /// Its place among the ways that metrics count by.
    pub fn place(self) -> usize {
        match self {
            Self::Request => 0,
            Self::Push => 1,
        }
    }
}

impl Outcome {
    /// Its place among the outcomes that metrics count by.
    pub fn place(self) -> usize {
        match self {
            Self::Forwarded => 0,
            Self::Answered => 1,
            Self::Denied => 2,
            Self::Dropped => 3,
            Self::Closed => 4,
            Self::Refused => 5,
            Self::Failed => 6,
            Self::Abandoned => 7,
        }
    }

    /// Its name, as metrics, logs and records say it.
    pub fn name(self) -> &'static str {
        crate::metrics::OUTCOMES
            .get(self.place())
            .copied()
            .unwrap_or_default()
    }

    /// The outcome of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Forwarded,
            Self::Answered,
            Self::Denied,
            Self::Dropped,
            Self::Closed,
            Self::Refused,
            Self::Failed,
            Self::Abandoned,
        ];
        all.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// What one filter decided about a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Decision {
    /// The filter's name.
    #[serde(serialize_with = "write_text")]
    #[schema(value_type = String)]
    pub filter: Arc<str>,
    /// `request` or `response`.
    pub phase: &'static str,
    /// `changed`, `answer`, `delay`, `drop`, `close`, `failed`; with `shadow-` before it when it was not in force.
    pub verdict: &'static str,
    /// The code of its answer, the milliseconds of its delay, or its reason.
    pub detail: Option<String>,
}

fn write_time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn write_text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn write_optional_text<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A send that filter `acl` refused.
    pub(in crate::telemetry) fn record() -> Record {
        Record {
            time: SystemTime::UNIX_EPOCH,
            session: 7,
            listener: "main".into(),
            peer: "10.0.0.7:4711".into(),
            client: Some("10.0.0.7@1".into()),
            user: Some("alice".into()),
            way: Way::Request,
            code: 310,
            name: "SEND_MESSAGE_V2",
            oneway: false,
            topic: Some("orders".into()),
            group: Some("shop".into()),
            broker: None,
            outcome: Outcome::Denied,
            result: Some(16),
            filters: vec![Decision {
                filter: "acl".into(),
                phase: "request",
                verdict: "answer",
                detail: Some("16".to_owned()),
            }],
            remark: Some("no permission".to_owned()),
            total_us: 120,
            upstream_us: None,
            chain_us: Some(80),
            request_bytes: 300,
            response_bytes: 90,
        }
    }

    #[test]
    fn outcomes_are_named_as_metrics_count_them() {
        for name in crate::metrics::OUTCOMES {
            assert_eq!(Outcome::named(name).map(Outcome::name), Some(name));
        }
        let written = serde_json::to_value(Outcome::Abandoned).unwrap();
        assert_eq!(written, Outcome::Abandoned.name());
    }
}
