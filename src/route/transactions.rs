//! Which broker holds a half message, for clients whose `END_TRANSACTION` does not say.
//!
//! Filled from transaction checks that pass by and from answers to sends of half messages; shared by all sessions,
//! because the answer to a check may come on another connection. Losing an entry is safe: the broker checks again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::Fields;

/// Half messages remembered at most; the oldest is forgotten first. About 10 MiB when full.
const CAPACITY: usize = 65_536;

/// A half message as clients and brokers name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HalfMessage {
    /// Its unique id, which is also the transaction id.
    pub id: String,
    /// Its offset in the half queue (`tranStateTableOffset`).
    pub queue_offset: i64,
    /// Its offset in the commit log.
    pub commit_log_offset: i64,
}

impl HalfMessage {
    /// The half message that an `END_TRANSACTION` or `CHECK_TRANSACTION_STATE` with these fields is about.
    pub fn named_in(fields: &Fields<'_>) -> Option<Self> {
        Some(Self {
            id: fields.first_of(&["msgId", "transactionId"])?.into_owned(),
            queue_offset: fields.int("tranStateTableOffset")?,
            commit_log_offset: fields.int("commitLogOffset")?,
        })
    }
}

/// The table.
#[derive(Debug, Default)]
pub struct Transactions {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    brokers: HashMap<HalfMessage, Arc<str>>,
    order: VecDeque<HalfMessage>,
}

impl Transactions {
    /// Remembers where a half message is.
    pub fn remember(&self, message: HalfMessage, broker: Arc<str>) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.brokers.insert(message.clone(), broker).is_none() {
            table.order.push_back(message);
            if table.order.len() > CAPACITY
                && let Some(oldest) = table.order.pop_front()
            {
                table.brokers.remove(&oldest);
            }
        }
    }

    /// The broker of a half message.
    pub fn broker(&self, message: &HalfMessage) -> Option<Arc<str>> {
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .brokers
            .get(message)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(at: i64) -> HalfMessage {
        HalfMessage {
            id: at.to_string(),
            queue_offset: at,
            commit_log_offset: at,
        }
    }

    #[test]
    fn the_oldest_is_forgotten_at_the_limit() {
        let table = Transactions::default();
        for at in 0..=i64::try_from(CAPACITY).unwrap() {
            table.remember(half(at), "broker-a".into());
        }
        assert_eq!(table.broker(&half(0)), None);
        assert_eq!(table.broker(&half(1)).as_deref(), Some("broker-a"));
    }
}
