//! Spans of commands, the traces they belong to, and the collector that metrics and spans are pushed to.

use gimbal::config::{Otlp, Secret, Tracing};
use gimbal::filter::{Answer, Verdict};
use gimbal::protocol::{Command, request as rq, response};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::metrics::eventually;
use crate::support::collector::Collector;
use crate::support::filters::{Script, Stage};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

async fn traced(collector: &Collector, filters: Vec<gimbal::filter::Member>, tracing: Tracing) -> Stage {
    Stage::set(filters, |gimbal| {
        gimbal.with(|config| {
            config.otlp = collector.settings();
            config.tracing = tracing;
        })
    })
    .await
}

fn properties(parent: &str) -> String {
    format!("KEYS\u{1}key-4711\u{2}traceparent\u{1}{parent}\u{2}tracestate\u{1}v=1\u{2}")
}

fn attribute<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|pair| pair.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The next span of a send.
async fn send_span(collector: &mut Collector) -> (Span, Vec<u8>) {
    loop {
        let push = collector.next("/v1/traces").await;
        let request = ExportTraceServiceRequest::decode(&push.body[..]).unwrap();
        let spans = request
            .resource_spans
            .into_iter()
            .flat_map(|spans| spans.scope_spans);
        let mut spans = spans.flat_map(|spans| spans.spans);
        if let Some(span) = spans.find(|span| span.name.starts_with("send")) {
            return (span, push.body);
        }
    }
}

fn property<'a>(command: &'a Command, name: &str) -> Option<&'a str> {
    let text = command.field("i")?;
    let pairs = text.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
    pairs
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value)
        .next_back()
}

#[tokio::test]
async fn a_send_continues_the_trace_of_its_message_and_passes_it_on() {
    let mut collector = Collector::start();
    let tracing = Tracing {
        sample: 0.000_001,
        propagate: true,
    };
    let stage = traced(&collector, Vec::new(), tracing).await;
    let (mut client, mut link) = stage.linked().await;
    let text = properties(PARENT);
    let fields = [
        ("a", "shop"),
        ("b", "T"),
        ("n", "a"),
        ("e", "0"),
        ("i", text.as_str()),
    ];
    let asked = client.ask_with(rq::SEND_MESSAGE_V2, &fields, "body-4711").await;
    let came = link.expect(rq::SEND_MESSAGE_V2).await;
    link.answer(&came, response::SUCCESS).await;
    client.answer(asked).await;
    let (span, body) = send_span(&mut collector).await;
    assert_eq!(span.name, "send T");
    assert_eq!(
        span.trace_id,
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes()
    );
    assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(span.trace_state, "v=1");
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    for (name, value) in [
        ("messaging.system", "rocketmq"),
        ("messaging.operation.type", "send"),
        ("messaging.operation.name", "send_message_v2"),
        ("messaging.destination.name", "T"),
        ("server.address", "a"),
    ] {
        assert_eq!(attribute(&span.attributes, name), Some(value));
    }
    // The message goes on with the span of Gimbal as its parent, and with all else as it was.
    let passed = property(&came.command, "traceparent").unwrap();
    let own = u64::from_be_bytes(span.span_id[..].try_into().unwrap());
    assert_eq!(
        passed,
        format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{own:016x}-01")
    );
    assert_eq!(property(&came.command, "tracestate"), Some("v=1"));
    assert_eq!(came.text(), "body-4711");
    assert!(
        !body.windows(4).any(|bytes| bytes == b"4711"),
        "no body and no key"
    );
}

#[tokio::test]
async fn a_trace_that_is_not_sampled_becomes_no_span_and_its_message_keeps_its_bytes() {
    let mut collector = Collector::start();
    let tracing = Tracing {
        sample: 1.0,
        propagate: true,
    };
    let stage = traced(&collector, Vec::new(), tracing).await;
    let (mut client, mut link) = stage.linked().await;
    for (parent, signed) in [(NOT_SAMPLED, false), (PARENT, true), (PARENT, false)] {
        let text = properties(parent);
        let mut fields = vec![("a", "shop"), ("b", "T"), ("n", "a"), ("i", text.as_str())];
        if signed {
            fields.extend([("AccessKey", "who"), ("Signature", "what")]);
        }
        let asked = client.ask_with(rq::SEND_MESSAGE_V2, &fields, "x").await;
        let came = link.expect(rq::SEND_MESSAGE_V2).await;
        link.answer(&came, response::SUCCESS).await;
        client.answer(asked).await;
        let is_kept = property(&came.command, "traceparent") == Some(parent);
        assert_eq!(is_kept, signed || parent == NOT_SAMPLED, "{parent} {signed}");
    }
    // The first span is that of the second send.
    let (span, _) = send_span(&mut collector).await;
    assert!(!span.parent_span_id.is_empty());
    let text = stage.running.proxy.observers().metrics.text();
    assert!(text.contains("gimbal_trace_not_propagated_total{reason=\"signed\"} 1"));
}

#[tokio::test]
async fn filters_are_events_of_the_span() {
    let mut collector = Collector::start();
    let filter = Script::of(&[rq::SEND_MESSAGE_V2])
        .always(Verdict::Answer(Answer::new(response::NO_PERMISSION, "no")));
    let tracing = Tracing {
        sample: 1.0,
        propagate: false,
    };
    let stage = traced(&collector, vec![filter.member("acl")], tracing).await;
    let mut client = stage.client().await;
    client.call(rq::SEND_MESSAGE_V2, &[("b", "T"), ("n", "a")]).await;
    let (span, _) = send_span(&mut collector).await;
    assert_eq!(attribute(&span.attributes, "gimbal.outcome"), Some("denied"));
    assert_eq!(attribute(&span.attributes, "error.type"), Some("16"));
    assert_eq!(span.status.unwrap().code, 2);
    let [event] = &span.events[..] else {
        panic!("{:?}", span.events);
    };
    assert_eq!(attribute(&event.attributes, "gimbal.filter"), Some("acl"));
    assert_eq!(attribute(&event.attributes, "gimbal.verdict"), Some("answer"));
}

#[tokio::test]
async fn metrics_are_pushed_with_the_headers_that_were_set() {
    let mut collector = Collector::start();
    let stage = Stage::set(Vec::new(), |gimbal| {
        gimbal.with(|config| {
            let token = ("x-token".to_owned(), Secret("secret".to_owned()));
            config.otlp = Otlp {
                headers: [token].into(),
                ..collector.settings()
            };
        })
    })
    .await;
    stage.client().await.route("T").await;
    let has_route = |request: &ExportMetricsServiceRequest| {
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let commands = metrics.iter().find(|metric| metric.name == "gimbal_commands");
        format!("{commands:?}").contains("GET_ROUTEINFO_BY_TOPIC")
    };
    loop {
        let push = collector.next("/v1/metrics").await;
        assert!(push.headers.contains("x-token: secret"), "{}", push.headers);
        assert!(push.headers.contains("content-type: application/x-protobuf"));
        let request = ExportMetricsServiceRequest::decode(&push.body[..]).unwrap();
        let resource = request.resource_metrics[0].resource.clone().unwrap();
        assert_eq!(attribute(&resource.attributes, "service.name"), Some("gimbal"));
        if has_route(&request) {
            break;
        }
    }
}

#[tokio::test]
async fn a_broken_collector_harms_nobody() {
    let collector = Collector::start();
    collector.answers(503);
    let stage = traced(
        &collector,
        Vec::new(),
        Tracing {
            sample: 1.0,
            propagate: false,
        },
    )
    .await;
    let mut client = stage.client().await;
    for _ in 0..50 {
        client.route("T").await;
    }
    let text = || stage.running.proxy.observers().metrics.text();
    eventually("failed pushes are counted", || {
        text().contains("gimbal_otlp_pushes_total{outcome=\"failed\"}")
            && text().contains("gimbal_trace_spans_total{outcome=\"dropped\"}")
    })
    .await;
}
