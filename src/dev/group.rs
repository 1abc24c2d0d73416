//! Who is connected: producers and consumers by group, from their heartbeats; and telling them of each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::broker::Broker;
use super::connection::Peer;
use super::filter::Filter;
use super::request::{Outcome, Refusal, Reply, Request, ids_changed, refuse};
use super::retry::RETRY;
use super::store::{Layout, lock};
use crate::protocol::{Language, response};

/// Tries of a message before it goes to the dead-letter topic (`retryMaxTimes`).
const RETRIES: i32 = 16;
/// Groups kept of each kind; heartbeats of further ones are not registered.
const GROUPS: usize = 10_000;

/// One client of a group.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) peer: Arc<Peer>,
    pub(super) client_id: String,
    pub(super) language: Language,
    pub(super) version: i32,
}

#[derive(Debug, Default)]
struct Consumers {
    members: Vec<Member>,
    consume_type: String,
    model: String,
    from: String,
    subscriptions: HashMap<String, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    version: i64,
    text: Value,
    filter: Result<Arc<Filter>, String>,
}

#[derive(Debug, Default)]
struct Producers {
    groups: HashMap<String, Vec<Member>>,
    clients: HashMap<String, Arc<Peer>>,
    turn: usize,
}

/// Every group of a broker.
#[derive(Debug, Default)]
pub(super) struct Groups {
    producers: Mutex<Producers>,
    consumers: Mutex<HashMap<String, Consumers>>,
    retries: Mutex<HashMap<String, i32>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeartbeatBody {
    #[serde(rename = "clientID")]
    client_id: String,
    #[serde(default, deserialize_with = "or_default")]
    consumer_data_set: Vec<ConsumerData>,
    #[serde(default, deserialize_with = "or_default")]
    producer_data_set: Vec<ProducerData>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConsumerData {
    group_name: String,
    #[serde(deserialize_with = "or_default")]
    consume_type: String,
    #[serde(deserialize_with = "or_default")]
    message_model: String,
    #[serde(deserialize_with = "or_default")]
    consume_from_where: String,
    #[serde(deserialize_with = "or_default")]
    subscription_data_set: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProducerData {
    group_name: String,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Subscription {
    fn new(text_of: Value) -> Self {
        Self {
            version: text_of
                .get("subVersion")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            filter: Filter::new(text(&text_of, "expressionType"), text(&text_of, "subString")).map(Arc::new),
            text: text_of,
        }
    }
}

impl Consumers {
    /// Takes one member's word; whether the others should hear of it.
    fn update(&mut self, member: Member, data: ConsumerData) -> bool {
        let mut changed = false;
        if let Some(known) = self.members.iter_mut().find(|known| known.peer == member.peer) {
            *known = member;
        } else {
            self.members.push(member);
            changed = true;
        }
        self.consume_type = data.consume_type;
        self.model = data.message_model;
        self.from = data.consume_from_where;
        let named: Vec<String> = data
            .subscription_data_set
            .iter()
            .map(|one| text(one, "topic").to_owned())
            .collect();
        let before = self.subscriptions.len();
        self.subscriptions.retain(|topic, _| named.contains(topic));
        changed |= self.subscriptions.len() != before;
        for (topic, value) in named.into_iter().zip(data.subscription_data_set) {
            let subscription = Subscription::new(value);
            match self.subscriptions.get(&topic) {
                Some(known) if known.version >= subscription.version => {}
                known => {
                    changed |= known.is_none();
                    self.subscriptions.insert(topic, subscription);
                }
            }
        }
        changed
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        if self.model == "BROADCASTING" {
            return Vec::new();
        }
        self.members
            .iter()
            .map(|member| Arc::clone(&member.peer))
            .collect()
    }
}

impl Groups {
    /// Tries of a message of this group.
    pub(super) fn retry_limit(&self, group: &str) -> i32 {
        lock(&self.retries).get(group).copied().unwrap_or(RETRIES)
    }

    /// Sets it.
    pub(super) fn set_retry_limit(&self, group: &str, most: i32) {
        let mut retries = lock(&self.retries);
        if retries.len() < GROUPS || retries.contains_key(group) {
            retries.insert(group.to_owned(), most);
        }
    }

    /// The filter that a group's heartbeats gave for `topic`, at least of `version`.
    pub(super) fn filter(&self, group: &str, topic: &str, version: i64) -> Result<Arc<Filter>, Refusal> {
        let consumers = lock(&self.consumers);
        let Some(known) = consumers.get(group) else {
            return refuse(
                response::SUBSCRIPTION_NOT_EXIST,
                "the consumer's group info not exist",
            );
        };
        let Some(subscription) = known.subscriptions.get(topic) else {
            return refuse(
                response::SUBSCRIPTION_NOT_EXIST,
                "the consumer's subscription not exist",
            );
        };
        if subscription.version < version {
            return refuse(
                response::SUBSCRIPTION_NOT_LATEST,
                "the consumer's subscription not latest",
            );
        }
        match &subscription.filter {
            Ok(filter) => Ok(Arc::clone(filter)),
            Err(_) => refuse(
                response::SUBSCRIPTION_PARSE_FAILED,
                "parse the consumer's subscription failed",
            ),
        }
    }

    /// The client ids of a consumer group, in order of their arrival.
    pub(super) fn consumer_ids(&self, group: &str) -> Vec<String> {
        let consumers = lock(&self.consumers);
        let members = consumers.get(group).map_or(&[][..], |known| &known.members);
        members.iter().map(|member| member.client_id.clone()).collect()
    }

    /// The members of a consumer group.
    pub(super) fn members(&self, group: &str) -> Vec<Member> {
        let consumers = lock(&self.consumers);
        consumers
            .get(group)
            .map(|known| known.members.clone())
            .unwrap_or_default()
    }

    /// A producer of `group`, each in turn.
    pub(super) fn next_producer(&self, group: &str) -> Option<Arc<Peer>> {
        let mut producers = lock(&self.producers);
        producers.turn = producers.turn.wrapping_add(1);
        let members = producers.groups.get(group)?;
        let at = producers.turn.checked_rem(members.len())?;
        members.get(at).map(|member| Arc::clone(&member.peer))
    }

    /// The connection of a producer's client id.
    pub(super) fn client(&self, client_id: &str) -> Option<Arc<Peer>> {
        lock(&self.producers).clients.get(client_id).cloned()
    }

    fn add_producer(&self, group: String, member: Member) {
        let mut producers = lock(&self.producers);
        if producers.groups.len() >= GROUPS && !producers.groups.contains_key(&group) {
            return;
        }
        let members = producers.groups.entry(group).or_default();
        if members.iter().any(|known| known.peer == member.peer) {
            return;
        }
        members.push(member.clone());
        producers.clients.insert(member.client_id, member.peer);
    }

    fn remove_producer(&self, group: &str, client_id: &str, peer: &Peer) {
        let mut producers = lock(&self.producers);
        if let Some(members) = producers.groups.get_mut(group) {
            members.retain(|member| *member.peer != *peer);
            if members.is_empty() {
                producers.groups.remove(group);
            }
        }
        producers.clients.remove(client_id);
    }

    /// Removes a member from its groups, or from one of them, and tells the others.
    fn remove_consumer(&self, only: Option<&str>, peer: &Peer) {
        let mut told = Vec::new();
        let mut consumers = lock(&self.consumers);
        consumers.retain(|group, known| {
            if only.is_some_and(|only| only != group) {
                return true;
            }
            let before = known.members.len();
            known.members.retain(|member| *member.peer != *peer);
            if known.members.len() != before {
                told.push((group.clone(), known.peers()));
            }
            !known.members.is_empty()
        });
        drop(consumers);
        for (group, peers) in told {
            notify(&group, &peers);
        }
    }

    /// Forgets a client that is gone.
    pub(super) fn forget_peer(&self, peer: &Peer) {
        let mut producers = lock(&self.producers);
        producers.groups.retain(|_, members| {
            members.retain(|member| *member.peer != *peer);
            !members.is_empty()
        });
        producers.clients.retain(|_, known| **known != *peer);
        drop(producers);
        self.remove_consumer(None, peer);
    }

    /// What `GET_CONSUMER_CONNECTION_LIST` answers; `None` when nobody is there.
    pub(super) fn connections(&self, group: &str) -> Option<Value> {
        let consumers = lock(&self.consumers);
        let known = consumers.get(group)?;
        let list: Vec<Value> = known.members.iter().map(Member::describe).collect();
        let subscriptions: serde_json::Map<String, Value> = known
            .subscriptions
            .iter()
            .map(|(topic, subscription)| (topic.clone(), subscription.text.clone()))
            .collect();
        Some(
            json!({"connectionSet": list, "consumeFromWhere": known.from, "consumeType": known.consume_type,
            "messageModel": known.model, "subscriptionTable": subscriptions}),
        )
    }

    /// What `GET_PRODUCER_CONNECTION_LIST` answers.
    pub(super) fn producer_connections(&self, group: &str) -> Option<Value> {
        let producers = lock(&self.producers);
        let list: Vec<Value> = producers
            .groups
            .get(group)?
            .iter()
            .map(Member::describe)
            .collect();
        Some(json!({"connectionSet": list}))
    }
}

impl Member {
    fn describe(&self) -> Value {
        json!({"clientAddr": self.peer.remote.to_string(), "clientId": self.client_id,
            "language": self.language.name(), "version": self.version})
    }
}

fn notify(group: &str, peers: &[Arc<Peer>]) {
    for peer in peers {
        peer.push(ids_changed(group));
    }
}

impl Broker {
    /// `HEART_BEAT`.
    pub(super) fn heartbeat(&self, request: &Request<'_>) -> Outcome {
        let body: HeartbeatBody = request.json()?;
        let member = Member {
            peer: Arc::clone(request.peer),
            client_id: body.client_id,
            language: request.head.language,
            version: request.head.version,
        };
        for data in body.consumer_data_set {
            let group = data.group_name.clone();
            self.store
                .topic_or_create(&format!("{RETRY}{group}"), Layout::queues(1));
            let mut consumers = lock(&self.groups.consumers);
            if consumers.len() >= GROUPS && !consumers.contains_key(&group) {
                continue;
            }
            let known = consumers.entry(group.clone()).or_default();
            let changed = known.update(member.clone(), data);
            let peers = if changed { known.peers() } else { Vec::new() };
            drop(consumers);
            notify(&group, &peers);
        }
        for data in body.producer_data_set {
            self.groups.add_producer(data.group_name, member.clone());
        }
        request.done_with(&[("IS_SUPPORT_HEART_BEAT_V2", &true), ("IS_SUB_CHANGE", &true)])
    }

    /// `UNREGISTER_CLIENT`.
    pub(super) fn unregister(&self, request: &Request<'_>) -> Outcome {
        let client_id = request.text("clientID")?;
        if let Some(group) = request.fields.find("producerGroup") {
            self.groups.remove_producer(&group, &client_id, request.peer);
        }
        if let Some(group) = request.fields.find("consumerGroup") {
            self.groups.remove_consumer(Some(&group), request.peer);
        }
        request.done()
    }

    /// `GET_CONSUMER_LIST_BY_GROUP`.
    pub(super) fn consumer_list(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("consumerGroup")?;
        let ids = self.groups.consumer_ids(&group);
        if ids.is_empty() {
            return refuse(
                response::SYSTEM_ERROR,
                format!("no consumer for this group, {group}"),
            );
        }
        let body = json!({"consumerIdList": ids}).to_string();
        Ok(Reply::Now(request.answer(response::SUCCESS).with_body(body)))
    }
}

/// `CHECK_CLIENT_CONFIG`.
pub(super) fn check_client(request: &Request<'_>) -> Outcome {
    let body: Value = request.json()?;
    let subscription = body.get("subscriptionData").unwrap_or(&Value::Null);
    match Filter::new(
        text(subscription, "expressionType"),
        text(subscription, "subString"),
    ) {
        Ok(_) => request.done(),
        Err(wrong) => refuse(response::SUBSCRIPTION_PARSE_FAILED, wrong),
    }
}
