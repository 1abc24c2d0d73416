//! Traces in messages: which one a send belongs to, and the span of the send for those who read the message.
//!
//! A send that cannot be changed goes on as it is, and is counted.

use super::filtering::{Ticket, framed};
use super::request::is_send;
use super::{Session, State};
use crate::auth::Seal;
use crate::filter::Way;
use crate::filter::messages::Messages;
use crate::metrics::list;
use crate::protocol::body::Properties;
use crate::protocol::request as rq;
use crate::protocol::{Command, Frame, Head};
use crate::telemetry::{Context, Observers, TRACE_PARENT, TRACE_STATE};

/// The span of a request, if it becomes one.
pub(super) fn sampled(observers: &Observers, head: &Head, frame: &Frame) -> Option<Box<Context>> {
    if !observers.traces() {
        return None;
    }
    let field = match head.code {
        rq::SEND_MESSAGE | rq::SEND_REPLY_MESSAGE => "properties",
        rq::SEND_MESSAGE_V2 | rq::SEND_REPLY_MESSAGE_V2 => "i",
        // The messages of a batch may belong to several traces, and are one command.
        _ => return observers.sampled(None, None),
    };
    let properties = head.fields(frame).find(field).map(Properties::new);
    let find = |name| properties.as_ref().and_then(|properties| properties.find(name));
    observers.sampled(find(TRACE_PARENT), find(TRACE_STATE))
}

impl Session {
    /// The trace that is to be written into this send; none when it is not to be, or cannot be.
    pub(super) fn trace_for(&self, state: &State, head: &Head, ticket: &Ticket) -> Option<Box<Context>> {
        let context = self.trace_of(state, head)?;
        let keeps_its_signature = match ticket.seal {
            Seal::Unsigned => false,
            Seal::Signed => ticket.identity.user().is_none(),
            Seal::Token => true,
        };
        if keeps_its_signature {
            self.skipped("signed");
            return None;
        }
        Some(context)
    }

    /// A send that no filter looks at, with its trace if it is to carry one.
    pub(super) fn with_trace(&self, state: &State, (head, frame): (Head, Frame)) -> (Head, Frame) {
        let Some(context) = self.trace_of(state, &head) else {
            return (head, frame);
        };
        // Without credentials nobody is verified.
        if Seal::of(&head.fields(&frame)) != Seal::Unsigned {
            self.skipped("signed");
            return (head, frame);
        }
        let Ok(mut command) = Command::decode(&frame) else {
            self.skipped("unreadable");
            return (head, frame);
        };
        if !self.put_trace(&context, &mut command) {
            return (head, frame);
        }
        match framed(&command) {
            Ok((_, changed)) if changed.len() > self.core.config.load().limits.frame => {
                self.skipped("too-large");
                (head, frame)
            }
            Ok(changed) => changed,
            Err(_too_long) => {
                self.skipped("too-large");
                (head, frame)
            }
        }
    }

    /// Writes a trace into every message of a send; whether it was changed.
    pub(super) fn put_trace(&self, context: &Context, command: &mut Command) -> bool {
        let Ok(Some(mut messages)) = Messages::read(Way::Request, command.code, command, 0) else {
            self.skipped("unreadable");
            return false;
        };
        let parent = context.to_string();
        for index in 0..messages.len() {
            if messages.set_property(index, TRACE_PARENT, &parent).is_err() {
                self.skipped("too-large");
                return false;
            }
        }
        if messages.write(command, None).is_err() {
            self.skipped("too-large");
            return false;
        }
        true
    }

    fn trace_of(&self, state: &State, head: &Head) -> Option<Box<Context>> {
        let observers = &self.core.observers;
        if !observers.traces() || !observers.propagates() || !is_send(head.code) {
            return None;
        }
        state.trace(head.opaque)
    }

    fn skipped(&self, reason: &str) {
        let tally = &self.core.observers.metrics.tally;
        tally.count(list::TRACES_NOT_PASSED_ON, &[reason]);
    }
}
