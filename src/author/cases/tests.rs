//! Case files, good and bad.

use super::*;
use crate::filter::Way;
use crate::filter::messages::Messages;
use crate::protocol::FRAME_LIMIT;

fn cases(text: &str) -> Vec<Case> {
    read("cases.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> Vec<String> {
    let problems = read("cases.toml", text).unwrap_err();
    problems.errors.iter().map(ToString::to_string).collect()
}

/// The one request of a case with this line.
fn command(line: &str) -> Command {
    let case = cases(&format!("[[case]]\nname = 'x'\n{line}\n")).remove(0);
    match case.shown {
        Shown::Request(command) => command,
        shown => panic!("{shown:?}"),
    }
}

#[test]
fn every_problem_is_said_with_its_line() {
    let text = "[[case]]\nname = 'a'\nsedn = { topic = 'T' }\nsend = { topc = 'T' }\n\
                [[case]]\nclient = { ip = 'here' }\npull = { topic = 'T' }\nexpect = { code = 'NO_PERMISION', verdict = 'answer' }\n\
                [[case]]\nname = 'c'\npull = { topic = 'T' }\nroute = { topic = 'T' }\n\
                [[case]]\nname = 'd'\n\
                [[case]]\nname = 'e'\nsend = { topic = 'T', queue = 'one' }\nexpect = { verdict = 'forwad' }\n";
    let found = problems(text).join("\n");
    for wanted in [
        "case[0].sedn (cases.toml:3): is not a setting; accepted: send (closest)",
        "case[0].send.topc (cases.toml:4): is not a setting; accepted: topic (closest)",
        "case[1].name (cases.toml:5): is missing; accepted: a sentence",
        "case[1].client.ip (cases.toml:6): is \"here\", which is no address",
        "case[1].expect.code (cases.toml:8): is \"NO_PERMISION\", which names no code; accepted: NO_PERMISSION (closest)",
        "case[2] (cases.toml:9): shows pull and route at once; accepted: one of send, batch",
        "case[3] (cases.toml:13): shows nothing; accepted: one of send",
        "case[4].send.queue (cases.toml:17)",
        "case[4].expect.verdict (cases.toml:18)",
    ] {
        assert!(found.contains(wanted), "{wanted}\nis not in\n{found}");
    }
}

#[test]
fn what_is_no_toml_is_said_alone() {
    let found = problems("[[case]\nname = 1\n");
    assert!(found.iter().all(|one| one.contains("cases.toml:")), "{found:?}");
}

#[test]
fn both_headers_of_a_send_carry_the_same_message() {
    for (header, code, topic) in [("v2", 310, "b"), ("v1", 10, "topic")] {
        let line = format!(
            "send = {{ topic = 'T', body = 'hello', tag = 'a', key = 'k', properties = {{ x = 1 }}, header = '{header}' }}"
        );
        let command = command(&line);
        assert_eq!(command.code, Code(code));
        assert_eq!(command.field(topic), Some("T"));
        let read = Messages::read(Way::Request, command.code, &command, FRAME_LIMIT);
        let messages = read.unwrap().unwrap();
        assert_eq!(messages.tags(0), Some("a"));
        assert_eq!(messages.keys(0), Some("k"));
        assert_eq!(messages.property(0, "x"), Some("1"));
        assert_eq!(messages.body(0).unwrap(), "hello");
    }
}

#[test]
fn a_batch_carries_every_message() {
    let command = command("batch = { topic = 'T', messages = [{ body = 'a', tag = 'x' }, { body = 'b' }] }");
    let read = Messages::read(Way::Request, command.code, &command, FRAME_LIMIT);
    let messages = read.unwrap().unwrap();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages.tags(0), Some("x"));
    assert_eq!(messages.body(1).unwrap(), "b");
}

#[test]
fn an_answer_carries_the_messages_that_were_found() {
    for ask in ["pull = { topic = 'T', offset = 5 }", "pop = { topic = 'T' }"] {
        let text = format!(
            "[[case]]\nname = 'x'\n{ask}\nanswer = {{ messages = [{{ body = 'a' }}, {{ body = 'b', tag = 't' }}] }}\n"
        );
        let Shown::Response { request, answer } = cases(&text).remove(0).shown else {
            panic!("an answer is shown")
        };
        let read = Messages::read(Way::Response, request.code, &answer, FRAME_LIMIT);
        let messages = read.unwrap().unwrap();
        assert_eq!(messages.len(), 2, "{ask}");
        assert_eq!(messages.topic(0), Some("T"), "{ask}");
        assert_eq!(messages.tags(1), Some("t"), "{ask}");
        assert_eq!(messages.body(1).unwrap(), "b", "{ask}");
    }
    let found =
        problems("[[case]]\nname = 'x'\nroute = { topic = 'T' }\nanswer = { messages = [{ body = 'a' }] }\n");
    assert!(found.join("").contains("carries none"), "{found:?}");
}

#[test]
fn every_kind_has_its_code() {
    for (line, code) in [
        ("send = { topic = 'T' }", 310),
        ("batch = { topic = 'T', messages = [{}] }", 320),
        ("pull = { topic = 'T' }", 11),
        ("pop = { topic = 'T' }", 200_050),
        ("ack = { topic = 'T' }", 200_051),
        ("heartbeat = { producers = ['p'] }", 34),
        ("route = { topic = 'T' }", 105),
        ("transaction = { topic = 'T' }", 37),
        ("send_back = { topic = 'T' }", 36),
        ("recall = { topic = 'T' }", 370),
        ("offset = { topic = 'T' }", 14),
        ("offset = { topic = 'T', commit = 7 }", 15),
        ("command = { code = 'UNREGISTER_CLIENT' }", 35),
        ("command = { code = 2001, fields = { x = true } }", 2_001),
    ] {
        assert_eq!(command(line).code, Code(code), "{line}");
    }
    assert_eq!(wire::KINDS.len(), 12);
}

#[test]
fn a_config_of_a_case_stands_in_place_of_the_files() {
    let text = "config = { rate = 1 }\n[[case]]\nname = 'a'\nroute = { topic = 'T' }\n\
                [[case]]\nname = 'b'\nconfig = { burst = 2 }\nroute = { topic = 'T' }\n";
    let cases = cases(text);
    assert_eq!(cases[0].config, serde_json::json!({"rate": 1}));
    assert_eq!(cases[1].config, serde_json::json!({"burst": 2}));
}
