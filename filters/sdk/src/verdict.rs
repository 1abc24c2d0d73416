//! Verdicts and interests in the words of those who write filters.

use crate::{Answer, Code, Interest, Phase, Verdict, code};

impl Verdict {
    /// The response with this code and remark, in place of the broker's. Not for one-way commands: nobody waits for it.
    #[must_use]
    pub fn answer(code: Code, remark: impl Into<String>) -> Self {
        Self::Answer(Answer {
            code,
            remark: Some(remark.into()),
            fields: Vec::new(),
            body: Vec::new(),
        })
    }
}

impl Interest {
    /// Requests with one of these codes; no code at all means every code that clients send.
    pub fn requests(codes: impl IntoIterator<Item = Code>) -> Self {
        Self::new(Phase::Request, codes)
    }

    /// Responses to requests with one of these codes.
    pub fn responses(codes: impl IntoIterator<Item = Code>) -> Self {
        Self::new(Phase::Response, codes)
    }

    /// Requests with one of these codes, and their responses.
    pub fn both(codes: impl IntoIterator<Item = Code>) -> Self {
        Self::new(Phase::Both, codes)
    }

    /// Every kind of send: 10, 310, 320, 324, 325.
    #[must_use]
    pub fn sends() -> Self {
        Self::requests(code::SENDS)
    }

    /// What no command fits: for a filter that its configuration leaves without work. Gimbal does not load a filter that
    /// has no interest at all, unless it has the hooks of connections.
    #[must_use]
    pub fn nothing() -> Self {
        // No client sends this code.
        Self::requests([0])
    }

    fn new(phase: Phase, codes: impl IntoIterator<Item = Code>) -> Self {
        Self {
            codes: codes.into_iter().collect(),
            phase,
            topics: Vec::new(),
            groups: Vec::new(),
            needs_body: false,
        }
    }

    /// Only about topics that one of these patterns fits. Commands without a topic are then not shown.
    #[must_use]
    pub fn topics(mut self, patterns: impl IntoIterator<Item = impl ToString>) -> Self {
        self.topics = patterns.into_iter().map(|pattern| pattern.to_string()).collect();
        self
    }

    /// Only about groups that one of these patterns fits.
    #[must_use]
    pub fn groups(mut self, patterns: impl IntoIterator<Item = impl ToString>) -> Self {
        self.groups = patterns.into_iter().map(|pattern| pattern.to_string()).collect();
        self
    }

    /// Reads or changes the body or the messages in it.
    #[must_use]
    pub fn with_body(mut self) -> Self {
        self.needs_body = true;
        self
    }
}
