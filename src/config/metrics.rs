//! `[metrics]`: how many names have numbers of their own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// Labels whose values a metric may have without bound are cut off here.
const MOST: usize = 10_000;

/// What metrics tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Topics that have numbers of their own: the first so many that are used, after the start of the process; all
    /// others are counted together, as "other". 0 counts no topics.
    pub topics: usize,
    /// The same for pairs of topic and consumer group.
    pub groups: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            topics: 100,
            groups: 100,
        }
    }
}

pub(super) fn check(written: Metrics, problems: &mut Problems) -> Metrics {
    for (path, count) in [
        ("metrics.topics", written.topics),
        ("metrics.groups", written.groups),
    ] {
        if count > MOST {
            let what = format!("is {count}, more series than Prometheus should be given");
            problems.error(path, what, format!("0 to {MOST}"));
        }
    }
    written
}
