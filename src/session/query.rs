//! `QUERY_MESSAGE` on the shared address: asked once of every broker of the topic, answered once.
//!
//! A client asks one address per broker of the route, all at once. Behind one address these requests are the same, so the
//! first gets the messages of all brokers and the others of that burst get `QUERY_NOT_FOUND`, which adds nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::gather::{Gather, Gathering};
use super::request::Request;
use super::{Session, State};
use crate::protocol::body::TopicRoute;
use crate::protocol::{Command, Kind, response};
use crate::telemetry::Outcome;

/// A client's burst is sent by one loop that waits for nothing but its own machine; a repeated question that comes later
/// is a new one.
const BURST: Duration = Duration::from_millis(500);

/// A query that further requests of the same burst may belong to.
#[derive(Debug)]
pub(super) struct Recent {
    question: (Kind, Vec<(String, String)>),
    gather: u64,
    since: Instant,
    /// Requests of this burst that are still to come.
    left: usize,
}

impl State {
    /// A query found nothing: asking again adds nothing twice, and the messages may be there by then.
    pub(super) fn forget_query(&mut self, gather: u64) {
        self.recent_queries.retain(|recent| recent.gather != gather);
    }
}

impl Session {
    pub(super) fn query(self: &Arc<Self>, state: &mut State, request: &Request, route: &TopicRoute) {
        let now = Instant::now();
        let State {
            recent_queries,
            gathers,
            ..
        } = &mut *state;
        recent_queries.retain(|recent| {
            let is_young = now.duration_since(recent.since) < BURST;
            recent.left > 0 && (is_young || gathers.contains_key(&recent.gather))
        });
        let question = (
            request.frame.kind(),
            request.head.fields(&request.frame).to_pairs(),
        );
        if let Some(recent) = state
            .recent_queries
            .iter_mut()
            .find(|recent| recent.question == question)
        {
            recent.left = recent.left.saturating_sub(1);
            let nothing = Command::answer(&request.head, request.frame.kind(), response::QUERY_NOT_FOUND)
                .with_field("indexLastUpdateTimestamp", "0")
                .with_field("indexLastUpdatePhyoffset", "0")
                .with_remark("gimbal: the first request of this burst has the messages of all brokers");
            return state.answer_as(Outcome::Answered, &nothing);
        }
        let brokers = route.brokers();
        let gather = state.add_gather(Gather::new(Gathering::Query, request, brokers.len()));
        state.recent_queries.push(Recent {
            question,
            gather,
            since: now,
            left: brokers.len().saturating_sub(1),
        });
        for broker in brokers {
            self.forward_part(state, &broker.name, request.clone(), gather);
        }
        self.finish_if_complete(state, gather);
    }
}
