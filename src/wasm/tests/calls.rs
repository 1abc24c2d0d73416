//! What calls give, and what becomes of those that go wrong.

use super::*;

const VERDICTS: &str = include_str!("../../../tests/fixtures/guests/verdicts.wat");

#[test]
fn every_verdict_arrives() {
    let filter = load(VERDICTS).unwrap().filter;
    assert_eq!(ask(&filter, 2000).1, Ok(Verdict::Forward));
    let Ok(Verdict::Answer(answer)) = ask(&filter, 2001).1 else {
        panic!("no answer");
    };
    assert_eq!(
        (answer.code, answer.remark.as_deref()),
        (Code(16), Some("not today"))
    );
    assert_eq!(
        ask(&filter, 2002).1,
        Ok(Verdict::Delay(Duration::from_millis(25)))
    );
    assert_eq!(ask_oneway(&filter, 2003), Ok(Verdict::Drop));
    assert_eq!(ask(&filter, 2004).1, Ok(Verdict::Close("not today".to_owned())));
}

#[test]
fn what_a_guest_sets_is_in_the_command() {
    let filter = load(VERDICTS).unwrap().filter;
    let (mut subject, verdict) = ask(&filter, 2005);
    assert_eq!(verdict, Ok(Verdict::Forward));
    assert_eq!(subject.field("seen").as_deref(), Some("yes"));
    assert!(subject.into_parts().unwrap().is_changed);
}

#[test]
fn a_failure_says_how_and_the_next_call_works() {
    let filter = load(VERDICTS).unwrap().filter;
    for (code, expected) in [
        (
            2010,
            "it stopped: wasm trap: wasm `unreachable` instruction executed, in lost",
        ),
        (2011, "it stopped: lost my way"),
        (2012, "it used up its time budget of 100ms"),
        (2013, "it wanted more than its memory limit of 4194304 bytes"),
        (2014, "it stopped: wasm trap: call stack exhausted"),
        (2015, "it stopped: "),
    ] {
        let failure = ask(&filter, code).1.unwrap_err().to_string();
        assert!(failure.starts_with(expected), "{code}: {failure}");
        assert_eq!(ask(&filter, 2000).1, Ok(Verdict::Forward), "after {code}");
    }
}

#[test]
fn a_module_for_wasi_preview_1_gets_our_adapter() {
    let text = include_str!("../../../tests/fixtures/guests/wasip1.wat");
    let filter = load(text).unwrap().filter;
    let Ok(Verdict::Answer(answer)) = ask(&filter, 0).1 else {
        panic!("no answer");
    };
    assert_eq!(answer.code, Code(1), "clock, random, files, waiting");
    let failure = |code| ask(&filter, code).1.unwrap_err().to_string();
    assert_eq!(failure(1), "it stopped: panic: told to");
    assert_eq!(failure(2), "it stopped: it called exit(3)");
}
