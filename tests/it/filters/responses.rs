//! Which answers the response hooks see, and in which order.

use std::sync::{Arc, Mutex};

use gimbal::filter::Verdict;
use gimbal::protocol::{Code, Command, Kind, request as rq, response};
use serde_json::{Value, json};

use super::{BEAT, changing_answers};
use crate::support::filters::{Script, Stage};
use crate::support::{Client, Group};

/// Adds its name to the field `seen` of every answer.
fn stamping(codes: &[Code], name: &'static str) -> Script {
    Script::of(codes).on_response(move |subject| {
        let seen = subject.field("seen").unwrap_or_default().into_owned();
        subject.set_field("seen", &format!("{seen}{name}"));
        Ok(Verdict::Forward)
    })
}

const PARKED: &[(&str, &str)] = &[
    ("bname", "a"),
    ("topic", "T"),
    ("sysFlag", "2"),
    ("suspendTimeoutMillis", "15000"),
];

#[tokio::test]
async fn answers_pass_the_filters_in_reverse() {
    let members = ["1", "2", "3"].map(|name| stamping(&[rq::GET_MAX_OFFSET], name).member(name));
    let stage = Stage::with(members.into()).await;
    let (mut client, mut link) = stage.linked().await;
    let opaque = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    let asked = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&asked, response::SYSTEM_ERROR).await;
    let came = client.answer(opaque).await;
    assert_eq!(
        (came.head.code, came.field("seen")),
        (response::SYSTEM_ERROR, Some("321"))
    );
}

#[tokio::test]
async fn a_poll_parked_before_a_reload_is_answered_through_the_new_chain() {
    let old = stamping(&[], "old");
    for before in [old.alone(), Vec::new()] {
        let stage = Stage::with(before).await;
        let (mut client, mut link) = stage.linked().await;
        let opaque = client.ask(rq::PULL_MESSAGE, PARKED).await;
        let asked = link.expect(rq::PULL_MESSAGE).await;
        let new = changing_answers(rq::PULL_MESSAGE, |subject| {
            let topic = subject.topic().unwrap();
            subject.set_field("seen", &topic);
        });
        stage.swap(new.alone());
        link.answer(&asked, response::PULL_NOT_FOUND).await;
        assert_eq!(client.answer(opaque).await.field("seen"), Some("T"));
    }
}

#[tokio::test]
async fn an_answer_after_every_filter_has_gone_is_shown_to_nobody() {
    let stage = Stage::with(stamping(&[], "old").alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let opaque = client.ask(rq::PULL_MESSAGE, PARKED).await;
    let asked = link.expect(rq::PULL_MESSAGE).await;
    stage.swap(Vec::new());
    link.answer(&asked, response::PULL_NOT_FOUND).await;
    assert_eq!(client.answer(opaque).await.field("seen"), None);
}

/// Sets a chain that stamps every answer, with links to both brokers open.
async fn both() -> (Stage, Client, crate::support::Peer, crate::support::Peer) {
    let stage = Stage::with(stamping(&[], "x").alone()).await;
    let mut client = stage.client().await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let links = (stage.a.accept_greeted().await, stage.b.accept_greeted().await);
    // The answer of a heartbeat is one of the gathered ones.
    assert_eq!(client.answer(beat).await.field("seen"), Some("x"));
    (stage, client, links.0, links.1)
}

#[tokio::test]
async fn answers_gathered_from_several_brokers_pass_once() {
    let (_stage, mut client, mut at_a, mut at_b) = both().await;
    let query = client
        .ask(rq::QUERY_MESSAGE, &[("topic", "T"), ("key", "k")])
        .await;
    for link in [&mut at_a, &mut at_b] {
        let asked = link.expect(rq::QUERY_MESSAGE).await;
        link.answer(&asked, response::SUCCESS).await;
    }
    assert_eq!(client.answer(query).await.field("seen"), Some("x"));
    let queue = |broker: &str| json!({"brokerName": broker, "queueId": 0, "topic": "T"});
    let locks = json!({"clientId": "c", "consumerGroup": "g", "mqSet": [queue("a"), queue("b")]});
    let lock = client.ask_with(rq::LOCK_BATCH_MQ, &[], &locks.to_string()).await;
    for link in [&mut at_a, &mut at_b] {
        let asked = link.expect(rq::LOCK_BATCH_MQ).await;
        let part: Value = serde_json::from_slice(&asked.command.body).unwrap();
        let body = json!({"lockOKMQSet": part["mqSet"]}).to_string();
        let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS).with_body(body);
        link.answer_with(&asked, answer).await;
    }
    let came = client.answer(lock).await;
    let locked: Value = serde_json::from_slice(&came.command.body).unwrap();
    assert_eq!(
        (
            came.field("seen"),
            locked["lockOKMQSet"].as_array().unwrap().len()
        ),
        (Some("x"), 2)
    );
}

#[tokio::test]
async fn every_follower_of_a_heartbeat_has_its_answer_judged() {
    let stage = Stage::with(stamping(&[BEAT], "x").alone()).await;
    let mut client = stage.client().await;
    let beats = [
        client.beat(&[Group::Consumer("g", "T")]).await,
        client.beat(&[Group::Consumer("g", "T")]).await,
    ];
    let _links = (stage.a.accept_greeted().await, stage.b.accept_greeted().await);
    for beat in beats {
        assert_eq!(client.answer(beat).await.field("seen"), Some("x"));
    }
    let later = client.beat(&[Group::Consumer("g", "T")]).await;
    assert_eq!(
        client.answer(later).await.field("seen"),
        Some("x"),
        "answered from memory"
    );
}

#[tokio::test]
async fn routes_are_shown_as_the_client_gets_them() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let looking = Script::of(&[rq::GET_ROUTEINFO_BY_TOPIC]).on_response(move |subject| {
        notes.lock().unwrap().push((subject.code(), subject.body()));
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(looking.alone()).await;
    let mut client = stage.client().await;
    let route = client.route("T").await;
    client
        .call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "none")])
        .await;
    let seen = seen.lock().unwrap().clone();
    assert_eq!(serde_json::from_slice::<Value>(&seen[0].1).unwrap(), route);
    assert_eq!(seen[1].0, response::TOPIC_NOT_EXIST);
}

#[tokio::test]
async fn errors_of_the_proxy_s_own_are_shown_to_nobody() {
    let stage = Stage::with(stamping(&[], "x").alone()).await;
    let Stage { a, b, running, .. } = stage;
    drop((a, b));
    let mut client = running.client().await;
    let unreachable = client.call(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    let unknown = client.call(rq::GET_MAX_OFFSET, &[("bname", "c")]).await;
    let beat = client.beat(&[Group::Consumer("g", "T")]).await;
    let nowhere = client.answer(beat).await;
    for came in [unreachable, unknown, nowhere] {
        assert_eq!(
            (came.head.code, came.field("seen")),
            (response::SERVICE_NOT_AVAILABLE, None)
        );
    }
    let forbidden = client.call(Code(3_442), &[]).await;
    assert_eq!(forbidden.field("seen"), None);
}
