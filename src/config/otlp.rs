//! `[otlp]`: the OpenTelemetry collector that metrics and spans are pushed to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::effective::MASK;
use super::problem::Problems;
use super::value::Period;

/// An OpenTelemetry collector, spoken to as OTLP over HTTP with protobuf. Metrics and spans are pushed to it; when it
/// cannot be reached, nothing else is affected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Section {
    /// Its URL without a path, as in "`http://127.0.0.1:4318`". Default: none, and nothing is pushed.
    pub endpoint: Option<String>,
    /// Headers sent along, as for a token; their values are not shown anywhere.
    pub headers: BTreeMap<String, Secret>,
    /// File with more headers, one "name: value" per line, read before every push.
    pub headers_from: Option<String>,
    /// How often metrics are pushed. "0s" pushes spans only.
    pub interval: Period,
    /// How long one push may take.
    pub timeout: Period,
}

/// Text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl Default for Section {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            headers_from: None,
            interval: Period(Duration::from_secs(15)),
            timeout: Period(Duration::from_secs(5)),
        }
    }
}

/// The collector that metrics and spans are pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Otlp {
    /// Its URL without a path and without a slash at its end; `None` pushes nothing.
    pub endpoint: Option<String>,
    /// Headers.
    pub headers: BTreeMap<String, Secret>,
    /// A file with more of them.
    pub headers_from: Option<PathBuf>,
    /// Between two pushes of metrics; zero pushes none.
    pub interval: Duration,
    /// For one push.
    pub timeout: Duration,
}

pub(super) fn check(written: &Section, problems: &mut Problems) -> Otlp {
    const ACCEPTED: &str = "a URL without a path, such as \"http://127.0.0.1:4318\"";
    let endpoint = written
        .endpoint
        .as_deref()
        .filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint.map(|endpoint| endpoint.trim_end_matches('/'));
    if let Some(endpoint) = endpoint {
        let host = endpoint
            .strip_prefix("http://")
            .or_else(|| endpoint.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', ' '])) {
            problems.error("otlp.endpoint", format!("is {endpoint:?}"), ACCEPTED);
        }
    }
    for name in written.headers.keys() {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.!#$%&'*+^`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            let path = format!("otlp.headers.{name}");
            problems.error(&path, "is no name of a header", "letters, digits and -");
        }
    }
    if written.timeout.0.is_zero() {
        problems.error("otlp.timeout", "is zero", "a longer time, such as \"5s\"");
    }
    let interval = written.interval.0;
    if !interval.is_zero() && interval < Duration::from_secs(1) {
        problems.error(
            "otlp.interval",
            format!("is {interval:?}"),
            "1s or more, or 0s for no metrics",
        );
    }
    Otlp {
        endpoint: endpoint.map(str::to_owned),
        headers: written.headers.clone(),
        headers_from: written.headers_from.as_ref().map(PathBuf::from),
        interval,
        timeout: written.timeout.0,
    }
}
