//! The name server: routes made from what the brokers hold at that moment.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::CLUSTER;
use super::broker::Broker;
use super::connection::Service;
use super::request::{Outcome, Reply, Request, SEE_FAQ, refuse};
use crate::protocol::body::{ClusterInfo, Dialect, TopicRoute};
use crate::protocol::{request, response};

/// From this version ordinal on clients get routes in standard JSON (4.9.4).
const STANDARD_JSON_SINCE: i32 = 401;

/// A name server that sees its brokers directly: a route is never late.
#[derive(Debug)]
pub(super) struct NameServer {
    brokers: Vec<Arc<Broker>>,
}

impl NameServer {
    /// A name server of these brokers.
    pub(super) fn new(brokers: Vec<Arc<Broker>>) -> Self {
        Self { brokers }
    }

    /// Every readable queue of a topic, as (broker name, queue id), in order.
    pub(super) fn readable(&self, topic: &str) -> Vec<(String, i32)> {
        let mut queues = Vec::new();
        for broker in &self.brokers {
            let read = broker.store.topic(topic).map_or(0, |topic| topic.layout().read);
            queues.extend((0..read).map(|id| (broker.name.clone(), id)));
        }
        queues
    }

    fn route(&self, request: &Request<'_>) -> Outcome {
        let topic = request.text("topic")?;
        let mut queues = Vec::new();
        let mut brokers = Vec::new();
        for broker in &self.brokers {
            let Some(held) = broker.store.topic(&topic) else {
                continue;
            };
            let layout = held.layout();
            queues.push(json!({"brokerName": broker.name, "perm": layout.perm,
                "readQueueNums": layout.read, "topicSysFlag": 0, "writeQueueNums": layout.write}));
            brokers.push(broker_data(broker));
        }
        if brokers.is_empty() {
            return refuse(
                response::TOPIC_NOT_EXIST,
                format!("No topic route info in name server for the topic: {topic}{SEE_FAQ}"),
            );
        }
        let standard =
            request.head.version >= STANDARD_JSON_SINCE || request.fields.is_true("acceptStandardJsonOnly");
        let dialect = if standard {
            Dialect::Standard
        } else {
            Dialect::Fastjson
        };
        let route = json!({"brokerDatas": brokers, "filterServerTable": {}, "queueDatas": queues});
        match TopicRoute::decode(route.to_string().as_bytes()) {
            Ok(route) => Ok(Reply::Now(
                request.answer(response::SUCCESS).with_body(route.encode(dialect)),
            )),
            Err(error) => refuse(response::SYSTEM_ERROR, error.to_string()),
        }
    }

    fn cluster_info(&self, request: &Request<'_>) -> Outcome {
        let table: Map<String, Value> = self
            .brokers
            .iter()
            .map(|broker| (broker.name.clone(), broker_data(broker)))
            .collect();
        let names: Vec<_> = self.brokers.iter().map(|broker| broker.name.as_str()).collect();
        let info = json!({"brokerAddrTable": table, "clusterAddrTable": {CLUSTER: names}});
        match ClusterInfo::decode(info.to_string().as_bytes()) {
            Ok(info) => Ok(Reply::Now(
                request.answer(response::SUCCESS).with_body(info.encode()),
            )),
            Err(error) => refuse(response::SYSTEM_ERROR, error.to_string()),
        }
    }

    fn topic_list(&self, request: &Request<'_>) -> Reply {
        let mut names: Vec<String> = self
            .brokers
            .iter()
            .flat_map(|broker| broker.store.topics())
            .map(|topic| topic.name.clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        let body = json!({"topicList": names}).to_string();
        Reply::Now(request.answer(response::SUCCESS).with_body(body))
    }

    fn delete_topic(&self, request: &Request<'_>) -> Outcome {
        let topic = request.text("topic")?;
        for broker in &self.brokers {
            broker.store.remove_topic(&topic);
        }
        request.done()
    }
}

impl Service for NameServer {
    fn handle(self: &Arc<Self>, request: &Request<'_>) -> Reply {
        let outcome = match request.head.code {
            request::GET_ROUTEINFO_BY_TOPIC => self.route(request),
            request::GET_BROKER_CLUSTER_INFO => self.cluster_info(request),
            request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER | request::GET_TOPICS_BY_CLUSTER => {
                Ok(self.topic_list(request))
            }
            request::DELETE_TOPIC_IN_NAMESRV => self.delete_topic(request),
            request::GET_KV_CONFIG => refuse(
                response::QUERY_NOT_FOUND,
                "No config item, Namespace: ORDER_TOPIC_CONFIG".to_owned(),
            ),
            _ => request.unknown(),
        };
        outcome.unwrap_or_else(|refusal| Reply::Now(request.refused(refusal)))
    }
}

fn broker_data(broker: &Broker) -> Value {
    json!({"brokerAddrs": {"0": broker.address.to_string()}, "brokerName": broker.name,
        "cluster": CLUSTER, "enableActingMaster": false})
}
