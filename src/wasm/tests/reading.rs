//! What a guest meets when it reads what is not shown to it, or cannot be read.

use super::*;
use crate::filter::{Chain, Counters, Member, Mode, Outcome, OwnTopics, Policy, Scope};

const READER: &str = include_str!("../../../tests/fixtures/guests/reader.wat");
/// A batch send, whose body the test command does not have the form of.
const BATCH: i32 = 320;

fn reader(what: &str) -> Arc<dyn Filter> {
    let mut source = source(wasm(READER));
    source.config = json!({ "do": what });
    host().load(source).unwrap().filter
}

/// A command whose body is no batch.
fn garbled() -> Box<Subject> {
    let command = Command::request(Code(BATCH), 7)
        .with_field("b", "T")
        .with_field("m", "true")
        .with_body("no batch");
    let frame = command.encode().unwrap();
    let head = Head::scan(&frame).unwrap();
    let client = Client::new(SocketAddr::from(([10, 0, 0, 1], 5000)), "inside".into(), 3);
    Box::new(Subject::request(Way::Request, head, frame, Arc::new(client)))
}

/// What a chain makes of it: the remark of the filter's answer, or how the filter failed.
fn shown(what: &str) -> Result<String, String> {
    let counters = Arc::new(Counters::default());
    let member = Member {
        name: "reader".into(),
        id: 1,
        filter: reader(what),
        scope: Scope::default(),
        mode: Mode::Enforce,
        policy: Policy::Closed,
        counters: Arc::clone(&counters),
    };
    let outcome = Chain::new(0, vec![member]).decide(garbled(), 0);
    if let Some((_, failure)) = counters.last_failure() {
        return Err(failure);
    }
    match outcome {
        Outcome::Answer { answer, .. } => Ok(answer.remark.unwrap()),
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn a_guest_that_stops_because_no_body_is_shown_fails_for_that() {
    for what in ["c", "t", "b"] {
        let failure = shown(what).unwrap_err();
        assert!(
            failure.ends_with(", and none of its interests has needs-body"),
            "{what}: {failure}"
        );
    }
}

#[test]
fn a_guest_is_told_that_messages_cannot_be_read_and_decides() {
    let text = shown("dy").unwrap();
    assert!(text.starts_with("the messages cannot be read: "), "{text}");
}

#[test]
fn a_guest_that_is_not_told_fails_for_it() {
    for what in ["uy", "ty"] {
        let failure = shown(what).unwrap_err();
        assert!(
            failure.starts_with("it read messages that cannot be read: "),
            "{what}: {failure}"
        );
    }
}

#[test]
fn names_at_the_broker_leave_out_its_own_topics() {
    let filter = reader("n");
    let ask = |code| {
        let plain = command(code, 0);
        let own = OwnTopics::new(|topic| topic == "broker-a");
        let client = Client::clone(plain.client()).with_own_topics(own);
        let parts = plain.into_parts().unwrap();
        let subject = Subject::request(Way::Request, parts.head, parts.frame, Arc::new(client));
        match filter.call(Hook::Request, Box::new(subject)).1 {
            Ok(Verdict::Answer(answer)) => answer.remark.unwrap(),
            other => panic!("no answer: {other:?}"),
        }
    };
    assert_eq!(ask(2000), "P-nothing");
    assert_eq!(ask(2001), "broker-a");
}
