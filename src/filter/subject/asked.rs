//! What a command is about: the topics and groups of the request, also when only its answer is here.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{Names, Subject};
use crate::filter::Access;
use crate::filter::access::{Facts, broker_field, group_field, queue_field, topic_field};
use crate::filter::messages::PopRequest;
use crate::protocol::request as rq;
use crate::protocol::{Code, Fields, Frame, Head};

/// What is remembered of a request until its answer comes, for filters that see answers.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request's code.
    pub code: Code,
    /// Its header as the client wrote it, without the body.
    pub head: Head,
    /// The header's bytes.
    pub frame: Frame,
    /// Names as they were mapped for the request.
    pub names: Option<Names>,
    /// The user that signed it.
    pub user: Option<Arc<str>>,
    /// Topics and groups in it; those in its body were looked up before the body went.
    facts: OnceLock<Arc<Facts>>,
    /// Of a pop that filters changed: what it asks for now.
    popped: Option<Box<Popped>>,
}

/// Group and topic of a pop.
#[derive(Debug, Clone)]
struct Popped {
    group: String,
    topic: String,
}

impl Asked {
    /// Of a request that no filter saw.
    pub fn of(head: &Head, frame: &Frame) -> Arc<Self> {
        let header = Frame::join(frame.kind(), frame.header(), Bytes::new());
        Arc::new(Self {
            code: head.code,
            head: head.clone(),
            frame: header.unwrap_or_else(|_as_long_as_before| frame.clone()),
            names: None,
            user: None,
            facts: OnceLock::new(),
            popped: None,
        })
    }

    /// The topic, where an ext field holds it.
    pub fn topic(&self) -> Option<Cow<'_, str>> {
        topic_field(self.code, &self.head.fields(&self.frame))
    }

    /// The group, where an ext field holds it.
    pub fn group(&self) -> Option<Cow<'_, str>> {
        group_field(self.code, &self.head.fields(&self.frame))
    }

    /// What a pop asked for, as its messages must be acknowledged: names as filters left them.
    pub(super) fn pop_request(&self, answered_by: Option<&str>) -> Option<PopRequest> {
        if self.code != rq::POP_MESSAGE {
            return None;
        }
        let fields = self.head.fields(&self.frame);
        let text = |name| fields.find(name).unwrap_or_default().into_owned();
        let popped = match self.popped.as_deref() {
            Some(popped) => popped.clone(),
            None => Popped {
                group: text("consumerGroup"),
                topic: text("topic"),
            },
        };
        Some(PopRequest {
            group: popped.group,
            topic: popped.topic,
            broker: answered_by.map_or_else(|| text("bname"), str::to_owned),
            is_ordered: fields.is_true("order"),
        })
    }
}

impl Subject {
    /// An ext field of the request.
    pub fn request_field(&mut self, name: &str) -> Option<Cow<'_, str>> {
        if self.asked.is_none() {
            return self.field(name);
        }
        let asked = self.asked.as_ref()?;
        asked.head.fields(&asked.frame).find(name)
    }

    /// The topic of the request.
    pub fn topic(&mut self) -> Option<String> {
        let (code, is_in_body) = (self.code, has_names_in_body(self.code));
        if is_in_body {
            return self.facts().topics().next().map(str::to_owned);
        }
        self.with_request(|fields| topic_field(code, fields).map(Cow::into_owned))
    }

    /// The group of the request.
    pub fn group(&mut self) -> Option<String> {
        let (code, is_in_body) = (self.code, has_names_in_body(self.code));
        if is_in_body {
            return self.facts().groups().next().map(str::to_owned);
        }
        self.with_request(|fields| group_field(code, fields).map(Cow::into_owned))
    }

    /// The queue of the request.
    pub fn queue_id(&mut self) -> Option<i32> {
        let code = self.code;
        self.with_request(|fields| queue_field(code, fields))
    }

    /// The broker that the request names.
    pub fn broker(&mut self) -> Option<String> {
        let code = self.code;
        self.with_request(|fields| broker_field(code, fields).map(Cow::into_owned))
    }

    /// Everything the request touches.
    pub fn accesses(&mut self) -> Vec<Access> {
        self.facts().accesses.clone()
    }

    /// What is to be remembered until the answer comes.
    pub fn to_asked(&mut self) -> Arc<Asked> {
        let facts = OnceLock::new();
        if has_names_in_body(self.code) {
            facts.get_or_init(|| self.facts());
        }
        let mut asked = Asked::of(&self.head, &self.frame);
        let popped = self.popped().map(Box::new);
        let known = Arc::make_mut(&mut asked);
        known.names.clone_from(&self.names);
        known.user.clone_from(&self.client.user);
        known.facts = facts;
        known.popped = popped;
        asked
    }

    /// Group and topic of a pop, when something was changed.
    fn popped(&mut self) -> Option<Popped> {
        if self.code != rq::POP_MESSAGE {
            return None;
        }
        let (head, frame) = self.changed_header()?;
        let fields = head.fields(frame);
        let text = |name| fields.find(name).unwrap_or_default().into_owned();
        Some(Popped {
            group: text("consumerGroup"),
            topic: text("topic"),
        })
    }

    /// Topics and groups of the request.
    pub(in crate::filter) fn facts(&mut self) -> Arc<Facts> {
        if let Some(asked) = &self.asked {
            let fields = asked.head.fields(&asked.frame);
            let facts = || Arc::new(Facts::of(asked.code, &fields, b""));
            return Arc::clone(asked.facts.get_or_init(facts));
        }
        if let Some(facts) = &self.facts {
            return Arc::clone(facts);
        }
        let code = self.code;
        let body = self.current_body();
        let facts = Arc::new(self.with_request(|fields| Facts::of(code, fields, &body)));
        self.facts = Some(Arc::clone(&facts));
        facts
    }

    /// Calls `read` with the ext fields of the request.
    fn with_request<T>(&mut self, read: impl Fn(&Fields<'_>) -> T) -> T {
        if let Some(asked) = &self.asked {
            return read(&asked.head.fields(&asked.frame));
        }
        // What cannot be written is told when the filter is done.
        match self.write() {
            Ok(_) => read(&self.fields_now()),
            Err(_unwritable) => read(&self.fields_as_they_came()),
        }
    }

    /// The header as it was changed, if it was and can be written.
    fn changed_header(&mut self) -> Option<&(Head, Frame)> {
        self.write().ok()?
    }
}

/// Codes whose topics and groups stand in the body.
fn has_names_in_body(code: Code) -> bool {
    matches!(
        code,
        rq::HEART_BEAT
            | rq::LOCK_BATCH_MQ
            | rq::UNLOCK_BATCH_MQ
            | rq::CHECK_CLIENT_CONFIG
            | rq::QUERY_ASSIGNMENT
            | rq::BATCH_ACK_MESSAGE
    )
}
