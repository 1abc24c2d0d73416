//! The keys Gimbal knows: they tell who signed a command, and sign it again.

use std::collections::HashMap;
use std::fmt;

use hmac::{KeyInit, Mac};

use super::content::{Content, Hash};
use super::{ACCESS_KEY, SIGNATURE};
use crate::protocol::{Code, Command, Frame, Head, response};

/// Characters of a client's access key that are shown; longer ones are cut.
const SHOWN: usize = 128;

/// The keys Gimbal knows, from the credentials file. Shared in an `Arc`; equal when every key and setting is.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    keys: HashMap<String, Key>,
    own: Option<String>,
    unknown: UnknownKeys,
}

/// A secret, kept only as the state of the hash that it starts.
#[derive(Clone)]
struct Key {
    hash: Hash,
    /// The hash of nothing, to tell keys apart.
    print: [u8; 20],
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Key {}

/// What happens to commands signed with a key that is not in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownKeys {
    /// They pass as they are, and filters see no verified user.
    #[default]
    Pass,
    /// They are refused.
    Refuse,
}

/// Who signed a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It names no access key.
    Unsigned,
    /// It names this access key, which is not in the file.
    Unknown(String),
    /// It was signed with this key.
    Verified(String),
    /// It names this key, and was signed with another, was changed since, or has no signature.
    Wrong(String),
}

impl Identity {
    /// The verified access key.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Verified(access_key) => Some(access_key),
            Self::Unsigned | Self::Unknown(_) | Self::Wrong(_) => None,
        }
    }
}

/// There is no key of this name in the credentials file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey(pub String);

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "access key {:?} is not in the credentials file",
            shown(&self.0)
        )
    }
}

impl std::error::Error for UnknownKey {}

/// Why a command may not pass. Its text is the remark of the answer, in the words of a broker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Signed with a key that is not in the file, and such are to be refused.
    UnknownKey(String),
    /// The signature is not that of the key.
    WrongSignature(String),
}

impl Refusal {
    /// What brokers with ACL 2.0 answer. Those with ACL 1.0 answer 1, which clients take for a broker in trouble.
    pub const CODE: Code = response::NO_PERMISSION;
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey(key) => write!(f, "User:{} is not found.", shown(key)),
            Self::WrongSignature(key) => write!(f, "check signature failed. User:{}", shown(key)),
        }
    }
}

impl std::error::Error for Refusal {}

impl Credentials {
    /// Keys with their secrets, which must not be empty; `own` must be one of them.
    pub(super) fn new(
        keys: impl IntoIterator<Item = (String, String)>,
        own: Option<String>,
        unknown: UnknownKeys,
    ) -> Self {
        let keys = keys.into_iter().filter_map(|(access_key, secret)| {
            // HMAC takes keys of every length.
            let hash = Hash::new_from_slice(secret.as_bytes()).ok()?;
            let print = hash.clone().finalize().into_bytes().into();
            Some((access_key, Key { hash, print }))
        });
        Self {
            keys: keys.collect(),
            own,
            unknown,
        }
    }

    /// Who signed this request, by the rules of brokers. `head` must be that of `frame`; the body is not copied.
    pub fn verify(&self, head: &Head, frame: &Frame) -> Identity {
        let access_key = head.fields(frame).find(ACCESS_KEY);
        let Some(access_key) = access_key.filter(|key| !key.is_empty()) else {
            return Identity::Unsigned;
        };
        let access_key = access_key.into_owned();
        match self.keys.get(&access_key) {
            None => Identity::Unknown(access_key),
            Some(key) if Content::of_frame(head, frame).is_signed_by(&key.hash) => {
                Identity::Verified(access_key)
            }
            Some(_) => Identity::Wrong(access_key),
        }
    }

    /// Why a command of this identity may not pass, if it may not.
    pub fn refusal(&self, identity: &Identity) -> Option<Refusal> {
        match identity {
            Identity::Wrong(key) => Some(Refusal::WrongSignature(key.clone())),
            Identity::Unknown(key) if self.unknown == UnknownKeys::Refuse => {
                Some(Refusal::UnknownKey(key.clone()))
            }
            Identity::Unsigned | Identity::Unknown(_) | Identity::Verified(_) => None,
        }
    }

    /// Signs `command` with this key: sets `AccessKey` where it differs, and `Signature`.
    ///
    /// Must be the last change: version, form of the header, ext fields and body all count. Opaque, flag, code,
    /// language and remark do not.
    pub fn sign(&self, command: &mut Command, access_key: &str) -> Result<(), UnknownKey> {
        let key = self
            .keys
            .get(access_key)
            .ok_or_else(|| UnknownKey(access_key.to_owned()))?;
        if command.field(ACCESS_KEY) != Some(access_key) {
            command.set_field(ACCESS_KEY, access_key);
        }
        let signature = Content::of_command(command).sign(key.hash.clone());
        command.set_field(SIGNATURE, signature);
        Ok(())
    }

    /// Signs a request of Gimbal's own with the key in `own`; whether there is one. As the last change, see
    /// [`Credentials::sign`].
    pub fn sign_own(&self, command: &mut Command) -> bool {
        self.own
            .as_deref()
            .is_some_and(|own| self.sign(command, own).is_ok())
    }

    /// Whether the file has this key.
    pub fn knows(&self, access_key: &str) -> bool {
        self.keys.contains_key(access_key)
    }

    /// Whether requests of Gimbal's own can be signed.
    pub fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// What happens to commands signed with a key that is not in the file.
    pub fn unknown(&self) -> UnknownKeys {
        self.unknown
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("keys", &self.keys.len())
            .field("own", &self.own)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

fn shown(access_key: &str) -> String {
    access_key.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
