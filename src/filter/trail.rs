//! What the members of a chain decided about one command, and how long that took.

use std::sync::Arc;
use std::time::Duration;

use super::{Hook, Verdict};

/// What one filter decided, when it did more than let the command pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The filter's name.
    pub filter: Arc<str>,
    /// `request` or `response`.
    pub phase: &'static str,
    /// `changed`, `answer`, `delay`, `drop`, `close`, `failed`; with `shadow-` before it when it was not in force.
    pub verdict: &'static str,
    /// The code of its answer, the milliseconds of its delay, or its reason.
    pub detail: Option<String>,
}

/// What was decided about one command, in order.
#[derive(Debug, Default)]
pub struct Trail {
    /// Decisions; members that only let it pass are left out.
    pub decided: Vec<Decided>,
    /// Time spent in filters.
    pub took: Duration,
}

impl Decided {
    pub(super) fn new(filter: &Arc<str>, hook: Hook, verdict: &'static str, detail: Option<String>) -> Self {
        Self {
            filter: Arc::clone(filter),
            phase: match hook {
                Hook::Request => "request",
                Hook::Response => "response",
                Hook::Connect | Hook::Disconnect => "connection",
            },
            verdict,
            detail,
        }
    }

    /// Of a verdict; `None` when it only let the command pass.
    pub(super) fn of(filter: &Arc<str>, hook: Hook, verdict: &Verdict, way: Followed) -> Option<Self> {
        let is_shadow = way.is_shadow;
        let pick = |enforced, shadow| if is_shadow { shadow } else { enforced };
        let (name, detail) = match verdict {
            Verdict::Forward if way.is_changed => (pick("changed", "shadow-changed"), None),
            Verdict::Forward => return None,
            Verdict::Answer(answer) => (pick("answer", "shadow-answer"), Some(answer.code.0.to_string())),
            Verdict::Delay(wait) => (pick("delay", "shadow-delay"), Some(wait.as_millis().to_string())),
            Verdict::Drop => (pick("drop", "shadow-drop"), None),
            Verdict::Close(reason) => (pick("close", "shadow-close"), Some(reason.clone())),
        };
        Some(Self::new(filter, hook, name, detail))
    }
}

/// How a verdict was followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Followed {
    /// It was not: the filter is in shadow mode.
    pub(super) is_shadow: bool,
    /// The filter changed the command.
    pub(super) is_changed: bool,
}
