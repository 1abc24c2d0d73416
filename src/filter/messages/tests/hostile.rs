//! Commands that nobody should send: nothing panics, and what is written can be read.

use proptest::prelude::*;

use super::pop::pop;
use super::*;

/// Commands of every kind that carries messages, around whatever body and fields.
fn hostile(body: Vec<u8>, info: &str, at: usize) -> (Way, Code, Command) {
    let ways = [
        (Way::Request, request::SEND_MESSAGE),
        (Way::Request, request::SEND_BATCH_MESSAGE),
        (Way::Response, request::PULL_MESSAGE),
        (Way::Response, request::POP_MESSAGE),
        (Way::Response, request::QUERY_MESSAGE),
        (Way::Push, request::CHECK_TRANSACTION_STATE),
        (Way::Push, request::PUSH_REPLY_MESSAGE_TO_CLIENT),
    ];
    let (way, code) = ways[at % ways.len()];
    let mut command = Command::request(response::SUCCESS, 1).with_body(body);
    for name in ["startOffsetInfo", "msgOffsetInfo", "properties", "i"] {
        command.set_field(name, info);
    }
    for (name, value) in [("f", "513"), ("sysFlag", "1"), ("m", "true"), ("reviveQid", "1")] {
        command.set_field(name, value);
    }
    (way, code, command)
}

/// Reads, edits, removes and writes whatever there is; what was written must be readable.
fn exercise(way: Way, code: Code, command: &Command) {
    let Ok(Some(messages)) = Messages::read(way, code, command, LIMIT) else {
        return;
    };
    look_at_all(&messages);
    let mut same = command.clone();
    messages.write(&mut same, None).unwrap();
    assert_eq!(same, *command);
    let mut messages = read(way, code, command);
    for index in 0..messages.len() {
        let _set = messages.set_property(index, "n", "v");
        let _set = messages.set_body(index, Bytes::from_static(b"new"));
        if index % 2 == 1 {
            let _removed = messages.remove(index);
        }
    }
    let (all, removed) = (messages.len(), messages.removed.len());
    let mut edited = command.clone();
    if messages.write(&mut edited, Some(&pop())).is_ok() && all > removed {
        assert_eq!(read(way, code, &edited).len(), all - removed);
    }
}

proptest! {
    #[test]
    fn hostile_commands_do_not_panic(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        info in "[012 ,;\u{1}\u{2}a]{0,24}",
        at in 0_usize..7,
    ) {
        let (way, code, command) = hostile(body, &info, at);
        exercise(way, code, &command);
    }

    #[test]
    fn stored_messages_with_hostile_fields_do_not_panic(
        places in proptest::collection::vec((0_i32..3, any::<i64>()), 0..6),
        info in "[012]? [012] [0-9]{1,2}(,[0-9]){0,2}(;[01] [012] [0-9](,[0-9]){0,2}){0,2}",
        flip in any::<proptest::sample::Index>(),
        bits in 0_u8..4,
    ) {
        let records: Vec<_> = places
            .iter()
            .map(|(queue, offset)| record(*queue, *offset, "T", &[]))
            .collect();
        let mut body = records.concat();
        if !body.is_empty() {
            let flip = flip.index(body.len());
            body[flip] ^= bits;
        }
        let (way, code, command) = hostile(body, &info, 3);
        exercise(way, code, &command);
    }
}
