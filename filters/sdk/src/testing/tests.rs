//! Claims about the host of tests: that it keeps to what the real one does.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Message, Request, advance, decide, load, log_lines};
use crate::{Action, Command, Filter, Interest, Limit, Requests, Store, Verdict, code};

#[derive(Debug, Deserialize)]
struct Looker {
    topics: Vec<String>,
    body: bool,
}

impl Filter for Looker {
    type Config = Self;

    fn new(config: Self) -> Result<Self, String> {
        Ok(config)
    }

    fn interests(&self) -> Vec<Interest> {
        let interest = Interest::sends().topics(&self.topics);
        vec![if self.body { interest.with_body() } else { interest }]
    }
}

impl Requests for Looker {
    fn on_request(&self, command: &Command) -> Verdict {
        match command.messages().count() {
            Ok(count) => Verdict::Close(count.to_string()),
            Err(why) => Verdict::Close(why),
        }
    }
}

#[test]
fn only_what_an_interest_fits_is_shown() {
    let looker = load::<Looker>(json!({ "topics": ["a*"], "body": true })).unwrap();
    assert_eq!(
        looker.request(Request::send("ab")).verdict,
        Verdict::Close("1".to_owned())
    );
    assert!(!looker.request(Request::send("b")).seen);
    assert!(!looker.request(Request::pull("ab", "g")).seen);
}

#[test]
fn messages_need_an_interest_with_a_body() {
    let looker = load::<Looker>(json!({ "topics": [], "body": false })).unwrap();
    let Verdict::Close(why) = looker.request(Request::send("a")).verdict else {
        panic!()
    };
    assert!(why.contains("needs-body"), "{why}");
}

#[test]
fn impossible_verdicts_and_changes_fail_the_test() {
    let fails = |request: Request, act: fn(&Command) -> Verdict| {
        std::panic::catch_unwind(|| decide(request, act)).is_err()
    };
    assert!(fails(Request::send("a").oneway(), |_| Verdict::answer(16, "no")));
    assert!(fails(Request::send("a"), |_| Verdict::Drop));
    assert!(fails(Request::pull("a", "g").found([]), |_| Verdict::Delay(1)));
    assert!(fails(Request::send("a").signed(), |command| {
        command.set_field("x", "y");
        Verdict::Forward
    }));
    assert!(!fails(Request::send("a").oneway(), |_| Verdict::Drop));
    assert!(!fails(Request::new(code::CONSUME_MESSAGE_DIRECTLY), |_| {
        Verdict::Drop
    }));
}

#[test]
fn what_is_taken_out_is_gone_and_the_others_keep_their_numbers() {
    let batch = Request::batch("a", ["0", "1", "2"].map(Message::new));
    let (_, left) = decide(batch, |command| {
        let messages = command.messages();
        assert_eq!(messages.at(1).remove(), Ok(()));
        assert!(!messages.at(1).is_there() && messages.at(1).body().is_err());
        assert_eq!(messages.at(2).body().unwrap(), b"2");
        let there: Vec<u32> = messages.all().unwrap().map(crate::Message::index).collect();
        assert_eq!(there, [0, 2]);
        messages.at(0).remove().unwrap();
        assert!(messages.at(2).remove().is_err(), "a send keeps one");
        Verdict::Forward
    });
    assert_eq!(left.messages, [Message::new("2")]);
}

#[test]
fn accesses_are_those_of_every_kind_of_body() {
    let touched = |request: Request| {
        let mut found = Vec::new();
        decide(request, |command| {
            found = command.accesses();
            Verdict::Forward
        });
        let plain = |name: Option<String>| name.unwrap_or_default();
        let triples = found
            .into_iter()
            .map(|access| (access.action, plain(access.topic), plain(access.group)));
        triples.collect::<Vec<_>>()
    };
    let is = |action: Action, topic: &str, group: &str| (action, topic.to_owned(), group.to_owned());
    assert_eq!(
        touched(Request::send("a")),
        [is(Action::Publish, "a", "producers")]
    );
    assert_eq!(
        touched(Request::send("%RETRY%g")),
        [is(Action::Subscribe, "", "g")]
    );
    assert_eq!(
        touched(Request::heartbeat(
            "c",
            &[("g", &["a", "%RETRY%g", "b"]), ("h", &[])]
        )),
        [
            is(Action::Subscribe, "a", "g"),
            is(Action::Subscribe, "b", "g"),
            is(Action::Subscribe, "", "h")
        ]
    );
    assert_eq!(
        touched(Request::pop("%RETRY%g", "g")),
        [is(Action::Subscribe, "", "g")]
    );
    assert_eq!(
        touched(Request::pop("%RETRY%h", "g")),
        [is(Action::Subscribe, "", "g"), is(Action::Subscribe, "", "h")],
        "the group that is said does not hide that of the topic"
    );
    assert_eq!(touched(Request::new(33)), []);
}

#[test]
fn values_last_as_long_as_they_were_told_to() {
    assert_eq!(Store::set("k", b"v", Some(Duration::from_secs(1))), Ok(()));
    assert_eq!(Store::increment("n", 5, None), Ok(5));
    assert_eq!(Store::increment("n", -2, None), Ok(3));
    assert_eq!(Store::get("k").as_deref(), Some(b"v".as_slice()));
    assert_eq!(Store::keys(""), ["k", "n"]);
    advance(Duration::from_secs(1));
    assert_eq!(Store::get("k"), None);
    assert_eq!(Store::compare_and_swap("k", None, Some(b"w"), None), Ok(true));
    assert_eq!(Store::compare_and_swap("k", Some(b"x"), None, None), Ok(false));
    assert!(Store::increment("k", 1, None).is_err(), "it is no number");
    assert!(
        Store::set("big", &vec![0; 2 << 20], None).is_err(),
        "beyond the quota"
    );
    assert!(Store::delete("k") && !Store::delete("k"));
}

#[test]
fn buckets_give_more_than_their_burst_only_when_full() {
    let limit = Limit::new("k", 10.0, 5);
    assert_eq!(limit.acquire(1), Ok(()));
    assert_eq!(limit.acquire(8), Err(100));
    advance(Duration::from_millis(100));
    assert_eq!(limit.acquire(8), Ok(()));
    assert_eq!(limit.debt(), 300);
    assert_eq!(limit.charge(2), 500);
    advance(Duration::from_millis(500));
    assert_eq!((limit.debt(), limit.acquire(1)), (0, Err(100)));
    assert_eq!(Limit::new("none", 0.0, 1).charge(2), u64::MAX);
}

#[test]
fn lines_are_kept() {
    crate::warn!("{} is {}", "it", 1);
    assert_eq!(log_lines(), [(crate::Level::Warn, "it is 1".to_owned())]);
}
