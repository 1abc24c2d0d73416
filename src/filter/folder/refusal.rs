//! What stands in the chain for a filter that should be there and could never be loaded: it lets nothing through.

use crate::filter::{Failure, Filter, Hook, Hooks, Interest, Patterns, Subject, Verdict};

/// A filter that fails every request.
#[derive(Debug)]
pub(super) struct Refusal {
    interests: [Interest; 1],
    reason: String,
}

impl Refusal {
    pub(super) fn new(reason: String) -> Self {
        let everything = Interest {
            codes: Vec::new(),
            requests: true,
            responses: false,
            topics: Patterns::default(),
            groups: Patterns::default(),
            needs_body: false,
        };
        Self {
            interests: [everything],
            reason,
        }
    }
}

impl Filter for Refusal {
    fn interests(&self) -> &[Interest] {
        &self.interests
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            requests: true,
            ..Hooks::default()
        }
    }

    fn call(&self, _hook: Hook, subject: Box<Subject>) -> (Box<Subject>, Result<Verdict, Failure>) {
        (subject, Err(Failure::NoInstance(self.reason.clone())))
    }
}
