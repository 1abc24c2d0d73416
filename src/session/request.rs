//! A request of the client on its way, and what its code says about it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::filter::Asked;
use crate::protocol::request as rq;
use crate::protocol::{Code, Frame, Head, Kind};
use crate::upstream::{Pending, Reply};

/// A request on its way. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) frame: Frame,
    /// When the client must have been answered.
    pub(super) deadline: Instant,
    /// What filters may want to know of it when its answer comes.
    pub(super) asked: Option<Arc<Asked>>,
    /// Of a heartbeat: the client's own, which every replay is judged by.
    pub(super) own: Option<(Head, Frame)>,
}

impl Request {
    /// What an answer needs to know of the request.
    pub(super) fn asked(&self) -> (&Head, Kind) {
        (&self.head, self.frame.kind())
    }

    /// The note kept until the answer comes; none for one-way commands.
    pub(super) fn pending(&self, reply: Reply) -> Option<Pending> {
        let is_pull = is_pull(self.head.code);
        (!self.head.is_oneway()).then(|| Pending {
            code: self.head.code,
            opaque: self.head.opaque,
            kind: self.frame.kind(),
            reply,
            deadline: self.deadline,
            asked: self.asked.clone(),
            offset: is_pull
                .then(|| self.head.fields(&self.frame).int("queueOffset"))
                .flatten(),
        })
    }
}

/// Whether the code is a send: only a master takes it.
pub(super) fn is_send(code: Code) -> bool {
    matches!(
        code,
        rq::SEND_MESSAGE
            | rq::SEND_MESSAGE_V2
            | rq::SEND_BATCH_MESSAGE
            | rq::SEND_REPLY_MESSAGE
            | rq::SEND_REPLY_MESSAGE_V2
    )
}

/// Whether the code is a pull, which the broker may hold.
pub(super) fn is_pull(code: Code) -> bool {
    matches!(code, rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE)
}

/// Whether a successful answer to this code carries stored messages.
pub(super) fn has_records(code: Code) -> bool {
    is_pull(code)
        || matches!(
            code,
            rq::POP_MESSAGE | rq::PEEK_MESSAGE | rq::QUERY_MESSAGE | rq::VIEW_MESSAGE_BY_ID
        )
}
