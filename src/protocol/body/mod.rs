//! Bodies that the proxy itself must understand; every other body is bytes.

mod heartbeat;
mod lenient;
mod message_id;
mod queues;
mod record;
mod route;
mod strings;

pub use heartbeat::{ConsumerGroup, Heartbeat};
pub use message_id::MessageId;
pub use queues::{AckBatch, ClientConfig, QueueSet, encode_lock_answer};
pub use record::{StoreHost, rewrite_store_hosts};
pub use route::{BrokerData, ClusterInfo, Dialect, QueueData, TopicRoute};
pub use strings::{Replace, Spot, replace_strings};
