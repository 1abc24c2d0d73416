//! How long a command may wait for its broker, so that the client is answered before it gives up.
//!
//! A synchronous call that times out makes a Java client close its only connection, so every limit here is below the
//! client's own (`NettyRemotingClient`, `MQClientAPIImpl`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::request as rq;
use crate::protocol::{Code, Fields};

/// No long poll is held longer than this: Java and Go clients give up at 30 s.
const LONG_POLL_CAP: Duration = Duration::from_secs(28);
/// `sysFlag` of a pull: the broker may hold it.
const PULL_SUSPEND: i32 = 2;

/// The limit for a request; `overrides` are the operator's.
pub fn max_wait(code: Code, fields: &Fields<'_>, overrides: &BTreeMap<Code, Duration>) -> Duration {
    if !overrides.is_empty()
        && let Some(limit) = overrides.get(&code)
    {
        return *limit;
    }
    let millis = Duration::from_millis;
    match code {
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE => {
            if fields.int::<i32>("sysFlag").unwrap_or_default() & PULL_SUSPEND == 0 {
                return millis(9_000);
            }
            let suspend = millis(fields.int("suspendTimeoutMillis").unwrap_or_default());
            suspend.saturating_add(millis(10_000)).min(LONG_POLL_CAP)
        }
        rq::POP_MESSAGE | rq::NOTIFICATION => {
            let poll = millis(fields.int("pollTime").unwrap_or_default());
            poll.saturating_add(millis(1_000))
                .clamp(millis(2_500), LONG_POLL_CAP)
        }
        rq::LOCK_BATCH_MQ | rq::UNLOCK_BATCH_MQ => millis(800),
        rq::QUERY_MESSAGE => millis(15_000),
        rq::UPDATE_CONSUMER_OFFSET | rq::CONSUMER_SEND_MSG_BACK | rq::VIEW_MESSAGE_BY_ID => millis(4_500),
        code if is_messaging(code) => millis(2_500),
        // Tools wait 5 s and more, and for answers that clients must be asked for 10 s.
        _ => millis(10_000),
    }
}

/// How long a filter may hold a request that has `wait` in all, so that its broker still has the time it needs.
///
/// Heartbeats, unregistrations and locks are never held: a client that misses them is thrown out of its group. A pull is
/// held only as long as its long poll, with the broker's late look every 5 s (`PullRequestHoldService`), ends in time.
pub fn max_hold(code: Code, fields: &Fields<'_>, wait: Duration) -> Duration {
    let millis = Duration::from_millis;
    match code {
        rq::HEART_BEAT | rq::UNREGISTER_CLIENT | rq::LOCK_BATCH_MQ | rq::UNLOCK_BATCH_MQ => Duration::ZERO,
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE
            if fields.int::<i32>("sysFlag").unwrap_or_default() & PULL_SUSPEND != 0 =>
        {
            let suspend = millis(fields.int("suspendTimeoutMillis").unwrap_or_default());
            LONG_POLL_CAP.saturating_sub(suspend.saturating_add(millis(5_500)))
        }
        // The broker counts the poll from the client's clock, so time held here is not polled there.
        rq::POP_MESSAGE | rq::NOTIFICATION => wait.saturating_sub(millis(1_500)),
        _ => wait.saturating_sub(millis(1_000).min(wait / 2)),
    }
}

/// The limit of a request that was held: long polls may use what clients allow in all.
pub fn wait_after_hold(code: Code, wait: Duration) -> Duration {
    match code {
        rq::PULL_MESSAGE | rq::LITE_PULL_MESSAGE => LONG_POLL_CAP.max(wait),
        _ => wait,
    }
}

/// Whether the code is one that ordinary clients send, as opposed to tools.
fn is_messaging(code: Code) -> bool {
    code == rq::SEND_REPLY_MESSAGE || code == rq::SEND_REPLY_MESSAGE_V2 || super::permit::is_messaging(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, Head};

    fn limit(code: Code, fields: &[(&str, &str)]) -> u128 {
        let mut command = Command::request(code, 1);
        for (name, value) in fields {
            command.set_field(name, *value);
        }
        let frame = command.encode().unwrap();
        let head = Head::scan(&frame).unwrap();
        max_wait(code, &head.fields(&frame), &BTreeMap::new()).as_millis()
    }

    #[test]
    fn every_limit_is_below_the_patience_of_clients() {
        for code in [rq::LOCK_BATCH_MQ, rq::UNLOCK_BATCH_MQ] {
            assert!(limit(code, &[]) < 1_000, "{code}");
        }
        for code in [
            rq::SEND_MESSAGE,
            rq::SEND_MESSAGE_V2,
            rq::SEND_BATCH_MESSAGE,
            rq::HEART_BEAT,
            rq::UNREGISTER_CLIENT,
            rq::GET_ROUTEINFO_BY_TOPIC,
            rq::GET_CONSUMER_LIST_BY_GROUP,
            rq::CHECK_CLIENT_CONFIG,
            rq::QUERY_ASSIGNMENT,
            rq::ACK_MESSAGE,
            rq::BATCH_ACK_MESSAGE,
            rq::CHANGE_MESSAGE_INVISIBLETIME,
            rq::QUERY_CONSUMER_OFFSET,
            rq::GET_MAX_OFFSET,
        ] {
            assert!(limit(code, &[]) < 3_000, "{code}");
        }
        for code in [rq::UPDATE_CONSUMER_OFFSET, rq::CONSUMER_SEND_MSG_BACK] {
            assert!(limit(code, &[]) < 5_000, "{code}");
        }
    }

    #[test]
    fn what_is_held_leaves_the_broker_its_time() {
        let hold = |code, fields: &[(&str, &str)]| {
            let mut command = Command::request(code, 1);
            for (name, value) in fields {
                command.set_field(name, *value);
            }
            let frame = command.encode().unwrap();
            let head = Head::scan(&frame).unwrap();
            let fields = head.fields(&frame);
            let wait = max_wait(code, &fields, &BTreeMap::new());
            max_hold(code, &fields, wait).as_millis()
        };
        assert_eq!(hold(rq::HEART_BEAT, &[]), 0);
        assert_eq!(hold(rq::LOCK_BATCH_MQ, &[]), 0);
        assert_eq!(hold(rq::SEND_MESSAGE_V2, &[]), 1_500);
        let push = [("sysFlag", "2"), ("suspendTimeoutMillis", "15000")];
        assert_eq!(hold(rq::PULL_MESSAGE, &push), 7_500);
        let lite = [("sysFlag", "2"), ("suspendTimeoutMillis", "20000")];
        assert_eq!(hold(rq::PULL_MESSAGE, &lite), 2_500);
        assert_eq!(hold(rq::POP_MESSAGE, &[("pollTime", "15000")]), 14_500);
    }

    #[test]
    fn long_polls_last_as_long_as_asked_and_never_until_the_client_gives_up() {
        let pull = |flag, millis| {
            limit(
                rq::PULL_MESSAGE,
                &[("sysFlag", flag), ("suspendTimeoutMillis", millis)],
            )
        };
        assert_eq!(pull("2", "15000"), 25_000);
        assert_eq!(pull("2", "20000"), 28_000);
        assert_eq!(
            pull("2", "99999999999999999999"),
            10_000,
            "not a number of this size"
        );
        assert_eq!(pull("4", "15000"), 9_000, "the broker may not hold it");
        assert_eq!(limit(rq::POP_MESSAGE, &[("pollTime", "15000")]), 16_000);
        assert_eq!(limit(rq::POP_MESSAGE, &[("pollTime", "0")]), 2_500);
        assert_eq!(limit(rq::NOTIFICATION, &[("pollTime", "60000")]), 28_000);
    }
}
