//! Server-side rebalancing: which queues a consumer gets, and whether it pulls or pops them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::broker::Broker;
use super::request::{Outcome, Reply, Request, refuse};
use super::retry::RETRY;
use super::store::lock;
use crate::protocol::response;

/// Modes kept; settings beyond it are refused.
const MODES: usize = 10_000;

type Queues = BTreeSet<(String, i32)>;

/// How a group's consumers of a topic get their messages; anything not set here is pulled.
#[derive(Debug, Default)]
pub(super) struct Modes {
    by_topic_and_group: Mutex<HashMap<(String, String), Mode>>,
}

#[derive(Debug, Clone, Default)]
struct Mode {
    pops: bool,
    /// How many of the following members' queues each pops besides its own.
    share: usize,
}

impl Broker {
    /// `SET_MESSAGE_REQUEST_MODE`.
    pub(super) fn set_mode(&self, request: &Request<'_>) -> Outcome {
        let body: Value = request.json()?;
        let topic = text(&body, "topic");
        if topic.starts_with(RETRY) {
            return refuse(response::NO_PERMISSION, "retry topic is not allowed to set mode");
        }
        let key = (topic.to_owned(), text(&body, "consumerGroup").to_owned());
        let share = body
            .get("popShareQueueNum")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let mode = Mode {
            pops: text(&body, "mode") == "POP",
            share: usize::try_from(share).unwrap_or(usize::MAX),
        };
        let mut modes = lock(&self.modes.by_topic_and_group);
        if modes.len() >= MODES && !modes.contains_key(&key) {
            return refuse(response::SYSTEM_ERROR, "too many message request modes");
        }
        modes.insert(key, mode);
        drop(modes);
        request.done()
    }

    /// `QUERY_ASSIGNMENT`.
    pub(super) fn query_assignment(&self, request: &Request<'_>) -> Outcome {
        let body: Value = request.json()?;
        let (topic, group) = (text(&body, "topic"), text(&body, "consumerGroup"));
        let key = (topic.to_owned(), group.to_owned());
        let mode = lock(&self.modes.by_topic_and_group)
            .get(&key)
            .cloned()
            .unwrap_or_default();
        let queues: Vec<_> = self
            .nameserver()
            .map(|known| known.readable(topic))
            .unwrap_or_default();
        let mut ids = self.groups.consumer_ids(group);
        ids.sort_unstable();
        ids.dedup();
        let assigned = if text(&body, "messageModel") == "BROADCASTING" {
            Some(queues.into_iter().collect())
        } else {
            let me = ids.iter().position(|id| id == text(&body, "clientId"));
            me.map(|me| mode.assign(&queues, ids.len(), me))
        };
        let name = if mode.pops { "POP" } else { "PULL" };
        let list = assigned.map(|queues: Queues| {
            let list = queues.into_iter().map(|(broker, queue)| {
                let queue = json!({"brokerName": broker, "queueId": queue, "topic": topic});
                json!({"messageQueue": queue, "mode": name})
            });
            list.collect::<Vec<_>>()
        });
        let body = json!({"messageQueueAssignments": list}).to_string();
        Ok(Reply::Now(request.answer(response::SUCCESS).with_body(body)))
    }
}

impl Mode {
    /// The queues of member `me` of `members`.
    fn assign(&self, queues: &[(String, i32)], members: usize, me: usize) -> Queues {
        if !self.pops {
            return average(queues, members, me);
        }
        if self.share == 0 || self.share >= members.saturating_sub(1) {
            // Everyone pops everything: one entry per broker stands for all its queues.
            return queues.iter().map(|(broker, _)| (broker.clone(), -1)).collect();
        }
        let shared = me..=me.saturating_add(self.share);
        shared
            .filter_map(|member| member.checked_rem(members))
            .flat_map(|member| average(queues, members, member))
            .collect()
    }
}

/// The even share of one member (`AllocateMessageQueueAveragely`).
fn average(queues: &[(String, i32)], members: usize, me: usize) -> Queues {
    let (Some(each), Some(more)) = (
        queues.len().checked_div(members),
        queues.len().checked_rem(members),
    ) else {
        return Queues::new();
    };
    let start = me.saturating_mul(each).saturating_add(me.min(more));
    let count = each.saturating_add(usize::from(me < more));
    queues.iter().skip(start).take(count).cloned().collect()
}

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_one_owner_and_pops_may_share() {
        let queues: Vec<_> = (0..5).map(|id| ("b".to_owned(), id)).collect();
        let pull = Mode::default();
        let all: Vec<_> = (0..3).flat_map(|me| pull.assign(&queues, 3, me)).collect();
        assert_eq!(all, queues);
        let pop = Mode { pops: true, share: 0 };
        assert_eq!(pop.assign(&queues, 3, 1), Queues::from([("b".to_owned(), -1)]));
        let shared = Mode { pops: true, share: 1 };
        assert_eq!(
            shared.assign(&queues, 3, 2).len(),
            3,
            "its own queue and two of the first"
        );
    }
}
