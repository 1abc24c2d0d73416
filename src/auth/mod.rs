//! Who signed a command, and signing it again: the keys Gimbal knows, and the signature of ACL clients.
//!
//! A client that has an access key signs its ext fields and its body (HMAC-SHA1). A changed command must be signed again
//! or it is refused by the broker, so Gimbal may be given the keys, in a file of their own. Nothing here is read from a
//! clock or the network: signatures have neither time nor number, so a recorded command can be sent again by anybody.
#![warn(clippy::arithmetic_side_effects)]

mod content;
mod credentials;
mod file;
mod seal;

pub use credentials::{Credentials, Identity, Refusal, UnknownKey, UnknownKeys};
pub use file::{CredentialsError, Fault, ReadSecret};
pub use seal::{Seal, SealError};

/// The ext field that names the key.
pub const ACCESS_KEY: &str = "AccessKey";
/// The ext field with the signature.
pub const SIGNATURE: &str = "Signature";
/// The ext field of temporary keys, whose secret only the client and those who lent it know.
pub const SECURITY_TOKEN: &str = "SecurityToken";
