//! The same sheet as OpenTelemetry's protocol writes it.

use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Text;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::family::{Family, Kind};
use super::sheet::{Sample, Sheet, Value};

/// Where metrics are posted to.
pub const METRICS_PATH: &str = "/v1/metrics";

/// Between which moments values were counted, nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Span {
    since: u64,
    now: u64,
}

/// A name with a text.
pub fn pair(name: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(Text::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}

/// Who tells.
pub fn resource(version: &str, instance: &str) -> Resource {
    Resource {
        attributes: vec![
            pair("service.name", "gimbal"),
            pair("service.version", version),
            pair("service.instance.id", instance),
        ],
        ..Resource::default()
    }
}

/// Where in Gimbal it comes from: nowhere in particular.
pub fn scope(version: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: "gimbal".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Nanoseconds since 1970.
pub fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes all values.
pub(super) fn write(sheet: &Sheet, resource: Resource, version: &str, since: SystemTime) -> Vec<u8> {
    let span = Span {
        since: nanos(since),
        now: nanos(SystemTime::now()),
    };
    let metrics = sheet
        .families()
        .map(|(family, samples)| metric(family, samples, span));
    let scope_metrics = ScopeMetrics {
        scope: Some(scope(version)),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    };
    let resource_metrics = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope_metrics],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![resource_metrics],
    }
    .encode_to_vec()
}

fn metric(family: &Family, samples: &[Sample], span: Span) -> Metric {
    let numbers = || {
        samples
            .iter()
            .filter_map(|sample| number(family, sample, span))
            .collect()
    };
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match family.kind {
        Kind::Counter => metric::Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: true,
        }),
        Kind::Gauge => metric::Data::Gauge(Gauge {
            data_points: numbers(),
        }),
        Kind::Histogram => metric::Data::Histogram(Histogram {
            data_points: samples
                .iter()
                .filter_map(|sample| spread(family, sample, span))
                .collect(),
            aggregation_temporality: cumulative,
        }),
    };
    Metric {
        name: family.otlp_name().to_owned(),
        description: family.help.to_owned(),
        unit: family.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn attributes(family: &Family, sample: &Sample) -> Vec<KeyValue> {
    let own = family
        .labels
        .iter()
        .zip(&sample.labels)
        .map(|(name, value)| pair(name, value));
    own.chain(sample.more.iter().map(|(name, value)| pair(name, value)))
        .collect()
}

fn number(family: &Family, sample: &Sample, span: Span) -> Option<NumberDataPoint> {
    let Value::Number(number) = sample.value else {
        return None;
    };
    Some(NumberDataPoint {
        attributes: attributes(family, sample),
        start_time_unix_nano: span.since,
        time_unix_nano: span.now,
        value: Some(number_data_point::Value::AsDouble(number)),
        ..NumberDataPoint::default()
    })
}

fn spread(family: &Family, sample: &Sample, span: Span) -> Option<HistogramDataPoint> {
    let Value::Spread { bounds, counts, sum } = &sample.value else {
        return None;
    };
    Some(HistogramDataPoint {
        attributes: attributes(family, sample),
        start_time_unix_nano: span.since,
        time_unix_nano: span.now,
        count: counts.iter().sum(),
        sum: Some(*sum),
        bucket_counts: counts.clone(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    })
}
