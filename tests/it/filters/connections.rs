//! Filters that see connections come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gimbal::filter::{Failure, Patterns, Scope, Verdict};
use gimbal::protocol::request as rq;

use crate::support::filters::{Script, Stage, interest, same, with};

/// How often a connection came and went.
#[derive(Debug, Default)]
struct Seen {
    came: AtomicUsize,
    went: AtomicUsize,
    numbers: Mutex<Vec<u64>>,
}

impl Seen {
    fn counts(&self) -> (usize, usize) {
        (
            self.came.load(Ordering::Relaxed),
            self.went.load(Ordering::Relaxed),
        )
    }

    /// Waits until the counts are these.
    async fn becomes(&self, counts: (usize, usize)) {
        let reached = async {
            while self.counts() != counts {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(5), reached).await;
        assert!(reached.is_ok(), "{:?} instead of {counts:?}", self.counts());
    }
}

fn counting(seen: &Arc<Seen>) -> Script {
    let (came, went) = (Arc::clone(seen), Arc::clone(seen));
    Script::wanting(Vec::new())
        .on_connect(move |subject| {
            came.numbers.lock().unwrap().push(subject.client().connection);
            came.came.fetch_add(1, Ordering::Relaxed);
            Ok(Verdict::Forward)
        })
        .on_disconnect(move |_| {
            went.went.fetch_add(1, Ordering::Relaxed);
            Ok(Verdict::Forward)
        })
}

#[tokio::test]
async fn a_connection_is_met_once_and_seen_off_once() {
    let seen = Arc::new(Seen::default());
    let stage = Stage::with(counting(&seen).alone()).await;
    let mut client = stage.client().await;
    client.sync().await;
    client.sync().await;
    assert_eq!(seen.counts(), (1, 0));
    drop(client);
    seen.becomes((1, 1)).await;
    let mut second = stage.client().await;
    second.sync().await;
    seen.becomes((2, 1)).await;
    let numbers = seen.numbers.lock().unwrap().clone();
    assert_ne!(numbers[0], numbers[1]);
}

#[tokio::test]
async fn a_reload_meets_connections_again_only_for_what_is_new() {
    let (old, new) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    let staying = counting(&old).member("staying");
    let again = same(&staying);
    let stage = Stage::with(vec![staying]).await;
    let mut client = stage.client().await;
    client.sync().await;
    stage.swap(vec![counting(&new).member("new"), again]);
    new.becomes((1, 0)).await;
    client.sync().await;
    assert_eq!(old.counts(), (1, 0));
    drop(client);
    old.becomes((1, 1)).await;
    new.becomes((1, 1)).await;
}

#[tokio::test]
async fn a_refused_connection_is_closed_before_its_first_command() {
    let commands = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&commands);
    let refusing = Script::wanting(vec![interest(&[])])
        .on_connect(|_| Ok(Verdict::Close("not today".to_owned())))
        .on_request(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Verdict::Forward)
        });
    let later = Arc::new(Seen::default());
    let stage = Stage::with(vec![
        refusing.member("refusing"),
        counting(&later).member("later"),
    ])
    .await;
    let mut client = stage.client().await;
    client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    client.peer.expect_end().await;
    assert_eq!(commands.load(Ordering::Relaxed), 0);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        later.counts(),
        (0, 0),
        "who was not told of it does not hear of its end"
    );
}

#[tokio::test]
async fn a_filter_that_fails_closed_refuses_the_connection() {
    let failing = Script::wanting(Vec::new()).on_connect(|_| Err(Failure::Trap("no".to_owned())));
    let stage = Stage::with(failing.alone()).await;
    let mut client = stage.client().await;
    client.ask(rq::GET_MAX_OFFSET, &[]).await;
    client.peer.expect_end().await;
}

#[tokio::test]
async fn a_new_filter_may_refuse_connections_that_are_there() {
    let stage = Stage::with(Vec::new()).await;
    let (mut client, _link) = stage.linked().await;
    let refusing = Script::wanting(Vec::new()).on_connect(|_| Ok(Verdict::Close("no more".to_owned())));
    stage.swap(refusing.alone());
    client.peer.expect_end().await;
}

#[tokio::test]
async fn connections_out_of_scope_are_neither_met_nor_seen_off() {
    let seen = Arc::new(Seen::default());
    let elsewhere = with(counting(&seen).member("elsewhere"), |member| {
        member.scope = Scope {
            listeners: Patterns::new(&["other"]),
            ..Scope::default()
        };
    });
    let near = Arc::new(Seen::default());
    let stage = Stage::with(vec![elsewhere, counting(&near).member("near")]).await;
    let mut client = stage.client().await;
    client.sync().await;
    drop(client);
    near.becomes((1, 1)).await;
    assert_eq!(seen.counts(), (0, 0));
}

#[tokio::test]
async fn there_is_no_command_when_a_connection_comes() {
    let looking = Script::wanting(Vec::new()).on_connect(|subject| {
        assert_eq!((subject.fields().len(), subject.body_size()), (0, 0));
        assert_eq!(subject.field("x"), None);
        assert!(subject.body().is_empty() && matches!(subject.messages(), Ok(None)));
        subject.set_field("x", "1");
        assert_eq!((subject.topic(), subject.group()), (None, None));
        assert!(!subject.remove_field("x"));
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(looking.alone()).await;
    stage.client().await.sync().await;
}

#[tokio::test]
async fn nothing_is_shown_to_a_filter_before_the_connection_is() {
    let stage = Stage::with(Vec::new()).await;
    let (mut client, mut link) = stage.linked().await;
    for _ in 0..20 {
        let met = Arc::new(AtomicUsize::new(0));
        let (came, answered) = (Arc::clone(&met), Arc::clone(&met));
        let ordered = Script::of(&[])
            .on_connect(move |_| {
                came.store(1, Ordering::SeqCst);
                Ok(Verdict::Forward)
            })
            .on_response(move |subject| {
                let met = answered.load(Ordering::SeqCst).to_string();
                subject.set_field("met", &met);
                Ok(Verdict::Forward)
            });
        let opaque = client
            .ask(rq::PULL_MESSAGE, &[("bname", "a"), ("topic", "T")])
            .await;
        let asked = link.expect(rq::PULL_MESSAGE).await;
        stage.swap(ordered.alone());
        link.answer(&asked, gimbal::protocol::response::PULL_NOT_FOUND)
            .await;
        assert_eq!(client.answer(opaque).await.field("met"), Some("1"));
    }
}
