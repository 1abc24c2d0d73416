//! The client's address in each message that is sent, as the property `__BORNHOST`: brokers store the address of the
//! connection, which is Gimbal's.
//!
//! What the client itself put there is replaced: it would be whatever it likes. The form is that of the official proxy,
//! `ip:port`. A send that cannot be stamped goes on as it is, and is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Session;
use super::filtering::{Ticket, framed};
use super::request::is_send;
use crate::auth::Seal;
use crate::config::Config;
use crate::filter::Way;
use crate::filter::messages::Messages;
use crate::protocol::{Code, Command, Frame, Head};

/// The property (`MessageConst.PROPERTY_BORN_HOST`).
const PROPERTY: &str = "__BORNHOST";
/// Bytes that a stamp adds to a message at most: its name, its value, and the separators as JSON writes them.
const ROOM: usize = 96;
/// Bytes of body and properties that brokers take unless they were told to take more.
const USUAL_LIMIT: usize = 4 << 20;

/// What became of stamping, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that carry the client's address; each of a batch counts.
    pub stamped: AtomicU64,
    /// Sends that were signed, with a key that is not in the credentials: a change would break the signature.
    pub skipped_signed: AtomicU64,
    /// Messages without room: of the properties, of a frame, or of what brokers take.
    pub skipped_full: AtomicU64,
    /// Sends whose messages could not be read.
    pub skipped_unreadable: AtomicU64,
}

fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The will to stamp one send.
#[derive(Debug)]
pub(super) struct Stamp<'a> {
    counts: &'a Counts,
    host: String,
    frame_limit: usize,
}

impl Session {
    /// How to stamp a request with this code, if it is to be.
    pub(super) fn stamp(&self, config: &Config, code: Code, ticket: &Ticket) -> Option<Stamp<'_>> {
        if !config.upstream.born_host || !is_send(code) {
            return None;
        }
        let keeps_its_signature = match ticket.seal {
            Seal::Unsigned => false,
            Seal::Signed => ticket.identity.user().is_none(),
            Seal::Token => true,
        };
        if keeps_its_signature {
            count(&self.core.born_hosts.skipped_signed, 1);
            return None;
        }
        Some(self.stamp_of(config))
    }

    fn stamp_of(&self, config: &Config) -> Stamp<'_> {
        let ip = self.peer.ip().to_canonical();
        Stamp {
            counts: &self.core.born_hosts,
            host: std::net::SocketAddr::new(ip, self.peer.port()).to_string(),
            frame_limit: config.limits.frame,
        }
    }

    /// A request that no filter looks at, stamped if it is to be.
    pub(super) fn stamped(&self, config: &Config, (head, frame): (Head, Frame)) -> (Head, Frame) {
        if !config.upstream.born_host || !is_send(head.code) {
            return (head, frame);
        }
        // Without credentials nobody is verified.
        if Seal::of(&head.fields(&frame)) != Seal::Unsigned {
            count(&self.core.born_hosts.skipped_signed, 1);
            return (head, frame);
        }
        let stamp = self.stamp_of(config);
        let Ok(mut command) = Command::decode(&frame) else {
            count(&stamp.counts.skipped_unreadable, 1);
            return (head, frame);
        };
        if !stamp.put(&mut command, frame.len()) {
            return (head, frame);
        }
        match framed(&command) {
            Ok(changed) => changed,
            Err(_too_long) => {
                count(&stamp.counts.skipped_full, 1);
                (head, frame)
            }
        }
    }
}

impl Stamp<'_> {
    /// Stamps every message of `command`, which has `bytes` as a frame; whether it was changed.
    pub(super) fn put(&self, command: &mut Command, bytes: usize) -> bool {
        let Ok(Some(mut messages)) = Messages::read(Way::Request, command.code, command, 0) else {
            count(&self.counts.skipped_unreadable, 1);
            return false;
        };
        let added = messages.len().saturating_mul(ROOM);
        let fits_frame = bytes.saturating_add(added) <= self.frame_limit;
        let is_usual = command.body.len() <= USUAL_LIMIT;
        if !fits_frame || (is_usual && command.body.len().saturating_add(added) > USUAL_LIMIT) {
            count(&self.counts.skipped_full, messages.len());
            return false;
        }
        let mut stamped = 0_usize;
        for index in 0..messages.len() {
            if messages.set_property(index, PROPERTY, &self.host).is_ok() {
                stamped = stamped.saturating_add(1);
                continue;
            }
            count(&self.counts.skipped_full, 1);
            // Better none than one that the client made up.
            drop(messages.remove_property(index, PROPERTY));
        }
        if messages.write(command, None).is_err() {
            count(&self.counts.skipped_full, stamped);
            return false;
        }
        count(&self.counts.stamped, stamped);
        messages.is_changed()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::protocol::body::{BatchItem, Properties};
    use crate::protocol::{Kind, request};

    const HOST: &str = "10.1.2.3:4567";

    fn golden(folder: &str, name: &str) -> Command {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(folder)
            .join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let digits: String = text
            .lines()
            .skip(1)
            .collect::<String>()
            .split_whitespace()
            .collect();
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2).unwrap(), 16).unwrap())
            .collect();
        let mut bytes = bytes::BytesMut::from(&bytes[..]);
        let frame = Frame::split(&mut bytes, usize::MAX).unwrap().unwrap();
        Command::decode(&frame).unwrap()
    }

    fn put_within(command: &mut Command, frame_limit: usize) -> (bool, [u64; 3]) {
        let counts = Counts::default();
        let stamp = Stamp {
            counts: &counts,
            host: HOST.to_owned(),
            frame_limit,
        };
        let bytes = command.encode().unwrap().len();
        let changed = stamp.put(command, bytes);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let all = [
            of(&counts.stamped),
            of(&counts.skipped_full),
            of(&counts.skipped_unreadable),
        ];
        (changed, all)
    }

    fn put(command: &mut Command) -> (bool, [u64; 3]) {
        put_within(command, 16 << 20)
    }

    /// What a broker would read from the frame.
    fn host_in(command: &Command, field: &str) -> Option<String> {
        let again = Command::decode(&command.encode().unwrap()).unwrap();
        let properties = Properties::new(again.field(field).unwrap_or_default());
        properties.find(PROPERTY).map(str::to_owned)
    }

    #[test]
    fn every_recorded_send_is_stamped_and_keeps_the_rest() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
        let mut kinds = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let sends = [
                "request-10-",
                "request-310-",
                "request-320-",
                "request-324-",
                "request-325-",
            ];
            if !sends.iter().any(|send| name.starts_with(send)) {
                continue;
            }
            let before = golden("wire", &name);
            let mut after = before.clone();
            let (changed, counts) = put(&mut after);
            assert!(
                changed && counts[0] > 0 && counts[1..] == [0, 0],
                "{name}: {counts:?}"
            );
            kinds.insert((before.code, before.kind() == Kind::Binary));
            let field = if matches!(before.code.0, 10 | 324) {
                "properties"
            } else {
                "i"
            };
            let is_batch = ["m", "batch"]
                .iter()
                .any(|name| before.field(name) == Some("true"));
            if is_batch {
                let items = BatchItem::decode_all(&after.body).unwrap();
                let originals = BatchItem::decode_all(&before.body).unwrap();
                assert_eq!(items.len(), originals.len());
                for (item, original) in items.iter().zip(&originals) {
                    assert_eq!(item.properties().find(PROPERTY), Some(HOST), "{name}");
                    assert_eq!(item.body(), original.body());
                }
                continue;
            }
            assert_eq!(host_in(&after, field).as_deref(), Some(HOST), "{name}");
            assert_eq!(after.body, before.body);
            let rest = |command: &Command| -> Vec<_> {
                let fields = command.ext.iter().flatten().filter(|f| f.name != field);
                fields
                    .map(|f| (f.name.clone(), f.value.as_str().to_owned()))
                    .collect()
            };
            assert_eq!(rest(&after), rest(&before), "{name}");
        }
        assert!(kinds.len() >= 3, "{kinds:?}");
    }

    #[test]
    fn what_the_client_put_there_is_replaced() {
        let forged = format!("{PROPERTY}\u{1}6.6.6.6:6\u{2}a\u{1}b\u{2}{PROPERTY}\u{1}7.7.7.7:7\u{2}");
        let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_field("i", forged.as_str());
        assert_eq!(put(&mut command), (true, [1, 0, 0]));
        assert_eq!(
            command.field("i").unwrap(),
            format!("{PROPERTY}\u{1}{HOST}\u{2}a\u{1}b\u{2}")
        );
    }

    #[test]
    fn a_send_without_properties_gets_them() {
        for (code, field) in [
            (request::SEND_MESSAGE, "properties"),
            (request::SEND_MESSAGE_V2, "i"),
        ] {
            let mut command = Command::request(code, 1).with_field("topic", "T").with_body("x");
            assert_eq!(put(&mut command), (true, [1, 0, 0]));
            assert_eq!(host_in(&command, field).as_deref(), Some(HOST));
        }
    }

    #[test]
    fn properties_that_are_full_go_on_without_the_clients_own_claim() {
        let full = format!("a\u{1}{}\u{2}", "x".repeat(32_760));
        let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_field("i", full.as_str());
        assert_eq!(put(&mut command), (false, [0, 1, 0]));
        assert_eq!(command.field("i"), Some(full.as_str()));
        let forged = format!("a\u{1}{}\u{2}{PROPERTY}\u{1}6\u{2}", "x".repeat(32_745));
        let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_field("i", forged.as_str());
        assert_eq!(put(&mut command), (true, [0, 1, 0]));
        assert_eq!(host_in(&command, "i"), None);
    }

    #[test]
    fn a_stamp_makes_no_send_too_large_for_its_reader() {
        let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_body(vec![0; 1_000]);
        assert_eq!(put_within(&mut command, 1_100), (false, [0, 1, 0]));
        let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_body(vec![0; USUAL_LIMIT - 10]);
        assert_eq!(put(&mut command), (false, [0, 1, 0]));
        let mut command = Command::request(request::SEND_MESSAGE_V2, 1).with_body(vec![0; USUAL_LIMIT + 10]);
        assert!(put(&mut command).0, "this broker was told to take more");
    }

    #[test]
    fn a_batch_that_cannot_be_read_goes_on_as_it_is() {
        let mut command = Command::request(request::SEND_BATCH_MESSAGE, 1)
            .with_field("m", "true")
            .with_body("no batch");
        let before = command.clone();
        assert_eq!(put(&mut command), (false, [0, 0, 1]));
        assert_eq!(command, before);
    }
}
