//! How sessions use the chain of filters, seen from outside: scripted clients, brokers and filters.

mod answers;
mod changes;
mod connections;
mod delays;
mod failures;
mod heartbeats;
mod interests;
mod mapping;
mod messages;
mod pushes;
mod responses;
mod signed;

use gimbal::filter::{Answer, Subject, Verdict};
use gimbal::protocol::{Code, request as rq};

use crate::support::filters::Script;

/// A send as new clients write it.
const SEND: &[(&str, &str)] = &[("n", "a"), ("a", "p"), ("b", "T"), ("e", "0")];

/// What a filter says when it forbids.
fn no(text: &str) -> Verdict {
    Verdict::Answer(Answer::new(Code(16), text))
}

/// A filter that changes requests of this code and lets them pass.
fn changing(code: Code, change: impl Fn(&mut Subject) + Send + Sync + 'static) -> Script {
    Script::of(&[code]).on_request(move |subject| {
        change(subject);
        Ok(Verdict::Forward)
    })
}

/// A filter that changes answers to requests of this code and lets them pass.
fn changing_answers(code: Code, change: impl Fn(&mut Subject) + Send + Sync + 'static) -> Script {
    Script::of(&[code]).on_response(move |subject| {
        change(subject);
        Ok(Verdict::Forward)
    })
}

/// A heartbeat, both as a code.
const BEAT: Code = rq::HEART_BEAT;
