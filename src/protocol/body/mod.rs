//! Bodies that the proxy itself must understand; every other body is bytes.

mod batch;
mod compression;
mod cursor;
mod edit;
mod heartbeat;
mod lenient;
mod message_id;
mod properties;
mod queues;
mod record;
mod route;
mod stored;
mod strings;

pub use batch::BatchItem;
pub use compression::{Compression, CompressionError};
pub use cursor::BodyError;
pub use edit::EditError;
pub use heartbeat::{ConsumerGroup, Heartbeat};
pub use message_id::MessageId;
pub use properties::{PROPERTIES_LIMIT, Properties};
pub use queues::{AckBatch, ClientConfig, QueueSet, encode_lock_answer};
pub use record::{StoreHost, records_in, rewrite_store_hosts};
pub use route::{BrokerData, ClusterInfo, Dialect, QueueData, TopicRoute};
pub use stored::StoredMessage;
pub use strings::{Replace, Spot, replace_strings};
