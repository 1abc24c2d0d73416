//! Filters taken out of the chain, and put back, on an operator's word rather than by their files.
//!
//! Out stays out until it is put back, its module or its settings are saved with other content, or the process starts
//! again: whatever was said last holds.

use std::fmt;

use tokio::sync::oneshot;

use super::InForce;

/// Orders that may wait for the folder's next look.
pub(super) const WAITING: usize = 16;

/// Whether a filter is to be in the chain.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) name: String,
    pub(super) is_on: bool,
    pub(super) reply: oneshot::Sender<Result<(), SwitchError>>,
}

/// Why a filter stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchError {
    /// There is none of this name; these there are.
    Unknown(Vec<String>),
    /// The configuration says that it must not be missing.
    Required,
    /// There is no folder of filters, or nobody looks after it any more.
    NoFolder,
}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(_) => f.write_str("there is no filter of this name"),
            Self::Required => f.write_str("it is required, so it stays in the chain"),
            Self::NoFolder => f.write_str("no folder of filters is looked after"),
        }
    }
}

impl std::error::Error for SwitchError {}

impl InForce {
    /// Takes the filter of this name out of the chain, or puts it back; done when the chain is in force. What is so
    /// already is no error.
    ///
    /// # Cancel safety
    /// Dropping the future may leave it done or not done.
    pub async fn switch(&self, name: &str, is_on: bool) -> Result<(), SwitchError> {
        let (reply, done) = oneshot::channel();
        let order = Order {
            name: name.to_owned(),
            is_on,
            reply,
        };
        let sent = self.shared.orders.send(order).await;
        sent.map_err(|_nobody| SwitchError::NoFolder)?;
        done.await.unwrap_or(Err(SwitchError::NoFolder))
    }
}
