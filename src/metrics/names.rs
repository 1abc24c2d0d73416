//! Topics and groups as labels: the first so many that are used have a series of their own, the rest shares one.
//!
//! A name takes its place when a broker has answered a command about it, so that made-up names take none; and it keeps
//! it until the process ends, so that a counter never runs backwards.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::commands::{OTHER, OUTCOMES};
use super::list;
use super::sheet::Sheet;

/// What is counted of one topic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    outcomes: [AtomicU64; OUTCOMES.len()],
    flow: Flow,
}

/// Messages and their bytes.
#[derive(Debug, Default)]
pub(super) struct Flow {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Topics, and pairs of topic and group, that have a series.
#[derive(Debug)]
pub struct Names {
    topics: Capped<Arc<str>, Topic>,
    pairs: Capped<(Arc<str>, Arc<str>), Flow>,
}

#[derive(Debug)]
struct Capped<K, T> {
    most: AtomicUsize,
    known: Mutex<HashMap<K, Arc<T>>>,
    rest: Arc<T>,
}

/// A topic and a group, and where they are counted once that is known.
#[derive(Debug, Default)]
pub struct Named {
    /// The topic.
    pub topic: Option<Arc<str>>,
    /// The group.
    pub group: Option<Arc<str>>,
    of_topic: OnceLock<Arc<Topic>>,
    of_pair: OnceLock<Arc<Flow>>,
}

/// What a command moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages from producers.
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Messages to consumers.
    pub received: u64,
    /// Bytes of them.
    pub received_bytes: u64,
}

impl Flow {
    fn add(&self, messages: u64, bytes: u64) {
        if messages > 0 {
            self.messages.fetch_add(messages, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn read(&self) -> (u64, u64) {
        (
            self.messages.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

impl<K: std::hash::Hash + Eq, T: Default> Capped<K, T> {
    fn new(most: usize) -> Self {
        Self {
            most: AtomicUsize::new(most),
            known: Mutex::default(),
            rest: Arc::default(),
        }
    }

    fn of(&self, key: K) -> Arc<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = known.len() >= self.most.load(Ordering::Relaxed);
        if is_full {
            return Arc::clone(known.get(&key).unwrap_or(&self.rest));
        }
        Arc::clone(known.entry(key).or_default())
    }

    fn each(&self, mut visit: impl FnMut(Option<&K>, &T)) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in &*known {
            visit(Some(key), value);
        }
        visit(None, &self.rest);
    }
}

impl Named {
    /// A topic and a group.
    pub fn new(topic: Option<&str>, group: Option<&str>) -> Self {
        Self {
            topic: topic.map(Into::into),
            group: group.map(Into::into),
            ..Self::default()
        }
    }
}

impl Names {
    /// At most this many topics, and pairs of topic and group; 0 counts none.
    pub fn new(topics: usize, groups: usize) -> Self {
        Self {
            topics: Capped::new(topics),
            pairs: Capped::new(groups),
        }
    }

    /// Allows more or fewer from now on; those that have a series keep it.
    pub fn set_most(&self, topics: usize, groups: usize) {
        self.topics.most.store(topics, Ordering::Relaxed);
        self.pairs.most.store(groups, Ordering::Relaxed);
    }

    /// A command about `named` has ended; `is_real` when a broker answered it with success.
    pub fn ended(&self, named: &Named, outcome: usize, is_real: bool, moved: &Moved) {
        let Some(topic) = &named.topic else { return };
        if self.topics.most.load(Ordering::Relaxed) > 0 {
            if is_real {
                named.of_topic.get_or_init(|| self.topics.of(Arc::clone(topic)));
            }
            let counted = named.of_topic.get().unwrap_or(&self.topics.rest);
            if let Some(outcomes) = counted.outcomes.get(outcome) {
                outcomes.fetch_add(1, Ordering::Relaxed);
            }
            counted.flow.add(moved.sent, moved.sent_bytes);
        }
        if let Some(group) = &named.group
            && moved.received > 0
            && self.pairs.most.load(Ordering::Relaxed) > 0
        {
            let pair = || self.pairs.of((Arc::clone(topic), Arc::clone(group)));
            let counted = named.of_pair.get_or_init(pair);
            counted.add(moved.received, moved.received_bytes);
        }
    }

    /// Puts everything on the sheet.
    pub fn collect(&self, sheet: &mut Sheet) {
        if self.topics.most.load(Ordering::Relaxed) > 0 {
            self.topics.each(|name, topic| {
                let name = name.map_or(OTHER, |name| name);
                let (messages, bytes) = topic.flow.read();
                sheet.count(list::MESSAGES_IN, &[name], messages);
                sheet.count(list::THROUGHPUT_IN, &[name], bytes);
                for (outcome, count) in OUTCOMES.into_iter().zip(&topic.outcomes) {
                    sheet.count(
                        list::TOPIC_COMMANDS,
                        &[name, outcome],
                        count.load(Ordering::Relaxed),
                    );
                }
            });
        }
        if self.pairs.most.load(Ordering::Relaxed) > 0 {
            self.pairs.each(|pair, flow| {
                let (topic, group) = pair.map_or((OTHER, OTHER), |(topic, group)| (topic, group));
                let (messages, bytes) = flow.read();
                sheet.count(list::MESSAGES_OUT, &[topic, group], messages);
                sheet.count(list::THROUGHPUT_OUT, &[topic, group], bytes);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::text;

    #[test]
    fn topics_beyond_the_most_are_counted_as_other() {
        let names = Names::new(2, 1);
        let moved = Moved {
            sent: 1,
            sent_bytes: 10,
            received: 2,
            received_bytes: 5,
        };
        names.ended(&Named::new(Some("made-up"), None), 6, false, &Moved::default());
        for topic in ["a", "b", "c", "a"] {
            names.ended(&Named::new(Some(topic), Some("g")), 0, true, &moved);
        }
        let mut sheet = Sheet::default();
        names.collect(&mut sheet);
        let text = text::write(&sheet);
        for line in [
            "rocketmq_messages_in_total{topic=\"a\"} 2",
            "rocketmq_messages_in_total{topic=\"b\"} 1",
            "rocketmq_messages_in_total{topic=\"other\"} 1",
            "gimbal_topic_commands_total{topic=\"other\",outcome=\"failed\"} 1",
            "rocketmq_messages_out_total{topic=\"a\",consumer_group=\"g\"} 4",
            "rocketmq_throughput_out_total{topic=\"other\",consumer_group=\"other\"} 10",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("made-up"));
    }

    #[test]
    fn none_counts_no_names() {
        let names = Names::new(0, 0);
        let moved = Moved {
            sent: 1,
            received: 1,
            ..Moved::default()
        };
        names.ended(&Named::new(Some("a"), Some("g")), 0, true, &moved);
        let mut sheet = Sheet::default();
        names.collect(&mut sheet);
        assert_eq!(text::write(&sheet), "");
    }
}
