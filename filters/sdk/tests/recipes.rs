//! The recipes of `filters/README.md`: each function stands there word for word, and does what it says.

use gimbal_sdk::prelude::*;
use gimbal_sdk::testing::{Message, Request, decide};

fn throttle(command: &Command) -> Verdict {
    let who = command.client().id().unwrap_or_default();
    if Limit::new(who, 100.0, 100).acquire(1).is_ok() {
        return Verdict::Forward;
    }
    if command.is_oneway() {
        return Verdict::Drop; // nobody waits for an answer
    }
    Verdict::answer(code::FLOW_CONTROL, "more than 100 messages a second")
}

fn hold(command: &Command) -> Verdict {
    let group = command.group().unwrap_or_default();
    match Limit::new(group, 10.0, 10).charge(1) {
        0 => Verdict::Forward,
        wait => Verdict::Delay(u32::try_from(wait).unwrap_or(u32::MAX)), // milliseconds
    }
}

fn deny(command: &Command) -> Verdict {
    let client = command.client();
    let is_payment = command.topic().is_some_and(|topic| topic.starts_with("payments"));
    if !is_payment || client.user().as_deref() == Some("billing") {
        return Verdict::Forward;
    }
    if command.is_oneway() {
        return Verdict::Drop;
    }
    let who = client.user().unwrap_or_else(|| client.ip());
    Verdict::answer(code::MESSAGE_ILLEGAL, format!("{who} may not publish payments"))
}

fn stamp(command: &Command) -> Verdict {
    let ip = command.client().ip();
    let Ok(messages) = command.messages().all() else {
        return Verdict::Forward; // a body that is none: the broker says so
    };
    for message in messages {
        if let Err(why) = message.set_property("source", &ip) {
            gimbal_sdk::warn!("not stamped: {why}");
        }
    }
    Verdict::Forward
}

fn mask(command: &Command) -> Verdict {
    let Ok(messages) = command.messages().all() else {
        return Verdict::Forward;
    };
    for message in messages {
        if message.property("secret").is_some() && message.remove_property("secret").is_err() {
            return Verdict::answer(code::SYSTEM_ERROR, "a secret could not be taken out");
        }
    }
    Verdict::Forward
}

fn route_by_tag(command: &Command) -> Verdict {
    let Ok(messages) = command.messages().all() else {
        return Verdict::Forward;
    };
    for message in messages {
        let lane = match message.tags().as_deref() {
            Some("vip") => "fast",
            _ => "normal",
        };
        if message.set_property("lane", lane).is_err() {
            return Verdict::answer(code::MESSAGE_ILLEGAL, "no room for the property lane");
        }
    }
    Verdict::Forward // consumers choose by SQL: lane = 'fast'
}

fn code_of(verdict: &Verdict) -> Option<i32> {
    match verdict {
        Verdict::Answer(answer) => Some(answer.code),
        _ => None,
    }
}

fn one() -> Message {
    Message::new("hello")
}

#[test]
fn who_sends_too_much_is_told_so_and_one_way_sends_are_dropped() {
    let send = || Request::send("orders").client_id("a");
    for _ in 0..100 {
        assert_eq!(decide(send(), throttle).0, Verdict::Forward);
    }
    assert_eq!(code_of(&decide(send(), throttle).0), Some(215));
    assert_eq!(decide(send().oneway(), throttle).0, Verdict::Drop);
    assert_eq!(decide(send().client_id("b"), throttle).0, Verdict::Forward);
}

#[test]
fn who_pulls_too_much_waits() {
    let pull = || Request::pull("orders", "readers");
    for _ in 0..10 {
        assert_eq!(decide(pull(), hold).0, Verdict::Forward);
    }
    assert!(matches!(decide(pull(), hold).0, Verdict::Delay(wait) if wait > 0));
}

#[test]
fn payments_are_published_by_billing_alone() {
    let send = || Request::send("payments-eu");
    assert_eq!(code_of(&decide(send(), deny).0), Some(13));
    assert_eq!(decide(send().oneway(), deny).0, Verdict::Drop);
    assert_eq!(decide(send().user("billing"), deny).0, Verdict::Forward);
    assert_eq!(decide(Request::send("orders"), deny).0, Verdict::Forward);
}

#[test]
fn every_message_is_stamped() {
    let (verdict, sent) = decide(Request::batch("orders", [one(), one()]).ip("10.0.0.7"), stamp);
    assert_eq!(verdict, Verdict::Forward);
    for message in sent.messages {
        assert!(message.properties.contains(&("source".into(), "10.0.0.7".into())));
    }
}

#[test]
fn secrets_do_not_reach_consumers() {
    let answer = Request::pull("orders", "readers").found([one().property("secret", "x").property("a", "b")]);
    let (verdict, shown) = decide(answer, mask);
    assert_eq!(verdict, Verdict::Forward);
    let left = &shown.messages.first().unwrap().properties;
    assert_eq!(left, &[("a".to_owned(), "b".to_owned())]);
}

#[test]
fn the_tag_decides_the_lane() {
    for (tag, lane) in [("vip", "fast"), ("other", "normal")] {
        let send = Request::batch("orders", [one().property("TAGS", tag)]);
        let (_, sent) = decide(send, route_by_tag);
        let properties = &sent.messages.first().unwrap().properties;
        assert!(
            properties.contains(&("lane".into(), lane.into())),
            "{properties:?}"
        );
    }
}

#[test]
fn the_guide_shows_these_functions() {
    let guide = include_str!("../../README.md");
    let own = include_str!("recipes.rs");
    let recipes = guide
        .split_once("## Recipes")
        .unwrap()
        .1
        .split_once("\n## ")
        .unwrap()
        .0;
    let blocks: Vec<&str> = recipes
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        assert!(own.contains(block), "not in recipes.rs: {block}");
    }
}
