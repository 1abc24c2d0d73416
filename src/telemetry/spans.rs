//! A command as a span, named and described as OpenTelemetry's conventions for messaging have it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span, status};

use super::context::Context;
use super::push::Finished;
use super::{Outcome, Record, Way};
use crate::metrics::otlp::{nanos, pair, resource, scope};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Flags of a span whose parent is at the other end of a connection, and sampled.
const SAMPLED: u32 = 0x01;
const HAS_REMOTE: u32 = 0x100 | 0x200;

/// These commands as one push.
pub(super) fn request(batch: &[Finished], instance: &str) -> ExportTraceServiceRequest {
    let spans = batch.iter().map(|(record, context)| of(record, context));
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(VERSION, instance)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope(VERSION)),
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn of(record: &Record, context: &Context) -> Span {
    let begin = nanos(record.time);
    let operation = operation(record);
    let name = match &record.topic {
        Some(topic) => format!("{operation} {topic}"),
        None => operation.to_owned(),
    };
    Span {
        trace_id: context.trace.to_be_bytes().to_vec(),
        span_id: context.span.to_be_bytes().to_vec(),
        parent_span_id: context
            .parent
            .map(|id| id.to_be_bytes().to_vec())
            .unwrap_or_default(),
        trace_state: context.state.clone().unwrap_or_default(),
        flags: if context.parent.is_some() {
            SAMPLED | HAS_REMOTE
        } else {
            SAMPLED
        },
        name,
        kind: match record.way {
            Way::Request => span::SpanKind::Server,
            Way::Push => span::SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: begin.saturating_add(record.total_us.saturating_mul(1_000)),
        attributes: attributes(record, operation),
        events: record
            .filters
            .iter()
            .map(|decided| event(decided, begin))
            .collect(),
        status: Some(status(record)),
        ..Span::default()
    }
}

/// What the command does with messages, in one word.
fn operation(record: &Record) -> &'static str {
    match record.name {
        name if name.starts_with("SEND_") => "send",
        "PULL_MESSAGE" | "LITE_PULL_MESSAGE" | "POP_MESSAGE" | "PEEK_MESSAGE" => "receive",
        "ACK_MESSAGE"
        | "BATCH_ACK_MESSAGE"
        | "CHANGE_MESSAGE_INVISIBLETIME"
        | "UPDATE_CONSUMER_OFFSET"
        | "END_TRANSACTION"
        | "CONSUMER_SEND_MSG_BACK" => "settle",
        "" => "unknown",
        name => name,
    }
}

fn number(name: &str, value: u64) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX))),
        }),
        ..KeyValue::default()
    }
}

fn attributes(record: &Record, operation: &'static str) -> Vec<KeyValue> {
    let mut all = vec![
        pair("messaging.system", "rocketmq"),
        pair("messaging.operation.name", record.name.to_ascii_lowercase()),
        pair("gimbal.listener", &*record.listener),
        pair("gimbal.outcome", record.outcome.name()),
        number("gimbal.request.size", record.request_bytes),
        number("gimbal.response.size", record.response_bytes),
    ];
    if matches!(operation, "send" | "receive" | "settle") {
        all.push(pair("messaging.operation.type", operation));
    }
    if let Some((address, port)) = record.peer.rsplit_once(':') {
        all.push(pair("client.address", address.trim_matches(['[', ']'])));
        all.extend(port.parse().ok().map(|port| number("client.port", port)));
    }
    let group = match operation {
        "send" => "messaging.rocketmq.producer_group",
        _ => "messaging.consumer.group.name",
    };
    let optional = [
        ("messaging.destination.name", &record.topic),
        (group, &record.group),
        ("messaging.client.id", &record.client),
        ("server.address", &record.broker),
        ("user.name", &record.user),
    ];
    all.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some(pair(name, &**value.as_ref()?))),
    );
    all.extend(
        record
            .result
            .map(|result| pair("gimbal.result", result.to_string())),
    );
    all.extend(record.upstream_us.map(|time| number("gimbal.upstream_us", time)));
    all.extend(record.chain_us.map(|time| number("gimbal.chain_us", time)));
    if is_error(record) {
        let kind = record
            .result
            .map_or_else(|| record.outcome.name().to_owned(), |result| result.to_string());
        all.push(pair("error.type", kind));
    }
    all
}

fn event(decided: &super::Decision, when: u64) -> span::Event {
    let mut attributes = vec![
        pair("gimbal.filter", &*decided.filter),
        pair("gimbal.phase", decided.phase),
        pair("gimbal.verdict", decided.verdict),
    ];
    attributes.extend(
        decided
            .detail
            .as_ref()
            .map(|detail| pair("gimbal.detail", detail)),
    );
    span::Event {
        time_unix_nano: when,
        name: "filter decided".to_owned(),
        attributes,
        ..span::Event::default()
    }
}

fn is_error(record: &Record) -> bool {
    !matches!(
        record.outcome,
        Outcome::Forwarded | Outcome::Answered | Outcome::Abandoned
    )
}

fn status(record: &Record) -> Status {
    let code = if is_error(record) {
        status::StatusCode::Error
    } else {
        status::StatusCode::Unset
    };
    Status {
        code: code.into(),
        message: record
            .remark
            .clone()
            .filter(|_| is_error(record))
            .unwrap_or_default(),
    }
}
