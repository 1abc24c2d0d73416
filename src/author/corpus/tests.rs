//! A recording is read as it was written, and what is wrong with one is said with its line.

use super::*;

const HEADER: &str =
    "{\"gimbal\":\"0.1.0\",\"recorded\":\"2026-01-02T03:04:05Z\",\"bodies\":true,\"masked\":[\"*Token*\"]}\n";
const CLIENT: &str =
    "{\"peer\":\"10.0.0.7:1\",\"listener\":\"main\",\"id\":\"c@1\",\"language\":\"GO\",\"version\":493}";
const SEND: &str = "{\"code\":310,\"opaque\":4,\"fields\":{\"b\":\"orders\"},\"body\":\"aGVsbG8=\"}";

fn request() -> String {
    format!("{{\"at_us\":1500,\"way\":\"request\",\"session\":3,\"client\":{CLIENT},\"command\":{SEND}}}\n")
}

fn read(text: &str) -> (Vec<Result<Item, CorpusError>>, bool) {
    let mut reader = Reader::new(text.as_bytes()).unwrap();
    let items = reader.by_ref().collect();
    (items, reader.is_cut())
}

fn entry(item: &Result<Item, CorpusError>) -> &Entry {
    match item {
        Ok(Item::Command(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_are_read_with_their_client_and_what_they_answer() {
    let response = format!(
        "{{\"at_us\":1900,\"way\":\"response\",\"session\":3,\"client\":{CLIENT},\"broker\":\"a\",\
         \"command\":{{\"code\":0,\"opaque\":4,\"flag\":1,\"body_size\":9}},\"asked\":{SEND}}}\n"
    );
    let text = format!("{HEADER}{}\n{{\"left_out\":2}}\n{response}", request());
    let (items, is_cut) = read(&text);
    assert_eq!((items.len(), is_cut), (3, false));
    let first = entry(&items[0]);
    assert_eq!((first.line, first.at), (2, Duration::from_micros(1_500)));
    assert_eq!(first.client.client_id.as_deref(), Some("c@1"));
    assert_eq!((first.client.connection, first.client.version), (3, 493));
    assert_eq!((&*first.command.body, first.body_size), (&b"hello"[..], 5));
    assert!(matches!(items[1], Ok(Item::LeftOut(2))));
    let last = entry(&items[2]);
    assert_eq!(
        (last.line, last.broker.as_deref(), last.body_size),
        (5, Some("a"), 9)
    );
    assert_eq!(last.request().field("b"), Some("orders"));
}

#[test]
fn a_bad_line_is_told_with_its_number_and_the_next_can_be_read() {
    for (bad, said) in [
        ("nonsense\n".to_owned(), "line 2: it is not JSON"),
        ("{\"way\":\"request\"}\n".to_owned(), "line 2: missing field"),
        (
            request().replace("request", "sideways"),
            "line 2: unknown variant `sideways`",
        ),
        (request().replace("aGVsbG8=", "%"), "line 2: command.body"),
        (
            request().replace("\"request\"", "\"response\""),
            "line 2: its way is response, and it lacks",
        ),
        ("{\"left_out\":\"many\"}\n".to_owned(), "line 2: invalid type"),
    ] {
        let (items, is_cut) = read(&format!("{HEADER}{bad}{}", request()));
        assert_eq!((items.len(), is_cut), (2, false), "{bad}");
        let error = items[0].as_ref().unwrap_err().to_string();
        assert!(
            error.starts_with(said) && error.contains("; accepted: "),
            "{error}"
        );
        assert_eq!(entry(&items[1]).line, 3);
    }
}

#[test]
fn a_last_line_cut_short_is_left_away_and_told() {
    let whole = request();
    let (cut, _) = whole.split_at(whole.len() / 2);
    let (items, is_cut) = read(&format!("{HEADER}{whole}{cut}"));
    assert_eq!((items.len(), is_cut), (1, true));
    // A whole command that only lacks its end is one.
    let (items, is_cut) = read(&format!("{HEADER}{}", whole.trim_end()));
    assert_eq!((items.len(), is_cut), (1, false));
}

#[test]
fn what_is_no_recording_is_refused_at_its_first_line() {
    for text in ["", "\n\n", "{}\n", "SELECT 1", "[[case]]\nname = 'x'\n"] {
        let error = Reader::new(text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.starts_with("line 1: ") && error.contains("accepted: a file of `gimbal record`"),
            "{error}"
        );
    }
}

#[test]
fn a_writer_stops_at_its_bounds_with_whole_lines() {
    let bounds = Bounds {
        commands: 2,
        bytes: 10_000,
    };
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, bounds);
    assert!(writer.put(HEADER).unwrap());
    assert!(writer.put(&request()).unwrap());
    assert!(writer.put("\n").unwrap());
    assert!(writer.put("{\"left_out\":5}\n").unwrap());
    assert!(writer.put("{\"at_us\":").unwrap(), "the connection broke off");
    assert!(!writer.put(&request()).unwrap());
    let summary = writer.finish().unwrap();
    assert_eq!((summary.commands, summary.left_out), (2, 5));
    assert_eq!(summary.bytes, u64::try_from(file.len()).unwrap());
    let (items, is_cut) = read(std::str::from_utf8(&file).unwrap());
    assert_eq!((items.len(), is_cut), (3, false));
}

#[test]
fn a_writer_does_not_exceed_its_size() {
    let bytes = u64::try_from(HEADER.len()).unwrap() + 10;
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, Bounds { commands: 9, bytes });
    assert!(writer.put(HEADER).unwrap());
    assert!(!writer.put(&request()).unwrap());
    assert_eq!(writer.finish().unwrap().commands, 0);
    assert_eq!(file, HEADER.as_bytes());
}
