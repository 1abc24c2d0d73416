//! Connections by verified user.

use super::{Session, State};
use crate::protocol::{Frame, Head, response};
use crate::telemetry::Outcome;

/// Users that one connection counts for at most; a gateway with more counts for the last of them.
const USERS_KEPT: usize = 16;

impl Session {
    /// Counts this connection for a verified user; whether the user may have one more. If not, the request is answered
    /// and the connection ends.
    pub(super) fn count_user(&self, state: &mut State, user: &str, (head, frame): (&Head, &Frame)) -> bool {
        if state.users.iter().any(|pass| pass.key() == user) {
            return true;
        }
        let limit = self.core.config.load().limits.connections_per_user;
        if let Some(pass) = self.core.users.enter(user.to_owned(), limit) {
            if state.users.len() >= USERS_KEPT {
                drop(state.users.remove(0));
            }
            state.users.push(pass);
            return true;
        }
        let limit = limit.unwrap_or_default();
        if let Some(left_out) = self.core.counts.refused_by_user.note() {
            tracing::warn!(peer = %self.peer, user, limit, left_out, "closed: too many connections of this user");
        }
        let remark =
            format!("gimbal: user {user} has {limit} connections already (limits.connections_per_user)");
        state.answer_error(
            (head, frame.kind()),
            Outcome::Refused,
            response::NO_PERMISSION,
            &remark,
        );
        self.end_soon(state, remark);
        false
    }
}
