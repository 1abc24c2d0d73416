//! What a signature covers, as brokers see it: the values of all ext fields in the order of their names, then the body.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::SIGNATURE;
use crate::protocol::{Command, Frame, Head, Kind};

/// Marks a query by unique key. Clients up to 4.9.3 added it after signing, so brokers leave it out for those.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
/// `V4_9_3`.
const LAST_WITHOUT_UNIQUE_KEY: i32 = 399;
/// Brokers read an empty value of a binary header as none, and write none as this when they build the content.
const NONE: &str = "null";

/// A keyed hash, ready for the content.
pub(super) type Hash = Hmac<Sha1>;

/// The signed part of one command. Values and body are borrowed.
pub(super) struct Content<'a> {
    /// Sorted; of several with one name the last counts.
    entries: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    body: &'a [u8],
    /// What stands in `Signature`.
    signature: Option<Cow<'a, str>>,
}

impl<'a> Content<'a> {
    pub(super) fn of_frame(head: &Head, frame: &'a Frame) -> Self {
        let mut entries = Vec::with_capacity(16);
        head.fields(frame)
            .walk(&mut |name, value| entries.push((text(name), value.text())));
        Self::new(entries, head.version, frame.body())
    }

    pub(super) fn of_command(command: &'a Command) -> Self {
        let empty_is_none = command.kind() == Kind::Binary;
        let fields = command.ext.iter().flatten().map(|field| {
            let value = field.value.as_str();
            let value = (!(empty_is_none && value.is_empty())).then_some(Cow::Borrowed(value));
            (Cow::Borrowed(&*field.name), value)
        });
        Self::new(fields.collect(), command.version, &command.body)
    }

    fn new(mut entries: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>, version: i32, body: &'a [u8]) -> Self {
        let mut signature = None;
        entries.retain_mut(|(name, value)| match &**name {
            SIGNATURE => {
                signature = value.take();
                false
            }
            UNIQUE_KEY_QUERY => version > LAST_WITHOUT_UNIQUE_KEY,
            _ => true,
        });
        entries.sort_by(|(a, _), (b, _)| java_order(a, b));
        Self {
            entries,
            body,
            signature,
        }
    }

    /// The signature of this content, as text.
    pub(super) fn sign(&self, hash: Hash) -> String {
        STANDARD.encode(self.feed(hash, NONE).finalize().into_bytes())
    }

    /// Whether the signature that came with the content is that of the key behind `hash`.
    pub(super) fn is_signed_by(&self, hash: &Hash) -> bool {
        let Some(signature) = self.signature.as_deref() else {
            return false;
        };
        let mut bytes = [0; 20];
        if !matches!(STANDARD.decode_slice(signature, &mut bytes), Ok(20)) {
            return false;
        }
        let fits = |none| self.feed(hash.clone(), none).verify_slice(&bytes).is_ok();
        // A client with an empty value in a binary header signs it as empty. Brokers refuse that, and yet it is its key.
        fits(NONE) || (self.entries.iter().any(|(_, value)| value.is_none()) && fits(""))
    }

    fn feed(&self, mut hash: Hash, none: &str) -> Hash {
        let mut entries = self.entries.iter().peekable();
        while let Some((name, value)) = entries.next() {
            if entries.peek().is_none_or(|(next, _)| next != name) {
                hash.update(value.as_deref().unwrap_or(none).as_bytes());
            }
        }
        hash.update(self.body);
        hash
    }
}

fn text(name: Cow<'_, [u8]>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => String::from_utf8_lossy(name),
        Cow::Owned(name) => Cow::Owned(String::from_utf8_lossy(&name).into_owned()),
    }
}

/// The order of Java strings: by UTF-16 units, which differs from that of bytes where characters need two units.
fn java_order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() || b.is_ascii() {
        return a.cmp(b);
    }
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;
    use crate::protocol::Code;

    fn hash() -> Hash {
        Hash::new_from_slice(b"sk").unwrap()
    }

    #[test]
    fn a_known_content_has_its_known_signature() {
        let command = Command::request(Code(10), 1)
            .with_field("topic", "T1")
            .with_field("AccessKey", "ak")
            .with_field("bname", "broker-a")
            .with_body("hello");
        assert_eq!(
            Content::of_command(&command).sign(hash()),
            "VDzx/LMujCgPAhAgVZXHUqyX+Xc="
        );
    }

    #[test]
    fn names_are_ordered_as_java_orders_them() {
        assert_eq!("\u{1F600}".cmp("\u{FF21}"), Ordering::Greater);
        assert_eq!(java_order("\u{1F600}", "\u{FF21}"), Ordering::Less);
        assert_eq!(java_order("a", "\u{1F600}"), Ordering::Less);
        assert_eq!(java_order("Z", "_"), Ordering::Less);
    }

    #[test]
    fn of_several_fields_with_one_name_the_last_counts() {
        let last = Command::request(Code(10), 1).with_field("a", "2");
        let mut both = Command::request(Code(10), 1).with_field("a", "1");
        both.ext.as_mut().unwrap().extend(last.ext.clone().unwrap());
        let sign = |command| Content::of_command(command).sign(hash());
        assert_eq!(sign(&both), sign(&last));
    }

    #[test]
    fn an_empty_value_of_a_binary_header_counts_as_the_word_null() {
        let sign = |value: &str, kind| {
            let mut command = Command::request(Code(10), 1);
            command.set_kind(kind);
            Content::of_command(&command.with_field("a", value)).sign(hash())
        };
        assert_eq!(sign("", Kind::Binary), sign("null", Kind::Json));
        assert_ne!(sign("", Kind::Json), sign("null", Kind::Json));
    }
}
