//! Filters that map names: what brokers and clients see of them.

use std::sync::{Arc, Mutex};

use gimbal::filter::names::Mapping;
use gimbal::filter::{Member, Verdict};
use gimbal::protocol::body::{Heartbeat, StoredMessage};
use gimbal::protocol::{Command, Kind, request as rq, response};
use serde_json::{Value, json};

use super::{SEND, changing_answers};
use crate::support::filters::{Script, Stage, recorded};
use crate::support::{Client, Group, Peer};

fn prefixes() -> Mapping {
    let mut mapping = Mapping::default();
    mapping.set_topic_prefix("A%").unwrap();
    mapping.set_group_prefix("B-").unwrap();
    mapping
}

/// Maps names as soon as a client comes.
fn mapping() -> Member {
    let mapping = Script::wanting(Vec::new()).on_connect(|subject| {
        subject.set_names(Some(prefixes()));
        Ok(Verdict::Forward)
    });
    mapping.member("mapping")
}

async fn stage() -> Stage {
    let stage = Stage::with(vec![mapping()]).await;
    stage.ns.topic("A%T", &[&stage.a, &stage.b]);
    stage
}

async fn beaten(stage: &Stage) -> (Client, Peer) {
    let mut client = stage.client().await;
    let beat = client
        .beat(&[Group::Consumer("g", "T"), Group::Producer("p")])
        .await;
    let mut link = stage.a.accept().await;
    let greeting = link.greet().await;
    stage.b.accept_greeted().await;
    client.answer(beat).await;
    let heartbeat = Heartbeat::decode(greeting.frame.body()).unwrap();
    assert_eq!(heartbeat.consumers()[0].group_name, "B-g");
    assert_eq!(heartbeat.topics().collect::<Vec<_>>(), ["A%T"]);
    assert_eq!(heartbeat.producers().collect::<Vec<_>>(), ["B-p"]);
    (client, link)
}

#[tokio::test]
async fn ext_fields_are_mapped_both_ways_and_so_are_remarks() {
    let stage = stage().await;
    let (mut client, mut link) = stage.linked().await;
    let opaque = client.ask(rq::SEND_MESSAGE_V2, SEND).await;
    let asked = link.expect(rq::SEND_MESSAGE_V2).await;
    assert_eq!((asked.field("b"), asked.field("a")), (Some("A%T"), Some("B-p")));
    let answer = Command::answer(&asked.head, Kind::Json, response::TOPIC_NOT_EXIST);
    link.answer_with(&asked, answer.with_remark("topic[A%T] not exist"))
        .await;
    assert_eq!(
        client.answer(opaque).await.command.remark.unwrap().as_str(),
        "topic[T] not exist"
    );
}

#[tokio::test]
async fn routes_are_asked_for_by_the_broker_s_name_and_come_by_the_client_s() {
    let stage = stage().await;
    let mut client = stage.client().await;
    let route = client.route("T").await;
    assert_eq!(route["queueDatas"].as_array().unwrap().len(), 2);
    assert_eq!((stage.ns.asked_for("A%T"), stage.ns.asked_for("T")), (1, 0));
    let came = client
        .call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "none")])
        .await;
    assert_eq!(came.head.code, response::TOPIC_NOT_EXIST);
    let remark = came.command.remark.unwrap();
    assert!(remark.as_str().ends_with("topic: none"), "{remark:?}");
}

#[tokio::test]
async fn heartbeats_and_unregistrations_carry_the_broker_s_names() {
    let stage = stage().await;
    let (mut client, mut link) = beaten(&stage).await;
    client
        .ask(
            rq::UNREGISTER_CLIENT,
            &[("clientID", "c"), ("consumerGroup", "g")],
        )
        .await;
    assert_eq!(
        link.expect(rq::UNREGISTER_CLIENT).await.field("consumerGroup"),
        Some("B-g")
    );
}

#[tokio::test]
async fn locks_are_mapped_in_both_bodies() {
    let stage = stage().await;
    let (mut client, mut link) = stage.linked().await;
    let body = json!({"clientId": "c", "consumerGroup": "g", "mqSet": [{"brokerName": "a", "queueId": 0, "topic": "T"}]});
    let opaque = client.ask_with(rq::LOCK_BATCH_MQ, &[], &body.to_string()).await;
    let asked = link.expect(rq::LOCK_BATCH_MQ).await;
    let there: Value = serde_json::from_slice(&asked.command.body).unwrap();
    assert_eq!(
        (&there["consumerGroup"], &there["mqSet"][0]["topic"]),
        (&json!("B-g"), &json!("A%T"))
    );
    let answer = json!({"lockOKMQSet": there["mqSet"]}).to_string();
    let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS).with_body(answer);
    link.answer_with(&asked, answer).await;
    let here: Value = serde_json::from_slice(&client.answer(opaque).await.command.body).unwrap();
    assert_eq!(here["lockOKMQSet"][0]["topic"], "T");
}

#[tokio::test]
async fn stored_messages_come_with_the_client_s_topic() {
    let stage = stage().await;
    let (mut client, mut link) = stage.linked().await;
    let mut answer = recorded("wire/answer-11-0-broker-5.5.0-json");
    let mut message = StoredMessage::decode_all(&answer.body).unwrap().remove(0);
    message.set_topic("A%T").unwrap();
    answer.body = StoredMessage::encode_all([&message]).unwrap();
    let fields = [("bname", "a"), ("topic", "T"), ("consumerGroup", "g")];
    let opaque = client.ask(rq::PULL_MESSAGE, &fields).await;
    let asked = link.expect(rq::PULL_MESSAGE).await;
    link.answer_with(&asked, answer).await;
    let came = client.answer(opaque).await;
    assert_eq!(
        StoredMessage::decode_all(&came.command.body).unwrap()[0].topic(),
        "T"
    );
}

#[tokio::test]
async fn filters_see_the_client_s_names_both_ways() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (asked, answered) = (Arc::clone(&seen), Arc::clone(&seen));
    let looking = Script::of(&[rq::GET_MAX_OFFSET, rq::NOTIFY_CONSUMER_IDS_CHANGED])
        .on_request(move |subject| {
            asked.lock().unwrap().push((subject.topic(), subject.group()));
            Ok(Verdict::Forward)
        })
        .on_response(move |subject| {
            answered.lock().unwrap().push((subject.topic(), None));
            Ok(Verdict::Forward)
        });
    let stage = Stage::with(vec![mapping(), looking.member("looking")]).await;
    stage.ns.topic("A%T", &[&stage.a, &stage.b]);
    let (mut client, mut link) = beaten(&stage).await;
    let opaque = client
        .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    let max = link.expect(rq::GET_MAX_OFFSET).await;
    assert_eq!(max.field("topic"), Some("A%T"));
    link.answer(&max, response::SUCCESS).await;
    client.answer(opaque).await;
    link.put(&Command::request(rq::NOTIFY_CONSUMER_IDS_CHANGED, 9).with_field("consumerGroup", "B-g"))
        .await;
    assert_eq!(
        client
            .pushed(rq::NOTIFY_CONSUMER_IDS_CHANGED)
            .await
            .field("consumerGroup"),
        Some("g")
    );
    let (topic, group) = (Some("T".to_owned()), Some("g".to_owned()));
    assert_eq!(
        *seen.lock().unwrap(),
        [(topic.clone(), None), (topic, None), (None, group)]
    );
}

#[tokio::test]
async fn the_client_s_answer_to_a_push_has_the_broker_s_names_and_so_has_a_filter_s() {
    let body = r#"{"subscriptionSet":[{"topic":"T","subString":"*"}]}"#;
    let answering = Script::of(&[rq::GET_CONSUMER_RUNNING_INFO]).on_request(move |subject| {
        if subject.field("consumerGroup").as_deref() != Some("filtered") {
            return Ok(Verdict::Forward);
        }
        let mut answer = gimbal::filter::Answer::new(response::SUCCESS, "");
        answer.body = body.into();
        Ok(Verdict::Answer(answer))
    });
    let stage = Stage::with(vec![mapping(), answering.member("answering")]).await;
    stage.ns.topic("A%T", &[&stage.a, &stage.b]);
    let (mut client, mut link) = beaten(&stage).await;
    link.put(&Command::request(rq::GET_CONSUMER_RUNNING_INFO, 9).with_field("consumerGroup", "B-g"))
        .await;
    let asked = client.pushed(rq::GET_CONSUMER_RUNNING_INFO).await;
    assert_eq!(asked.field("consumerGroup"), Some("g"));
    let answer = Command::answer(&asked.head, Kind::Json, response::SUCCESS).with_body(body);
    client.peer.answer_with(&asked, answer).await;
    let mapped = link.expect_answer(9).await;
    assert!(mapped.text().contains(r#""topic":"A%T""#), "{}", mapped.text());
    link.put(&Command::request(rq::GET_CONSUMER_RUNNING_INFO, 10).with_field("consumerGroup", "B-filtered"))
        .await;
    let mapped = link.expect_answer(10).await;
    assert!(mapped.text().contains(r#""topic":"A%T""#), "{}", mapped.text());
}

#[tokio::test]
async fn a_mapping_made_by_a_request_holds_from_it_on() {
    let tenant = Script::of(&[rq::GET_MAX_OFFSET]).on_request(|subject| {
        subject.set_names(Some(prefixes()));
        Ok(Verdict::Forward)
    });
    let stage = Stage::with(tenant.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    for (code, topic) in [
        (rq::GET_MIN_OFFSET, "T"),
        (rq::GET_MAX_OFFSET, "A%T"),
        (rq::GET_MIN_OFFSET, "A%T"),
    ] {
        client.ask(code, &[("bname", "a"), ("topic", "T")]).await;
        assert_eq!(link.expect(code).await.field("topic"), Some(topic));
    }
    let (mut other, mut link) = stage.linked().await;
    other
        .ask(rq::GET_MIN_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    assert_eq!(
        link.expect(rq::GET_MIN_OFFSET).await.field("topic"),
        Some("T"),
        "another connection"
    );
}

#[tokio::test]
async fn a_mapping_ends_with_its_filter_and_brokers_hear_the_other_names() {
    let stage = stage().await;
    let (mut client, mut link) = beaten(&stage).await;
    let parked = client
        .ask(
            rq::PULL_MESSAGE,
            &[("bname", "a"), ("topic", "T"), ("consumerGroup", "g")],
        )
        .await;
    let parked_there = link.expect(rq::PULL_MESSAGE).await;
    stage.swap(Vec::new());
    let beat = link.greet().await;
    assert_eq!(
        Heartbeat::decode(beat.frame.body()).unwrap().consumers()[0].group_name,
        "g"
    );
    let mut left = Vec::new();
    for _ in 0..2 {
        let gone = link.expect(rq::UNREGISTER_CLIENT).await;
        left.extend(
            gone.field("consumerGroup")
                .or(gone.field("producerGroup"))
                .map(str::to_owned),
        );
    }
    assert_eq!(left, ["B-g", "B-p"]);
    client
        .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    assert_eq!(link.expect(rq::GET_MAX_OFFSET).await.field("topic"), Some("T"));
    // What was asked by the old names is answered by them.
    let answer = Command::answer(&parked_there.head, Kind::Json, response::SYSTEM_ERROR);
    link.answer_with(&parked_there, answer.with_remark("no topic A%T"))
        .await;
    assert_eq!(
        client.answer(parked).await.command.remark.unwrap().as_str(),
        "no topic T"
    );
}

#[tokio::test]
async fn a_new_version_maps_anew() {
    let stage = stage().await;
    let (mut client, mut link) = stage.linked().await;
    let other = Script::wanting(Vec::new()).on_connect(|subject| {
        let mut mapping = Mapping::default();
        mapping.set_topic_prefix("C%").unwrap();
        subject.set_names(Some(mapping));
        Ok(Verdict::Forward)
    });
    stage.swap(other.alone());
    client
        .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
        .await;
    assert_eq!(link.expect(rq::GET_MAX_OFFSET).await.field("topic"), Some("C%T"));
}

#[tokio::test]
async fn a_failed_or_shadowed_filter_maps_nothing() {
    use gimbal::filter::{Failure, Mode, Policy};
    for mode in [Mode::Enforce, Mode::Shadow] {
        let failing = Script::of(&[]).on_request(move |subject| {
            subject.set_names(Some(prefixes()));
            if mode == Mode::Shadow {
                Ok(Verdict::Forward)
            } else {
                Err(Failure::Trap("no".to_owned()))
            }
        });
        let member = crate::support::filters::with(failing.member("f"), |member| {
            (member.mode, member.policy) = (mode, Policy::Open);
        });
        let stage = Stage::with(vec![member]).await;
        let (mut client, mut link) = stage.linked().await;
        client
            .ask(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")])
            .await;
        assert_eq!(link.expect(rq::GET_MAX_OFFSET).await.field("topic"), Some("T"));
    }
}

#[tokio::test]
async fn a_name_that_grows_too_long_is_refused_for_good() {
    let stage = stage().await;
    let (mut client, mut link) = stage.linked().await;
    let long = "T".repeat(126);
    let came = client
        .call(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", &long), ("a", "p")])
        .await;
    assert_eq!(came.head.code, response::MESSAGE_ILLEGAL);
    let remark = came.command.remark.unwrap();
    assert!(
        remark.as_str().contains("too long for this connection"),
        "{remark:?}"
    );
    client
        .tell(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", &long), ("a", "p")])
        .await;
    client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    link.expect(rq::GET_MAX_OFFSET).await;
}

#[tokio::test]
async fn what_is_taken_out_of_a_pop_is_acknowledged_by_the_broker_s_names() {
    let removing = changing_answers(rq::POP_MESSAGE, |subject| {
        let messages = subject.messages_mut().unwrap().unwrap();
        assert_eq!(messages.topic(0), Some("TPOP"));
        messages.remove(0).unwrap();
    });
    let stage = Stage::with(vec![mapping(), removing.member("removing")]).await;
    let (mut client, mut link) = stage.linked().await;
    let mut answer = recorded("wire/answer-200050-0-broker-5.5.0-json");
    let mut messages = StoredMessage::decode_all(&answer.body).unwrap();
    for message in &mut messages {
        message.set_topic("A%TPOP").unwrap();
    }
    answer.body = StoredMessage::encode_all(&messages).unwrap();
    let fields = [("bname", "a"), ("topic", "TPOP"), ("consumerGroup", "g")];
    let opaque = client.ask(rq::POP_MESSAGE, &fields).await;
    let asked = link.expect(rq::POP_MESSAGE).await;
    link.answer_with(&asked, answer).await;
    let ack = link.expect(rq::ACK_MESSAGE).await;
    assert_eq!(
        (ack.field("topic"), ack.field("consumerGroup")),
        (Some("A%TPOP"), Some("B-g"))
    );
    client.answer(opaque).await;
}

#[tokio::test]
async fn names_in_signed_commands_are_mapped_only_with_the_key() {
    let stage = stage().await;
    let (mut client, mut link) = stage.linked().await;
    let sent = recorded("signed/send-java-5.5.0-json");
    client.peer.put(&sent).await;
    let came = client.answer(sent.opaque).await;
    assert_eq!(
        came.head.code,
        response::MESSAGE_ILLEGAL,
        "not tried at another broker"
    );
    assert!(
        came.command
            .remark
            .unwrap()
            .as_str()
            .contains("set `credentials`")
    );
    assert!(link.is_quiet(std::time::Duration::from_millis(20)).await);
}
