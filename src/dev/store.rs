//! Topics, their queues, and the records in them; all in memory, the oldest dropped when there is too much.
//!
//! A record's physical offset is not a place in a log file but `queue number << 32 | queue offset`, so that a message is
//! found by it without an index. Clients treat it as opaque.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::Notify;

use super::properties;
use super::record::{Message, Place};

/// Bytes of records kept in one broker; beyond it the oldest go, and the queues' least offsets move up.
const RECORD_BYTES: usize = 256 << 20;
/// Bytes taken from one queue per step of making room.
const EVICT_STEP: usize = 1 << 20;
/// Topics of one broker; further ones are refused.
const TOPICS: usize = 10_000;
/// Queues of one topic; more are refused.
pub(super) const QUEUES: i32 = 1024;
/// Read and write permission bits.
pub(super) const PERM_READ_WRITE: i32 = 6;
/// Permission bit: new topics may take their layout from this one.
pub(super) const PERM_INHERIT: i32 = 1;
/// What is counted for a record besides its bytes.
const OVERHEAD: usize = 64;

/// Milliseconds since 1970, as everything on this wire counts.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Locks whatever an earlier panic may have left behind: all values here stay usable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record and what is asked of it most.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) record: Bytes,
    pub(super) store_ms: i64,
    /// `hashCode` of the tag, 0 without one.
    pub(super) tag: i32,
}

/// One queue of a topic.
#[derive(Debug)]
pub(super) struct Queue {
    number: i64,
    log: Mutex<Log>,
    /// Told of every new record.
    pub(super) arrived: Notify,
}

#[derive(Debug, Default)]
struct Log {
    first: i64,
    records: VecDeque<Stored>,
}

impl Log {
    fn next(&self) -> i64 {
        self.first
            .saturating_add(i64::try_from(self.records.len()).unwrap_or(i64::MAX))
    }
}

impl Queue {
    /// The least offset kept and the one that the next record will get.
    pub(super) fn range(&self) -> (i64, i64) {
        let log = lock(&self.log);
        (log.first, log.next())
    }

    /// Up to `count` records from `offset` on; shared, not copied.
    pub(super) fn read(&self, offset: i64, count: usize) -> Vec<Stored> {
        let log = lock(&self.log);
        let Ok(skip) = usize::try_from(offset.saturating_sub(log.first)) else {
            return Vec::new();
        };
        log.records
            .range(skip.min(log.records.len())..)
            .take(count)
            .cloned()
            .collect()
    }

    /// The first offset whose record was stored at `ms` or later; the end when there is none.
    pub(super) fn search(&self, ms: i64) -> i64 {
        let log = lock(&self.log);
        let at = log.records.partition_point(|stored| stored.store_ms < ms);
        log.first.saturating_add(i64::try_from(at).unwrap_or(i64::MAX))
    }

    /// When the oldest record was stored.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        lock(&self.log).records.front().map(|stored| stored.store_ms)
    }

    fn drop_oldest(&self, bytes: usize) -> usize {
        let mut log = lock(&self.log);
        let mut freed = 0_usize;
        while freed < bytes
            && let Some(stored) = log.records.pop_front()
        {
            freed = freed.saturating_add(weight(&stored));
            log.first = log.first.saturating_add(1);
        }
        freed
    }
}

fn weight(stored: &Stored) -> usize {
    stored.record.len().saturating_add(OVERHEAD)
}

/// How a topic is laid out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) read: i32,
    pub(super) write: i32,
    pub(super) perm: i32,
}

impl Layout {
    /// `count` queues to read and write.
    pub(super) fn queues(count: i32) -> Self {
        Self {
            read: count,
            write: count,
            perm: PERM_READ_WRITE,
        }
    }
}

/// A topic of one broker.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    layout: Mutex<Layout>,
    queues: RwLock<Vec<Arc<Queue>>>,
    /// Told of every new record in any queue.
    pub(super) arrived: Notify,
}

impl Topic {
    /// How it is laid out now.
    pub(super) fn layout(&self) -> Layout {
        *lock(&self.layout)
    }

    /// A queue by its id.
    pub(super) fn queue(&self, id: i32) -> Option<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(usize::try_from(id).ok()?).cloned()
    }

    /// Every queue, by id.
    pub(super) fn queues(&self) -> Vec<Arc<Queue>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.clone()
    }
}

/// Everything one broker keeps.
#[derive(Debug)]
pub(super) struct Store {
    host: SocketAddr,
    limit: usize,
    topics: RwLock<HashMap<String, Arc<Topic>>>,
    /// Every queue ever made, by its number less one.
    queues: RwLock<Vec<Arc<Queue>>>,
    bytes: AtomicUsize,
    evicting: Mutex<()>,
}

impl Store {
    /// An empty store whose records name `host` as their store host.
    pub(super) fn new(host: SocketAddr) -> Self {
        Self {
            host,
            limit: RECORD_BYTES,
            topics: RwLock::default(),
            queues: RwLock::default(),
            bytes: AtomicUsize::new(0),
            evicting: Mutex::new(()),
        }
    }

    /// The topic of this name.
    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned()
    }

    /// Every topic, in order of names.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = topics.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The topic of this name, made with `layout` when there is none; `None` when there are too many.
    pub(super) fn topic_or_create(&self, name: &str, layout: Layout) -> Option<Arc<Topic>> {
        self.topic(name).or_else(|| self.set_topic(name, layout))
    }

    /// Makes a topic or changes its layout; queues are added, never taken away.
    pub(super) fn set_topic(&self, name: &str, layout: Layout) -> Option<Arc<Topic>> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if topics.len() >= TOPICS && !topics.contains_key(name) {
            return None;
        }
        let topic = topics.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Topic {
                name: name.to_owned(),
                layout: Mutex::new(layout),
                queues: RwLock::default(),
                arrived: Notify::new(),
            })
        });
        *lock(&topic.layout) = layout;
        let wanted = usize::try_from(layout.read.max(layout.write).clamp(0, QUEUES)).unwrap_or_default();
        let mut queues = topic.queues.write().unwrap_or_else(PoisonError::into_inner);
        while queues.len() < wanted {
            queues.push(self.new_queue());
        }
        drop(queues);
        Some(Arc::clone(topic))
    }

    /// Forgets a topic; its queues' records go with it.
    pub(super) fn remove_topic(&self, name: &str) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = topics.remove(name) else { return };
        drop(topics);
        for queue in topic.queues() {
            let freed = queue.drop_oldest(usize::MAX);
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }

    fn new_queue(&self) -> Arc<Queue> {
        let mut all = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let number = i64::try_from(all.len()).unwrap_or(i64::MAX).saturating_add(1);
        let queue = Arc::new(Queue {
            number,
            log: Mutex::default(),
            arrived: Notify::new(),
        });
        all.push(Arc::clone(&queue));
        queue
    }

    /// Stores a message in the queue it names; `None` when topic or queue does not exist.
    pub(super) fn append(&self, message: &Message) -> Option<Place> {
        let topic = self.topic(&message.topic)?;
        self.append_all(&topic, std::slice::from_ref(message)).pop()
    }

    /// Stores messages next to each other in the queue that the first names; nothing when there is no such queue.
    pub(super) fn append_all(&self, topic: &Topic, messages: &[Message]) -> Vec<Place> {
        let Some(queue) = messages.first().and_then(|first| topic.queue(first.queue)) else {
            return Vec::new();
        };
        let tags: Vec<i32> = messages
            .iter()
            .map(|message| message.property("TAGS").map_or(0, properties::hash_code))
            .collect();
        let mut added = 0_usize;
        let mut places = Vec::with_capacity(messages.len());
        let mut log = lock(&queue.log);
        let store_ms = now_ms();
        for (message, tag) in messages.iter().zip(tags) {
            let offset = log.next();
            let place = Place {
                offset,
                physical: queue.number << 32 | offset,
                store_ms,
                store: self.host,
            };
            let stored = Stored {
                record: message.encode(&place),
                store_ms,
                tag,
            };
            added = added.saturating_add(weight(&stored));
            log.records.push_back(stored);
            places.push(place);
        }
        drop(log);
        queue.arrived.notify_waiters();
        topic.arrived.notify_waiters();
        let held = self
            .bytes
            .fetch_add(added, Ordering::Relaxed)
            .saturating_add(added);
        if held > self.limit {
            self.evict();
        }
        places
    }

    /// The record at a physical offset.
    pub(super) fn at(&self, physical: i64) -> Option<Bytes> {
        let number = usize::try_from(physical >> 32).ok()?.checked_sub(1)?;
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let queue = Arc::clone(queues.get(number)?);
        drop(queues);
        queue
            .read(physical & 0xFFFF_FFFF, 1)
            .pop()
            .map(|stored| stored.record)
    }

    /// Drops the oldest records until a sixteenth of the room is free; one caller does it for all.
    fn evict(&self) {
        let Ok(_only) = self.evicting.try_lock() else {
            return;
        };
        let goal = self.limit.saturating_sub(self.limit / 16);
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner).clone();
        while self.bytes.load(Ordering::Relaxed) > goal {
            let oldest = queues
                .iter()
                .filter_map(|queue| Some((queue.oldest_ms()?, queue)))
                .min_by_key(|(ms, _)| *ms);
            let Some((_, queue)) = oldest else { return };
            let freed = queue.drop_oldest(EVICT_STEP.min(self.limit / 16));
            self.bytes.fetch_sub(freed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, body: usize) -> Message {
        Message {
            topic: topic.to_owned(),
            queue: 0,
            flag: 0,
            sys_flag: 0,
            born_ms: 0,
            born: "127.0.0.1:1".parse().unwrap(),
            reconsumed: 0,
            prepared: 0,
            body: vec![0; body].into(),
            properties: String::new(),
        }
    }

    #[test]
    fn records_are_found_by_offset_and_by_physical_offset() {
        let store = Store::new("127.0.0.1:2".parse().unwrap());
        store.set_topic("A", Layout::queues(2)).unwrap();
        store.append(&message("A", 1)).unwrap();
        let place = store.append(&message("A", 2)).unwrap();
        assert_eq!(place.offset, 1);
        let record = store.at(place.physical).unwrap();
        assert_eq!(Message::decode(&record).unwrap().0.body.len(), 2);
        assert!(store.at(place.physical + 1).is_none());
        assert!(store.append(&message("B", 1)).is_none());
    }

    #[test]
    fn the_oldest_records_make_room_and_the_least_offset_moves() {
        let mut store = Store::new("127.0.0.1:2".parse().unwrap());
        store.limit = 64 << 10;
        let topic = store.set_topic("A", Layout::queues(1)).unwrap();
        for _ in 0..200 {
            store.append(&message("A", 1024)).unwrap();
        }
        let (first, next) = topic.queue(0).unwrap().range();
        assert_eq!(next, 200);
        assert!(first > 0, "something was dropped");
        assert!(store.bytes.load(Ordering::Relaxed) <= 64 << 10);
    }
}
