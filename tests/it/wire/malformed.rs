//! Malformed and unusual input, and what comes of it: what both generations of the reference reader agree on.
//!
//! The tables were made by giving the headers to `RemotingCommand.decode` of clients 4.9.8 (fastjson 1) and 5.5.0
//! (fastjson 2). Both also accept single quotes, comments and trailing commas, which nobody writes: refused here.

use bytes::{BufMut, Bytes, BytesMut};

use super::fixtures::{frame, unhex};
use super::invariants;
use super::protocol::{Code, Command, DecodeError, EncodeError, FRAME_LIMIT, Frame, Head, Kind, Language};

fn json(header: &str) -> Frame {
    Frame::join(Kind::Json, header.as_bytes(), Bytes::new()).unwrap()
}

fn binary(header: &str) -> Frame {
    Frame::join(Kind::Binary, &unhex(header), Bytes::new()).unwrap()
}

/// Decodes a header that must be accepted, checking that scan and decode agree about it.
fn accepted(header: &str) -> Command {
    let frame = json(header);
    invariants::check(&frame);
    Command::decode(&frame).unwrap_or_else(|error| panic!("{header}: {error}"))
}

fn refused(frame: &Frame, label: &str) {
    assert!(Head::scan(frame).is_err(), "{label}: scanned");
    assert!(Command::decode(frame).is_err(), "{label}: decoded");
}

/// A length word, the rest of the frame.
fn split(length: i32, rest: &[u8]) -> Result<Option<Frame>, DecodeError> {
    let mut buf = BytesMut::new();
    buf.put_i32(length);
    buf.put_slice(rest);
    Frame::split(&mut buf, FRAME_LIMIT)
}

#[test]
fn the_largest_frame_is_accepted_and_one_byte_more_is_not() {
    assert_eq!(split(16_777_212, &[0, 0, 0, 2]), Ok(None), "waits for the rest");
    let mut all = BytesMut::zeroed(FRAME_LIMIT);
    all[..4].copy_from_slice(&16_777_212_u32.to_be_bytes());
    all[4..8].copy_from_slice(&2_u32.to_be_bytes());
    all[8..10].copy_from_slice(b"{}");
    let frame = Frame::split(&mut all, FRAME_LIMIT).unwrap().unwrap();
    assert_eq!((frame.len(), frame.body().len()), (FRAME_LIMIT, FRAME_LIMIT - 10));
    for length in [16_777_213, i32::MAX, -1, i32::MIN] {
        let limit = FRAME_LIMIT;
        assert_eq!(split(length, &[]), Err(DecodeError::Length { length, limit }));
    }
}

#[test]
fn a_frame_without_room_for_its_header_word_is_refused() {
    for length in 0..4 {
        assert!(split(length, &[0; 8]).is_err(), "{length}");
    }
    assert!(split(4, &[0, 0, 0, 0]).unwrap().is_some(), "no header, no body");
}

#[test]
fn a_header_longer_than_its_frame_is_refused() {
    let error = DecodeError::HeaderLength { header: 3, frame: 6 };
    assert_eq!(split(6, &[0, 0, 0, 3, b'{', b'}']), Err(error));
    assert!(split(6, &[0, 0, 0, 2, b'{', b'}']).unwrap().is_some());
}

#[test]
fn an_unknown_serialize_type_is_refused() {
    for kind in 2..=u8::MAX {
        let error = DecodeError::SerializeType(kind);
        assert_eq!(split(6, &[kind, 0, 0, 2, b'{', b'}']), Err(error));
    }
}

#[test]
fn keys_without_quotes_are_read_wherever_they_stand() {
    let command = accepted(r#"{code:310,extFields:{a:"1",b:2},"opaque":7}"#);
    assert_eq!((command.code, command.opaque), (Code(310), 7));
    assert_eq!((command.field("a"), command.field("b")), (Some("1"), Some("2")));
}

#[test]
fn json_headers_that_the_reference_refuses_are_refused() {
    for header in [
        "",
        "null",
        "[]",
        "7",
        "\"x\"",
        "{\"code\":1",
        "{\"code\":",
        "{\"code\":1,\"remark\":\"abc",
        "{\"code\":1}x",
        "{\"code\":1}{\"code\":2}",
        "{\"code\":1};",
        "\u{feff}{\"code\":1}",
        "{\"code\":\"abc\"}",
        "{\"code\":\" 5 \"}",
        "{\"code\":2147483648}",
        "{\"code\":-2147483649}",
        "{\"code\":\"2147483648\"}",
        "{\"code\":99999999999999999999}",
        "{\"code\":0x10}",
        "{\"version\":\"x\"}",
        "{\"extFields\":[]}",
        "{\"extFields\":\"x\"}",
        "{\"extFields\":7}",
        "{\"remark\":\"\\q\"}",
        "{\"remark\":\"\\8\"}",
        "{\"remark\":\"\\u12\"}",
        "{\"remark\":\"\\x4\"}",
        "{\"extFields\":{\"a\":\"\\q\"}}",
        "{\"code\":1,\"x\":nul}",
        "{\"code\":1,\"x\":[1,2}",
        "{\"code\":1,\u{a0}\"flag\":1}",
    ] {
        refused(&json(header), header);
    }
}

#[test]
fn missing_members_have_the_defaults_of_the_reference() {
    let command = accepted("{}");
    assert_eq!((command.code, command.flag, command.version), (Code(0), 0, 0));
    assert_eq!((command.opaque, command.language), (0, Language::JAVA));
    assert_eq!((command.remark, command.ext), (None, None));
    let nulls = accepted(
        "{\"code\":null,\"flag\":null,\"opaque\":null,\"version\":null,\"extFields\":null,\"remark\":null}",
    );
    assert_eq!((nulls.code, nulls.opaque, nulls.ext), (Code(0), 0, None));
    assert_eq!(accepted("{\"language\":null}").language, Language::UNKNOWN);
}

#[test]
fn numbers_are_read_in_every_spelling_that_the_reference_reads() {
    for (text, code) in [
        ("105", 105),
        ("\"105\"", 105),
        ("-5", -5),
        ("+5", 5),
        ("005", 5),
        ("\"-5\"", -5),
        ("\"\"", 0),
        ("1.0", 1),
        ("1.5", 1),
        ("1e2", 100),
        ("true", 1),
        ("false", 0),
        ("-2147483648", i32::MIN),
    ] {
        assert_eq!(
            accepted(&format!("{{\"code\":{text}}}")).code,
            Code(code),
            "{text}"
        );
    }
}

#[test]
fn ext_values_that_are_not_strings_count_as_their_text() {
    let command = accepted(
        "{\"extFields\":{\"a\":1,\"b\":true,\"c\":null,\"d\":1.50,\"e\":[1],\"f\":{\"x\":1},\"\":\"y\"}}",
    );
    for (name, value) in [
        ("a", Some("1")),
        ("b", Some("true")),
        ("c", None),
        ("d", Some("1.50")),
        ("e", Some("[1]")),
        ("f", Some("{\"x\":1}")),
        ("", Some("y")),
    ] {
        assert_eq!(command.field(name), value, "{name}");
    }
}

#[test]
fn the_last_of_several_members_counts() {
    assert_eq!(accepted("{\"code\":1,\"code\":2}").code, Code(2));
    let both = accepted("{\"extFields\":{\"a\":\"1\"},\"extFields\":{\"b\":\"2\"}}");
    assert_eq!((both.field("a"), both.field("b")), (None, Some("2")));
    assert_eq!(
        accepted("{\"extFields\":{\"a\":\"1\"},\"extFields\":null}").ext,
        None
    );
    let twice = accepted("{\"extFields\":{\"a\":\"1\",\"a\":\"2\"}}");
    assert_eq!(twice.field("a"), Some("2"));
    let taken_back = accepted("{\"extFields\":{\"a\":\"1\",\"a\":null}}");
    assert_eq!(taken_back.field("a"), None);
}

#[test]
fn an_escaped_key_does_not_hide_a_field() {
    let command = accepted("{\"c\\u006fde\":5,\"extFields\":{\"t\\u006fpic\":\"x\"}}");
    assert_eq!((command.code, command.field("topic")), (Code(5), Some("x")));
}

#[test]
fn escapes_and_raw_control_characters_are_decoded() {
    for (inside, remark) in [
        ("a\u{1}b\nc", "a\u{1}b\nc"),
        ("\\u0001\\ud83d\\ude00x", "\u{1}\u{1F600}x"),
        ("\\u00E9\\u00e9", "\u{e9}\u{e9}"),
        ("\\x41\\'\\/\\\"\\\\", "A'/\"\\"),
        ("\\v\\F\\f\\0\\1\\7", "\u{b}\u{c}\u{c}\u{0}\u{1}\u{7}"),
        ("\\b\\n\\r\\t", "\u{8}\n\r\t"),
        ("\u{e9}\u{4e2d}", "\u{e9}\u{4e2d}"),
        ("\\ud83dx", "\u{FFFD}x"),
        ("\\ud83d\\ud83d\\ude00", "\u{FFFD}\u{1F600}"),
        ("\\ude00", "\u{FFFD}"),
    ] {
        let command = accepted(&format!("{{\"remark\":\"{inside}\"}}"));
        assert_eq!(command.remark.unwrap().as_str(), remark, "{inside}");
    }
}

#[test]
fn languages_are_read_by_name_or_number_and_unknown_ones_survive() {
    for (text, language) in [
        ("\"CPP\"", Language(1)),
        ("\"go\"", Language::GO),
        ("9", Language::GO),
        ("\"KLINGON\"", Language::UNKNOWN),
        ("\"\"", Language::UNKNOWN),
    ] {
        let header = format!("{{\"code\":1,\"language\":{text},\"opaque\":0}}");
        let mut command = accepted(&header);
        assert_eq!(command.language, language, "{text}");
        command.remark = Some("edited".into());
        let encoded = String::from_utf8_lossy(command.encode().unwrap().header()).into_owned();
        assert!(encoded.contains(&format!("\"language\":{text}")), "{encoded}");
    }
}

#[test]
fn unknown_members_order_and_spelling_survive_an_edit() {
    let header = "{\"zeta\":{\"a\":[1,{}]},\"opaque\":7,\"remark\":\"\\u0041\",\"code\":10,\"extFields\":{\"a\":1,\
                  \"b\":\"\\u4e2d\"},\"language\":\"GO\"}";
    let mut command = accepted(header);
    assert_eq!(command.encode().unwrap().header(), header.as_bytes());
    command.set_field("a", "2");
    let expected = header.replace("\"a\":1,", "\"a\":\"2\",");
    assert_eq!(command.encode().unwrap().header(), expected.as_bytes());
}

#[test]
fn members_that_the_header_came_without_are_written_once_they_are_set() {
    for header in [
        "{\"x\":1}",
        "{\"code\":null,\"extFields\":null,\"remark\":null,\"x\":1}",
    ] {
        let mut command = accepted(header);
        command.code = Code(10);
        command.flag = 2;
        command.version = 401;
        command.language = Language::GO;
        command.opaque = 9;
        command.remark = Some("r".into());
        command.set_field("topic", "T1");
        let again = Command::decode(&command.encode().unwrap()).unwrap();
        invariants::assert_same(&again, &command, header);
    }
}

#[test]
fn a_value_carried_into_the_other_serialisation_is_written_in_its_form() {
    let json = accepted("{\"code\":1,\"extFields\":{\"a\":\"x\\u0001y\"}}");
    let value = json.ext.as_ref().unwrap()[0].value.clone();
    let request = binary("000a0001df00000007000000000000000000000000");
    let answer =
        Command::answer(&Head::scan(&request).unwrap(), Kind::Binary, Code(0)).with_field("a", value);
    let again = Command::decode(&answer.encode().unwrap()).unwrap();
    assert_eq!(again.field("a"), Some("x\u{1}y"));
}

#[test]
fn binary_headers_that_the_reference_refuses_are_refused() {
    for (what, header) in [
        ("nothing at all", ""),
        ("no ext length", "00690001df000000070000000000000000"),
        (
            "a remark beyond the header",
            "00690001df0000000700000000000000ff00000000",
        ),
        ("a negative remark", "00690001df0000000700000000ffffffff00000000"),
        (
            "an ext beyond the header",
            "00690001df000000070000000000000000000000ff",
        ),
        (
            "an entry without value",
            "00690001df00000007000000000000000000000003000161",
        ),
        (
            "a negative key",
            "00690001df00000007000000000000000000000007ffff6100000000",
        ),
        (
            "a value beyond the header",
            "00690001df0000000700000000000000000000000700016100000009",
        ),
        (
            "a negative value",
            "00690001df00000007000000000000000000000007000161ffffffff",
        ),
    ] {
        refused(&binary(header), what);
    }
}

#[test]
fn binary_headers_that_the_reference_accepts_are_accepted() {
    for (what, header, field) in [
        ("no ext", "00690001df00000007000000000000000000000000", None),
        (
            "a negative ext",
            "00690001df000000070000000000000000ffffffff",
            None,
        ),
        (
            "bytes after the ext",
            "00690001df0000000700000000000000000000000800016100000001310000",
            Some("1"),
        ),
        (
            "an empty value",
            "00690001df0000000700000000000000000000000700016100000000",
            None,
        ),
        (
            "a name twice",
            "00690001df0000000700000000000000000000001000016100000001310001610000000132",
            Some("2"),
        ),
        (
            "a name taken back",
            "00690001df0000000700000000000000000000000f000161000000013100016100000000",
            None,
        ),
    ] {
        let frame = binary(header);
        invariants::check(&frame);
        let command = Command::decode(&frame).unwrap();
        assert_eq!((command.code, command.opaque), (Code(105), 7), "{what}");
        assert_eq!(command.field("a"), field, "{what}");
    }
}

#[test]
fn an_unknown_language_number_and_a_narrow_code_survive_in_binary() {
    let original = binary("0d7ac801df00000007000000000000000000000000");
    let command = Command::decode(&original).unwrap();
    assert_eq!((command.code, command.language), (Code(3450), Language(200)));
    assert_eq!(command.encode().unwrap(), original);
    let negative = binary("fffe0001df00000007000000000000000000000000");
    assert_eq!(
        Head::scan(&negative).unwrap().code,
        Code(-2),
        "widened with its sign"
    );
}

#[test]
fn a_wide_code_is_not_encoded_in_binary() {
    let mut command = Command::request(Code(200_050), 1);
    command.set_kind(Kind::Binary);
    assert_eq!(command.encode(), Err(EncodeError::CodeTooWide(200_050)));
}

#[test]
fn what_does_not_fit_its_length_field_is_not_encoded() {
    let long = "n".repeat(32_768);
    let mut command = Command::request(Code(10), 1).with_field(&long, "v");
    assert!(command.encode().is_ok(), "JSON has no such limit");
    command.set_kind(Kind::Binary);
    assert_eq!(command.encode(), Err(EncodeError::TooLong));
    let huge = Command::request(Code(10), 1).with_field("a", "v".repeat(1 << 24));
    assert_eq!(
        huge.encode(),
        Err(EncodeError::TooLong),
        "a header has 24 bits of length"
    );
}

#[test]
fn a_missing_or_null_opaque_is_given_one() {
    for header in [
        "{}",
        "{\"code\":10}",
        "{ \"zzz\":1}",
        "{\"opaque\":null,\"code\":1}",
    ] {
        let frame = json(header);
        let head = Head::scan(&frame).unwrap();
        for opaque in [0, 5] {
            let patched = head.with_opaque(frame.clone(), opaque).unwrap();
            let text = String::from_utf8_lossy(patched.header()).into_owned();
            assert!(text.contains(&format!("\"opaque\":{opaque}")), "{text}");
            assert_eq!(Head::scan(&patched).unwrap().opaque, opaque, "{text}");
        }
    }
}

#[test]
fn a_frame_in_pieces_is_waited_for() {
    let whole = unhex("0000001b0100001500000001df000000070000000100000000000000007b7d");
    for cut in 0..whole.len() {
        let mut buf = BytesMut::from(&whole[..cut]);
        assert_eq!(Frame::split(&mut buf, FRAME_LIMIT), Ok(None), "{cut} bytes");
        buf.put_slice(&whole[cut..]);
        let split = Frame::split(&mut buf, FRAME_LIMIT).unwrap().unwrap();
        assert_eq!(split, frame(&whole));
    }
}
