//! What reading the wire costs, with frames that real clients and servers sent.

use std::hint::black_box;

use bytes::BytesMut;
use gimbal::protocol::{Command, FRAME_LIMIT, Frame, Head};

use super::{heading, time};

/// Frames as they were on the wire.
pub(crate) const JSON_SEND: &str = include_str!("../../fixtures/wire/request-310-java-5.5.0-json.hex");
const BINARY_SEND: &str = include_str!("../../fixtures/wire/request-310-java-5.5.0-binary.hex");

/// Frames that lie one behind the other in a buffer.
const TOGETHER: usize = 64;

fn bytes(text: &str) -> Vec<u8> {
    let hex: String = text.lines().skip(1).collect();
    hex.trim()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The frame that a fixture holds.
pub(crate) fn real(text: &str) -> Frame {
    Frame::split(&mut BytesMut::from(&bytes(text)[..]), FRAME_LIMIT)
        .unwrap()
        .unwrap()
}

/// Prints the table.
pub(crate) fn run() {
    heading("a send of a Java client, ns for each frame");
    for (kind, text) in [("JSON", JSON_SEND), ("binary", BINARY_SEND)] {
        let one = bytes(text);
        let many = one.repeat(TOGETHER);
        let mut buffer = BytesMut::new();
        time(
            &format!("{kind}: split from a buffer of {TOGETHER}, copying it in included"),
            || {
                if buffer.is_empty() {
                    buffer = BytesMut::from(&many[..]);
                }
                drop(black_box(Frame::split(&mut buffer, FRAME_LIMIT)));
            },
        );
        let frame = real(text);
        time(&format!("{kind}: head"), || drop(black_box(Head::scan(&frame))));
        let head = Head::scan(&frame).unwrap();
        let last = head
            .fields(&frame)
            .to_pairs()
            .last()
            .map(|(name, _)| name.clone())
            .unwrap_or_default();
        time(&format!("{kind}: one ext field found, the last"), || {
            black_box(head.fields(&frame).find(&last));
        });
        time(&format!("{kind}: another opaque"), || {
            drop(black_box(head.with_opaque(frame.clone(), 4_711)));
        });
        time(&format!("{kind}: header decoded"), || {
            drop(black_box(Command::decode(&frame)));
        });
        let command = Command::decode(&frame).unwrap();
        time(&format!("{kind}: header encoded"), || {
            drop(black_box(command.encode()));
        });
    }
}
