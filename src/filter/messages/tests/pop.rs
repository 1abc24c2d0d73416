//! Messages taken out of pops: what is left, and what must be acknowledged.

use super::*;

/// The answer to a pop of `T` by `g`: two messages of queue 1, one of queue 2, and one of the retry topic whose handle the
/// broker wrote.
fn popped() -> Command {
    let handle = "40 1700 60000 3 1 broker-a 0 41";
    let body = [
        record(1, 5, "T", &[]),
        record(2, 9, "T", &[]),
        record(0, 41, "T", &[("POP_CK", handle)]),
        record(1, 8, "T", &[]),
    ]
    .concat();
    Command::request(response::SUCCESS, 1)
        .with_field("popTime", "1700")
        .with_field("invisibleTime", "60000")
        .with_field("reviveQid", "3")
        .with_field("restNum", "0")
        .with_field("startOffsetInfo", "0 1 4;0 2 9;1 0 40")
        .with_field("msgOffsetInfo", "0 1 5,8;0 2 9;1 0 41")
        .with_body(body)
}

pub(super) fn pop() -> PopRequest {
    PopRequest {
        group: "g".to_owned(),
        topic: "T".to_owned(),
        broker: "broker-a".to_owned(),
        is_ordered: false,
    }
}

#[test]
fn what_is_removed_from_a_pop_takes_its_offset_along_and_is_acknowledged() {
    let mut command = popped();
    let mut messages = read(Way::Response, request::POP_MESSAGE, &command);
    for index in [3, 1] {
        messages.remove(index).unwrap();
    }
    let acknowledges = messages.write(&mut command, Some(&pop())).unwrap();
    let of = |queue_id, offset, extra_info: &str| Acknowledge {
        topic: "T".to_owned(),
        group: "g".to_owned(),
        queue_id,
        offset,
        extra_info: extra_info.to_owned(),
    };
    let wanted = [
        of(2, 9, "9 1700 60000 3 0 broker-a 2 9"),
        of(1, 8, "4 1700 60000 3 0 broker-a 1 8"),
    ];
    assert_eq!(acknowledges, wanted);
    assert_eq!(command.field("msgOffsetInfo"), Some("0 1 5;1 0 41"));
    assert_eq!(command.field("startOffsetInfo"), Some("0 1 4;1 0 40"));
    assert_eq!(command.code, response::SUCCESS);
    let again = read(Way::Response, request::POP_MESSAGE, &command);
    assert_eq!(
        (0..again.len())
            .filter_map(|index| again.queue_offset(index))
            .collect::<Vec<_>>(),
        [5, 41]
    );
}

#[test]
fn a_handle_that_the_broker_wrote_is_taken_as_it_is() {
    let mut command = popped();
    let mut messages = read(Way::Response, request::POP_MESSAGE, &command);
    messages.remove(2).unwrap();
    let acknowledges = messages.write(&mut command, Some(&pop())).unwrap();
    assert_eq!(acknowledges[0].topic, "%RETRY%g_T");
    assert_eq!((acknowledges[0].queue_id, acknowledges[0].offset), (0, 41));
    assert_eq!(acknowledges[0].extra_info, "40 1700 60000 3 1 broker-a 0 41");
    assert_eq!(command.field("msgOffsetInfo"), Some("0 1 5,8;0 2 9"));
}

#[test]
fn a_pop_of_which_nothing_is_left_polls_again() {
    let (way, code, mut command) = fixture("answer-200050-0-broker-5.5.0-json");
    let mut messages = read(way, code, &command);
    for index in 0..4 {
        messages.remove(index).unwrap();
    }
    let acknowledges = messages.write(&mut command, Some(&pop())).unwrap();
    assert_eq!(
        acknowledges[0].extra_info,
        "0 1795438948969 60000 0 0 broker-a 1 0"
    );
    assert_eq!(acknowledges.len(), 4);
    assert_eq!(command.code, response::POLLING_TIMEOUT);
    assert_eq!(
        (command.field("msgOffsetInfo"), command.field("startOffsetInfo")),
        (None, None)
    );
    assert_eq!(command.field("restNum"), Some("0"));
}

#[test]
fn a_pop_that_does_not_say_how_to_acknowledge_keeps_its_messages() {
    let pop_code = request::POP_MESSAGE;
    for (field, value, why) in [
        ("reviveQid", "999", Keep::OrderedPop),
        ("reviveQid", "x", Keep::NoHandle),
        ("msgOffsetInfo", "0 1 5;0 2 9;1 0 41", Keep::NoHandle),
        ("msgOffsetInfo", "0 1 5,8,9;0 2 9;1 0 41", Keep::NoHandle),
        ("msgOffsetInfo", "0 1 5,8;0 1 5,8;0 2 9;1 0 41", Keep::NoHandle),
        ("startOffsetInfo", "", Keep::NoHandle),
    ] {
        let command = popped().with_field(field, value);
        let mut messages = read(Way::Response, pop_code, &command);
        let kept = MessageError::Kept { index: 0, why };
        assert_eq!(messages.remove(0), Err(kept), "{field}: {value}");
    }
    let mut command = popped();
    let before = command.clone();
    let mut messages = read(Way::Response, pop_code, &command);
    messages.remove(0).unwrap();
    let ordered = PopRequest {
        is_ordered: true,
        ..pop()
    };
    assert!(messages.write(&mut command, Some(&ordered)).is_err());
    assert_eq!(command, before);
    let several = record(0, 1, "T", &[("INNER_MULTI_DISPATCH", "%LMQ%a")]);
    let command = popped().with_body(several);
    let kept = MessageError::Kept {
        index: 0,
        why: Keep::SeveralQueues,
    };
    assert_eq!(read(Way::Response, pop_code, &command).remove(0), Err(kept));
}
