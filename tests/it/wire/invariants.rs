//! What holds for every frame, whoever made it; the fuzz targets mount this file too.

use bytes::{Bytes, BytesMut};

use super::protocol::{Command, DecodeError, Frame, Head};

/// Takes the frames off the front of `bytes` and checks each; the error of the one that could not be split.
pub(super) fn check_stream(bytes: &[u8], limit: usize) -> Result<usize, DecodeError> {
    let mut buf = BytesMut::from(bytes);
    let mut frames = 0;
    while let Some(frame) = Frame::split(&mut buf, limit)? {
        check(&frame);
        frames += 1;
    }
    Ok(frames)
}

/// Checks one frame.
pub(super) fn check(frame: &Frame) {
    let head = Head::scan(frame);
    let command = Command::decode(frame);
    let (head, command) = match (head, command) {
        (Ok(head), Ok(command)) => (head, command),
        (Err(_), Err(_)) => return,
        (head, command) => panic!("scan and decode disagree: {head:?}, {command:?}"),
    };
    assert_eq!(head.code, command.code, "code");
    assert_eq!(head.opaque, command.opaque, "opaque");
    assert_eq!(head.flag, command.flag, "flag");
    assert_eq!(head.version, command.version, "version");
    assert_eq!(head.language, command.language, "language");
    assert_eq!(frame.body(), &command.body[..], "body");
    fields_agree(frame, &head, &command);
    encoding_is_stable(&command);
    fields_are_set_in_place(frame, &head, &command);
    for opaque in [0, -1, i32::MAX] {
        let patched = head
            .with_opaque(frame.clone(), opaque)
            .expect("no longer than a frame may be");
        let again = Head::scan(&patched).expect("still a header");
        assert_eq!(again.opaque, opaque, "the opaque was replaced");
        let mut expected = command.clone();
        expected.opaque = opaque;
        let patched = Command::decode(&patched).expect("still a command");
        assert_same(&patched, &expected, "replacing the opaque changed something else");
    }
}

fn fields_agree(frame: &Frame, head: &Head, command: &Command) {
    let fields = head.fields(frame);
    let index = fields.index();
    let indexed = fields.indexed(&index);
    for field in command.ext.iter().flatten() {
        // A name that is not UTF-8 cannot be asked for by its name.
        if !field.name.contains(char::REPLACEMENT_CHARACTER) {
            let found = fields.find(&field.name);
            assert_eq!(found.as_deref(), command.field(&field.name), "{}", field.name);
            assert_eq!(found, fields.first_of(&[&field.name]), "{}", field.name);
            assert_eq!(found, indexed.find(&field.name), "{}, indexed", field.name);
            assert_eq!(found, indexed.first_of(&[&field.name]), "{}, indexed", field.name);
        }
    }
    for name in ["topic", ""] {
        assert_eq!(fields.find(name).as_deref(), command.field(name), "{name:?}");
        assert_eq!(
            indexed.find(name).as_deref(),
            command.field(name),
            "{name:?}, indexed"
        );
    }
}

/// A field set in the bytes of the header is the field set in the command.
fn fields_are_set_in_place(frame: &Frame, head: &Head, command: &Command) {
    let fields = command.ext.iter().flatten();
    let first = fields.map(|field| &*field.name).next().unwrap_or("b");
    for (name, value) in [(first, "\"\u{1}\u{e9}\\"), ("topic", "T"), ("a new one", "")] {
        let Some((patched_head, patched)) = head.with_field(frame, name, value) else {
            continue;
        };
        assert_eq!(
            Head::scan(&patched).as_ref(),
            Ok(&patched_head),
            "{name}: its head"
        );
        let mut expected = command.clone();
        expected.set_field(name, value);
        let patched = Command::decode(&patched).expect("still a command");
        assert_same(&patched, &expected, name);
    }
}

/// Encoding what was decoded gives a frame that means the same, and encoding that one gives the same bytes.
fn encoding_is_stable(command: &Command) {
    let Ok(frame) = command.encode() else { return };
    let again = Command::decode(&frame).expect("our own encoding");
    assert_same(&again, command, "encoding changed the meaning");
    let twice = again.encode().expect("encoded before").to_bytes();
    assert_eq!(twice, frame.to_bytes(), "encoding is not stable");
}

/// Asserts that two commands mean the same, however they are written.
pub(super) fn assert_same(left: &Command, right: &Command, claim: &str) {
    let parts = |command: &Command| {
        (
            command.code,
            command.language,
            (command.version, command.opaque, command.flag),
            command.remark.clone(),
            command.ext.clone(),
            Bytes::clone(&command.body),
        )
    };
    assert_eq!(parts(left), parts(right), "{claim}");
}
