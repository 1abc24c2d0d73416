//! Polls that wait for something to pop: counting them, and telling of messages without taking them.

use std::sync::Arc;

use super::broker::Broker;
use super::pop::Pop;
use super::request::{Outcome, Reply, Request, answer};
use super::store::{Topic, lock, now_ms};
use crate::protocol::response;

/// Parked pops and notifications per group, topic and queue (`popPollingSize`).
const PARKED: usize = 1024;

/// Counts a parked poll for as long as it lives.
pub(super) struct Parked {
    broker: Arc<Broker>,
    key: (String, String, i32),
}

impl Parked {
    /// `None` when too many wait for the same.
    pub(super) fn enter(broker: &Arc<Broker>, key: (String, String, i32)) -> Option<Self> {
        let mut parked = lock(&broker.pops.parked);
        let count = parked.entry(key.clone()).or_default();
        if *count >= PARKED {
            return None;
        }
        *count = count.saturating_add(1);
        drop(parked);
        let broker = Arc::clone(broker);
        Some(Self { broker, key })
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        let mut parked = lock(&self.broker.pops.parked);
        if let Some(count) = parked.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                parked.remove(&self.key);
            }
        }
    }
}

impl Broker {
    /// `NOTIFICATION`.
    pub(super) fn notification(self: &Arc<Self>, request: &Request<'_>) -> Outcome {
        let pop = Pop::read(request)?;
        let topic = self.topic_to_pop(&pop)?;
        let head = request.head.clone();
        let told = move |has: bool| {
            answer(&head, response::SUCCESS)
                .with_field("hasMsg", has.to_string())
                .with_field("pollingFull", "false")
        };
        let Some(deadline) = pop.deadline().filter(|_| !self.has_messages(&pop, &topic)) else {
            return Ok(Reply::Now(told(self.has_messages(&pop, &topic))));
        };
        let parked = Parked::enter(self, pop.key()).filter(|_| request.may_wait);
        let Some(parked) = parked else {
            return Ok(Reply::Now(told(false).with_field("pollingFull", "true")));
        };
        let broker = Arc::clone(self);
        Ok(Reply::Later(Box::pin(async move {
            let _parked = parked;
            loop {
                let mut arrival = std::pin::pin!(topic.arrived.notified());
                arrival.as_mut().enable();
                let has = broker.has_messages(&pop, &topic);
                if has || tokio::time::timeout_at(deadline, arrival).await.is_err() {
                    return told(has);
                }
            }
        })))
    }

    fn has_messages(&self, pop: &Pop, topic: &Arc<Topic>) -> bool {
        pop.sources(self, topic).into_iter().any(|(_, source, id)| {
            let next = source.queue(id).map_or(0, |queue| queue.range().1);
            let blocked =
                pop.order && lock(&self.pops.flights).is_blocked(&pop.group, &source.name, id, now_ms());
            !blocked && self.next_to_pop(&pop.group, &source.name, id) < next
        })
    }

    /// `POLLING_INFO`.
    pub(super) fn polling_info(&self, request: &Request<'_>) -> Outcome {
        let pop = Pop::read(request)?;
        let parked = lock(&self.pops.parked).get(&pop.key()).copied();
        request.done_with(&[("pollingNum", &parked.unwrap_or_default())])
    }
}
