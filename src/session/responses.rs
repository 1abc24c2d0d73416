//! Answers of brokers: back to whoever asked, with what names brokers or slaves put right.

use std::sync::Arc;

use super::drain::{Leaving, is_parked};
use super::request::{has_records, is_pull, is_send};
use super::state::Slot;
use super::{Session, State};
use crate::protocol::body::{MessageId, rewrite_store_hosts};
use crate::protocol::{Command, Frame, Head, response};
use crate::route::HalfMessage;
use crate::upstream::{Pending, Reply};

impl Session {
    /// An answer came in on link `id`.
    pub(super) fn broker_answered(self: &Arc<Self>, state: &mut State, id: u32, head: &Head, frame: Frame) {
        let Some(slot) = state.links.get_mut(&id) else {
            return;
        };
        let is_poll = |slot: &Slot| {
            slot.link
                .awaits(head.opaque)
                .is_some_and(|open| is_parked(open.code))
        };
        if matches!(state.leaving, Leaving::Soon(_)) && is_poll(slot) {
            // The client asks again from the same place, elsewhere.
            return;
        }
        // Late answers find nobody waiting and end here.
        let Some(pending) = slot.link.answered(head.opaque) else {
            return;
        };
        match pending.reply {
            Reply::Client => {
                if let Ok(frame) = head.with_opaque(frame, pending.opaque) {
                    let answer = (frame, pending.opaque, head.code);
                    self.deliver(state, pending.asked.as_ref(), Some(id), answer);
                }
            }
            Reply::Look | Reply::Unnamed => {
                let frame = self.look(slot, &pending, head, frame);
                let answer = (frame, pending.opaque, head.code);
                self.deliver(state, pending.asked.as_ref(), Some(id), answer);
            }
            Reply::Gather(gather) => {
                let broker = Arc::clone(&slot.link.broker);
                self.gathered(state, gather, &broker, Some(&frame));
            }
            Reply::Greeting => self.greeted(state, id, Some(&frame)),
            Reply::Nobody => {}
        }
    }

    /// Puts right what an answer says about brokers; an answer without such places keeps its bytes.
    fn look(&self, slot: &Slot, pending: &Pending, head: &Head, frame: Frame) -> Frame {
        let plain = |frame: Frame| head.with_opaque(frame.clone(), pending.opaque).unwrap_or(frame);
        let code = pending.code;
        let suggests_slave = is_pull(code)
            && head
                .fields(&frame)
                .find("suggestWhichBrokerId")
                .is_some_and(|broker_id| broker_id != "0");
        let hosts = slot
            .store_host
            .filter(|_| has_records(code) && head.code == response::SUCCESS);
        let sent = is_send(code).then(|| head.fields(&frame).find("msgId")).flatten();
        if let Some(msg_id) = sent.as_ref().filter(|_| pending.reply == Reply::Unnamed) {
            self.note_half(&slot.link.broker, msg_id, head, &frame);
        }
        let new_ids = sent.and_then(|ids| Some(MessageId::with_host(&ids, slot.store_host?)));
        if !suggests_slave && hosts.is_none() && new_ids.is_none() {
            return plain(frame);
        }
        let Ok(mut answer) = Command::decode(&frame) else {
            return plain(frame);
        };
        answer.opaque = pending.opaque;
        if suggests_slave {
            // Slaves are not in the routes we give out; the client would take the master for one.
            answer.set_field("suggestWhichBrokerId", "0");
        }
        if let Some(host) = hosts {
            answer.body = rewrite_store_hosts(&answer.body, host);
        }
        if let Some(ids) = new_ids {
            answer.set_field("msgId", ids);
        }
        answer.encode().unwrap_or_else(|_too_long| plain(frame))
    }

    /// Remembers where a half message went; other messages are forgotten soon enough.
    fn note_half(&self, broker: &Arc<str>, msg_id: &str, head: &Head, frame: &Frame) {
        let fields = head.fields(frame);
        let half = (|| {
            Some(HalfMessage {
                id: fields.find("transactionId")?.into_owned(),
                queue_offset: fields.int("queueOffset")?,
                commit_log_offset: i64::try_from(MessageId::parse(msg_id)?.offset).ok()?,
            })
        })();
        if let Some(half) = half {
            self.core.transactions.remember(half, Arc::clone(broker));
        }
    }
}
