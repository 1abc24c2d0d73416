//! Requests of brokers to the client, and the client's answers to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Session, State};
use crate::protocol::body::{MessageId, rewrite_store_hosts};
use crate::protocol::request as rq;
use crate::protocol::{Command, Frame, Head};
use crate::route::HalfMessage;

/// Brokers wait at most 10 s for an answer.
const PUSH_LIMIT: Duration = Duration::from_secs(15);
/// Open pushes per session; beyond it a broker's request is dropped, and the broker runs into its own time-out.
const PUSHES_KEPT: usize = 1_024;

/// A two-way request of a broker that the client has not answered.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) link: u32,
    /// The opaque the broker chose.
    pub(super) opaque: i32,
    pub(super) deadline: Instant,
}

impl Session {
    /// A request came in on link `id`: it is for this client, since the link is.
    pub(super) fn broker_asked(&self, state: &mut State, id: u32, head: &Head, frame: Frame) {
        let frame = self.with_our_names(state, id, head, frame);
        if head.is_oneway() {
            state.client.push(frame);
            return;
        }
        if state.pushes.len() >= PUSHES_KEPT {
            return;
        }
        // Several brokers may choose the same number.
        let mut wire = head.opaque;
        while state.pushes.contains_key(&wire) {
            wire = fastrand::i32(i32::MIN..0);
        }
        let patched = Head::scan(&frame)
            .ok()
            .and_then(|head| head.with_opaque(&frame, wire).ok());
        if let Some(patched) = patched {
            let deadline = Instant::now() + PUSH_LIMIT;
            state.pushes.insert(
                wire,
                Push {
                    link: id,
                    opaque: head.opaque,
                    deadline,
                },
            );
            state.due_by(deadline);
            state.client.push(patched);
        }
    }

    /// Adds what the client needs to answer, and puts right what leads past us.
    fn with_our_names(&self, state: &State, id: u32, head: &Head, frame: Frame) -> Frame {
        let Some(slot) = state.links.get(&id) else {
            return frame;
        };
        let fields = head.fields(&frame);
        let is_check = head.code == rq::CHECK_TRANSACTION_STATE;
        if is_check {
            let half = HalfMessage::named_in(&fields);
            if let Some(half) = half {
                self.core
                    .transactions
                    .remember(half, Arc::clone(&slot.link.broker));
            }
        }
        // Clients copy the name into their answer; brokers before 5.1.0 leave it out.
        let lacks_name = is_check && fields.find("bname").is_none();
        let host = slot.store_host.filter(|_| {
            matches!(
                head.code,
                rq::CHECK_TRANSACTION_STATE | rq::CONSUME_MESSAGE_DIRECTLY | rq::PUSH_REPLY_MESSAGE_TO_CLIENT
            )
        });
        if !lacks_name && host.is_none() {
            return frame;
        }
        let Ok(mut command) = Command::decode(&frame) else {
            return frame;
        };
        if lacks_name {
            command.set_field("bname", &*slot.link.broker);
        }
        if let Some(host) = host {
            rewrite_hosts(&mut command, host);
        }
        command.encode().unwrap_or(frame)
    }
}

/// Replaces the broker's address wherever a push carries it.
fn rewrite_hosts(command: &mut Command, host: std::net::SocketAddr) {
    if command.code == rq::PUSH_REPLY_MESSAGE_TO_CLIENT {
        if command.field("storeHost").is_some() {
            command.set_field("storeHost", host.to_string());
        }
        return;
    }
    command.body = rewrite_store_hosts(&command.body, host);
    for field in ["offsetMsgId", "msgId"] {
        let ids = command
            .field(field)
            .filter(|id| leads_to_broker(command, field, id));
        if let Some(ids) = ids.map(|id| MessageId::with_host(id, host)) {
            command.set_field(field, ids);
        }
    }
}

/// Whether the field holds an offset message id; a check's `msgId` is the unique id, which looks the same.
fn leads_to_broker(command: &Command, field: &str, id: &str) -> bool {
    let is_check = command.code == rq::CHECK_TRANSACTION_STATE;
    (field == "offsetMsgId" || !is_check) && MessageId::parse(id).is_some()
}
