//! What a guest asked to see, from `init`.

use super::bindings::gimbal::filter::types;
use crate::filter::{Hooks, Interest, Patterns};
use crate::protocol::{Code, request};

/// Interests of one filter; codes and patterns of one interest.
const INTERESTS: usize = 256;
const PARTS: usize = 1_000;

/// What a guest gave, checked; or what is wrong with it.
pub(super) fn read(given: Vec<types::Interest>, hooks: Hooks) -> Result<Vec<Interest>, (String, String)> {
    if given.is_empty() && !hooks.connections {
        let accepted = "at least one interest, or exporting `connections`";
        return Err(("it wants to see nothing".to_owned(), accepted.to_owned()));
    }
    if given.len() > INTERESTS {
        let what = format!("it has {} interests", given.len());
        return Err((what, format!("at most {INTERESTS}")));
    }
    given.into_iter().map(|interest| one(interest, hooks)).collect()
}

fn one(given: types::Interest, hooks: Hooks) -> Result<Interest, (String, String)> {
    let parts = given.codes.len().max(given.topics.len()).max(given.groups.len());
    if parts > PARTS {
        let what = format!("an interest names {parts} codes, topics or groups");
        return Err((what, format!("at most {PARTS} of each")));
    }
    let requests = matches!(given.phase, types::Phase::Request | types::Phase::Both);
    let responses = matches!(given.phase, types::Phase::Response | types::Phase::Both);
    for (wants, has, interface, phase) in [
        (requests, hooks.requests, "requests", "request"),
        (responses, hooks.responses, "responses", "response"),
    ] {
        if wants && !has {
            let what =
                format!("an interest has the {phase} phase, and the filter does not export `{interface}`");
            return Err((
                what,
                format!("interests in phases that it exports, or an export of `{interface}`"),
            ));
        }
    }
    Ok(Interest {
        codes: given.codes.into_iter().map(Code).collect(),
        requests,
        responses,
        topics: Patterns::new(&given.topics),
        groups: Patterns::new(&given.groups),
        needs_body: given.needs_body,
    })
}

/// One interest as a line for people.
pub(super) fn line(interest: &Interest) -> String {
    let phase = match (interest.requests, interest.responses) {
        (true, true) => "requests and responses",
        (false, true) => "responses",
        _ => "requests",
    };
    let mut line = if interest.codes.is_empty() {
        format!("{phase} of every code")
    } else {
        let codes: Vec<String> = interest.codes.iter().copied().map(code).collect();
        format!("{phase} of {}", codes.join(", "))
    };
    for (what, patterns) in [("topics", &interest.topics), ("groups", &interest.groups)] {
        if !patterns.is_any() {
            line = format!("{line}, {what} {}", patterns.written().join(", "));
        }
    }
    if interest.needs_body {
        line.push_str(", with bodies");
    }
    line
}

fn code(code: Code) -> String {
    match request::name(code) {
        Some(name) => format!("{} {name}", code.0),
        None => code.0.to_string(),
    }
}
