//! `[tracing]`: which commands become spans, and whether traces go on inside messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access_log::check_share;
use super::otlp::Section as Otlp;
use super::problem::Problems;

/// One span per command, for an OpenTelemetry collector; see `otlp`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tracing {
    /// The share of commands that become spans, from 0.0 (none) to 1.0 (all). A send whose message carries a
    /// `traceparent` belongs to that trace, and becomes a span exactly if that trace is sampled.
    pub sample: f64,
    /// Writes `traceparent` into the properties of messages of sampled sends, so that consumers continue the trace.
    /// Signed sends need the client's key for that, and otherwise keep their bytes.
    pub propagate: bool,
}

pub(super) fn check(written: Tracing, otlp: &Otlp, problems: &mut Problems) -> Tracing {
    check_share("tracing.sample", written.sample, problems);
    if written.sample > 0.0 && otlp.endpoint.is_none() {
        let what = "wants spans, and there is no collector to send them to";
        problems.warning(
            "tracing.sample",
            what,
            "otlp.endpoint, such as \"http://127.0.0.1:4318\"",
        );
    }
    written
}
