//! Properties of the codec, over arbitrary commands and arbitrary bytes.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixtures;
use super::invariants;
use super::protocol::body::{
    AckBatch, ClientConfig, ClusterInfo, Dialect, Heartbeat, MessageId, QueueSet, TopicRoute,
    rewrite_store_hosts,
};
use super::protocol::{Code, Command, FRAME_LIMIT, Field, Frame, Kind, Language};

/// Text of every kind: empty, ordinary, with control characters and JSON's own, any Unicode.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-zA-Z0-9_%|-]{1,20}",
        vec(
            prop::sample::select(
                "\u{0}\u{1}\u{2}\u{7f}\u{85}\u{2028}\"\\/{}[]:,\n\u{1F600}\u{e9}a"
                    .chars()
                    .collect::<Vec<_>>()
            ),
            0..12
        )
        .prop_map(String::from_iter),
        any::<String>(),
    ]
}

fn fields() -> impl Strategy<Value = Option<Vec<Field>>> {
    let field = (text(), text()).prop_map(|(name, value)| Field {
        name: name.into(),
        value: value.into(),
    });
    prop::option::of(vec(field, 0..24))
}

fn int() -> impl Strategy<Value = i32> {
    prop_oneof![any::<i32>(), 0..400_i32, Just(i32::MIN), Just(i32::MAX), Just(-1)]
}

/// A command with a JSON header.
fn json_command() -> impl Strategy<Value = Command> {
    let ints = (int(), int(), int(), int(), 0..14_u8);
    let rest = (prop::option::of(text()), fields(), vec(any::<u8>(), 0..64));
    (ints, rest).prop_map(|((code, opaque, flag, version, language), (remark, ext, body))| {
        let mut command = Command::request(Code(code), opaque).with_body(body);
        command.flag = flag;
        command.version = version;
        command.language = Language(language);
        command.remark = remark.map(Into::into);
        command.ext = ext;
        command
    })
}

/// A command with a binary header: 16 bits of code and version, any language, nothing empty (which would be nothing).
fn binary_command() -> impl Strategy<Value = Command> {
    (json_command(), any::<u8>()).prop_map(|(mut command, language)| {
        command.set_kind(Kind::Binary);
        let narrow =
            |wide: i32| i32::from(i16::from_be_bytes([wide.to_be_bytes()[2], wide.to_be_bytes()[3]]));
        command.code = Code(narrow(command.code.0));
        command.version = narrow(command.version);
        command.language = Language(language);
        command.remark = command.remark.filter(|remark| !remark.as_str().is_empty());
        command.ext = command.ext.filter(|fields| !fields.is_empty());
        command
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![json_command(), binary_command()]
}

/// Bytes of a real frame with a few changes.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let real: Vec<Bytes> = fixtures::all().into_iter().map(|fixture| fixture.bytes).collect();
    let edits = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (
        prop::sample::select(real),
        edits,
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(real, edits, cut, keep_all)| {
            let mut bytes = real.to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if !keep_all {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        })
}

/// Everything that reads a body; none may panic.
fn read_as_every_body(body: &Bytes) {
    if let Ok(route) = TopicRoute::decode(body) {
        let ours = route.advertised(&|name| Some(format!("{name}:1")));
        for dialect in [Dialect::Fastjson, Dialect::Standard] {
            let again = TopicRoute::decode(&ours.encode(dialect)).expect("our own writing");
            assert_eq!(again.brokers(), ours.brokers());
            assert_eq!(again.queues(), ours.queues());
        }
    }
    if let Ok(table) = ClusterInfo::decode(body) {
        let again = ClusterInfo::decode(&table.encode()).expect("our own writing");
        assert_eq!(again.brokers(), table.brokers());
    }
    if let Ok(queues) = QueueSet::decode(body) {
        for part in queues.by_broker(&|_, _, _| None).values() {
            assert!(QueueSet::decode(part).is_ok());
        }
    }
    drop((
        Heartbeat::decode(body),
        AckBatch::decode(body),
        ClientConfig::decode(body),
    ));
    for host in ["10.1.2.3:4", "[fe80::1]:4"] {
        let host = host.parse().unwrap();
        let edited = rewrite_store_hosts(body, host);
        assert_eq!(edited.len(), body.len());
        assert_eq!(rewrite_store_hosts(&edited, host), edited, "once is enough");
    }
}

/// A failing case is kept as a named fixture, not in a regression file.
fn settings() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(192)
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn commands_cut_into_any_chunks_arrive_whole(
        commands in vec(command(), 1..5),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let frames: Vec<Frame> = commands.iter().map(|command| command.encode().unwrap()).collect();
        let wire: Vec<u8> = frames.iter().flat_map(|frame| frame.to_bytes().to_vec()).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len())).collect();
        at.extend([0, wire.len()]);
        at.sort_unstable();
        let mut buf = BytesMut::new();
        let mut arrived = Vec::new();
        for pair in at.windows(2) {
            buf.extend_from_slice(&wire[pair[0]..pair[1]]);
            while let Some(frame) = Frame::split(&mut buf, FRAME_LIMIT).unwrap() {
                arrived.push(frame);
            }
        }
        prop_assert!(buf.is_empty());
        prop_assert_eq!(arrived.len(), commands.len());
        for (frame, command) in arrived.iter().zip(&commands) {
            invariants::check(frame);
            prop_assert_eq!(frame.kind(), command.kind());
            invariants::assert_same(&Command::decode(frame).unwrap(), command, "what was sent");
        }
    }

    #[test]
    fn a_command_keeps_its_fields_through_the_other_serialisation(command in binary_command()) {
        let mut other = command.clone();
        other.language = Language(command.language.0 % 14);
        let mut expected = other.clone();
        expected.ext = expected.ext.map(|mut fields| {
            fields.retain(|field| !field.value.as_str().is_empty());
            fields
        });
        for kind in [Kind::Json, Kind::Binary, Kind::Json] {
            other.set_kind(kind);
            other = Command::decode(&other.encode().unwrap()).unwrap();
        }
        // A header with nothing but empty values has no fields on the way back.
        other.ext = other.ext.filter(|fields| !fields.is_empty());
        expected.ext = expected.ext.filter(|fields| !fields.is_empty());
        invariants::assert_same(&other, &expected, "through JSON, binary, JSON");
    }

    #[test]
    fn damaged_frames_never_panic_and_every_reader_agrees(bytes in damaged()) {
        let _checked = invariants::check_stream(&bytes, FRAME_LIMIT);
        let mut buf = BytesMut::from(&bytes[..]);
        if let Ok(Some(frame)) = Frame::split(&mut buf, FRAME_LIMIT) {
            read_as_every_body(&frame.body_bytes());
        }
    }

    #[test]
    fn arbitrary_headers_never_panic_and_every_reader_agrees(
        header in prop_oneof![
            vec(any::<u8>(), 0..80),
            "[{}\\[\\]:,\"\\\\a-z0-9 .e+-]{0,40}".prop_map(String::into_bytes),
            r#"\{("(code|opaque|flag|language|remark|extFields|x)":("[a\\nu0-9]{0,6}"|[0-9.e-]{1,4}|null|true|\{\}|\{"a":(1|null|"b")\}),){0,4}"y":1\}"#
                .prop_map(String::into_bytes),
        ],
        binary in any::<bool>(),
    ) {
        let kind = if binary { Kind::Binary } else { Kind::Json };
        invariants::check(&Frame::join(kind, &header, Bytes::from_static(b"b")).unwrap());
    }

    #[test]
    fn arbitrary_bodies_never_panic(
        body in prop_oneof![
            vec(any::<u8>(), 0..200),
            "[{}\\[\\]:,\"\\\\a-z0-9 .e+-]{0,60}".prop_map(String::into_bytes),
        ],
    ) {
        read_as_every_body(&Bytes::from(body));
    }

    #[test]
    fn a_message_id_is_read_back_or_refused(text in prop_oneof!["[0-9a-fA-F]{32}", "[0-9a-fA-F]{56}", any::<String>()]) {
        if let Some(id) = MessageId::parse(&text) {
            prop_assert_eq!(id.to_string(), text.to_uppercase());
        }
    }
}
