//! From a request to the kind of place it belongs to: names only, no addresses and no waiting.

use crate::protocol::Code;
use crate::protocol::body::{AckBatch, ClientConfig};
use crate::protocol::request as rq;

use super::named::Named;
use super::permit::{is_nameserver_change, is_nameserver_code};

/// Prefix of the pseudo broker names of static topics (`MixAll.LOGICAL_QUEUE_MOCK_BROKER_PREFIX`).
const MOCK_PREFIX: &str = "__syslo__";
/// Which token of a POP handle is the broker name (`ExtraInfoUtil.getBrokerName`).
const HANDLE_BROKER: usize = 5;

/// Where a request belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// `GET_ROUTEINFO_BY_TOPIC`: answered from a name server, rewritten for this client.
    TopicRoute,
    /// `GET_BROKER_CLUSTER_INFO`: answered from a name server, rewritten.
    ClusterInfo,
    /// A name server, as it is.
    NameServer {
        /// Whether all of them must hear it.
        every: bool,
    },
    /// Every broker this client talks to.
    Heartbeat,
    /// Every broker this client is registered at.
    Unregister,
    /// The broker of this name.
    Broker(String),
    /// The owner of a static topic's queue.
    StaticQueue {
        /// The pseudo broker name in the request.
        mock: String,
        /// The topic.
        topic: String,
        /// The logical queue.
        queue: i64,
    },
    /// The broker of this session's port; on a shared address, the only broker of the topic, else nobody.
    Unnamed {
        /// The topic, when the request has one.
        topic: Option<String>,
    },
    /// As [`Plan::Unnamed`], but on a shared address any broker that takes writes for this queue will do.
    Send {
        /// The topic.
        topic: String,
        /// The template topic of auto-creation.
        template: Option<String>,
        /// The queue, negative for any.
        queue: i64,
    },
    /// Any broker of the topic.
    AnyOfTopic(String),
    /// A broker at which the group's members are registered.
    Registration {
        /// The consumer group.
        group: String,
    },
    /// All brokers of the topic, their answers merged.
    Query {
        /// The topic.
        topic: String,
    },
    /// The brokers named in the body, one part each.
    Queues,
    /// The broker that holds the half message.
    Transaction,
}

/// Plans a request from its code, what its ext fields name, and its body.
pub fn plan(code: Code, names: &Named<'_>, body: &[u8]) -> Plan {
    match code {
        rq::GET_ROUTEINFO_BY_TOPIC => Plan::TopicRoute,
        rq::GET_BROKER_CLUSTER_INFO => Plan::ClusterInfo,
        rq::HEART_BEAT => Plan::Heartbeat,
        rq::UNREGISTER_CLIENT => Plan::Unregister,
        rq::LOCK_BATCH_MQ | rq::UNLOCK_BATCH_MQ => Plan::Queues,
        code if is_nameserver_code(code) => Plan::NameServer {
            every: is_nameserver_change(code),
        },
        _ => named(code, names, body).unwrap_or_else(|| unnamed(code, names, body)),
    }
}

/// The broker that the request itself names.
fn named(code: Code, names: &Named<'_>, body: &[u8]) -> Option<Plan> {
    let name = match code {
        rq::BATCH_ACK_MESSAGE => AckBatch::decode(body).ok()?.broker_name,
        _ => names.broker(code)?.into_owned(),
    };
    if name.is_empty() {
        return None;
    }
    if name.starts_with(MOCK_PREFIX) {
        let (topic, queue) = names.static_queue()?;
        return Some(Plan::StaticQueue {
            mock: name,
            topic: topic.into_owned(),
            queue,
        });
    }
    Some(Plan::Broker(name))
}

fn unnamed(code: Code, names: &Named<'_>, body: &[u8]) -> Plan {
    match code {
        rq::SEND_MESSAGE
        | rq::SEND_REPLY_MESSAGE
        | rq::SEND_MESSAGE_V2
        | rq::SEND_BATCH_MESSAGE
        | rq::SEND_REPLY_MESSAGE_V2 => Plan::Send {
            topic: names.topic_text().unwrap_or_default(),
            template: names.template(),
            queue: names.queue().unwrap_or(-1),
        },
        rq::END_TRANSACTION => Plan::Transaction,
        rq::ACK_MESSAGE | rq::CHANGE_MESSAGE_INVISIBLETIME => match handle_broker(names) {
            Some(broker) => Plan::Broker(broker),
            None => Plan::Unnamed {
                topic: names.topic_text(),
            },
        },
        rq::QUERY_MESSAGE => Plan::Query {
            topic: names.topic_text().unwrap_or_default(),
        },
        rq::GET_CONSUMER_LIST_BY_GROUP => Plan::Registration {
            group: names.consumer_group().unwrap_or_default().into_owned(),
        },
        rq::CHECK_CLIENT_CONFIG | rq::QUERY_ASSIGNMENT => {
            Plan::AnyOfTopic(ClientConfig::decode(body).unwrap_or_default().topic().to_owned())
        }
        // Without a name this is the fault detector's probe: any broker of the topic shows that it lives.
        rq::GET_MAX_OFFSET => Plan::AnyOfTopic(names.topic_text().unwrap_or_default()),
        _ => Plan::Unnamed {
            topic: names.topic_text(),
        },
    }
}

/// The broker named in the POP handle of an ack.
fn handle_broker(names: &Named<'_>) -> Option<String> {
    let handle = names.handle()?;
    let name = handle.split(' ').nth(HANDLE_BROKER)?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, Head};

    fn planned(code: Code, fields: &[(&str, &str)], body: &'static str) -> Plan {
        let mut command = Command::request(code, 1).with_body(body);
        for (name, value) in fields {
            command.set_field(name, *value);
        }
        let frame = command.encode().unwrap();
        let fields = Head::scan(&frame).unwrap().fields(&frame);
        plan(code, &Named::of(code, &fields), frame.body())
    }

    #[test]
    fn the_name_is_found_where_each_code_keeps_it() {
        let a = Plan::Broker("a".to_owned());
        assert_eq!(planned(rq::SEND_MESSAGE_V2, &[("b", "T"), ("n", "a")], ""), a);
        assert_eq!(
            planned(rq::SEND_MESSAGE, &[("topic", "T"), ("bname", "a")], ""),
            a
        );
        assert_eq!(planned(rq::PULL_MESSAGE, &[("bname", "a")], ""), a);
        assert_eq!(
            planned(rq::BATCH_ACK_MESSAGE, &[], r#"{"brokerName":"a","acks":[]}"#),
            a
        );
        assert_eq!(
            planned(rq::ACK_MESSAGE, &[("extraInfo", "1 2 3 4 0 a 0 7")], ""),
            a
        );
    }

    #[test]
    fn an_empty_name_is_no_name() {
        assert_eq!(
            planned(rq::END_TRANSACTION, &[("bname", "")], ""),
            Plan::Transaction
        );
        assert_eq!(
            planned(
                rq::SEND_MESSAGE_V2,
                &[("b", "T"), ("c", "TBW102"), ("e", "3")],
                ""
            ),
            Plan::Send {
                topic: "T".to_owned(),
                template: Some("TBW102".to_owned()),
                queue: 3
            }
        );
        assert_eq!(
            planned(rq::PULL_MESSAGE, &[("topic", "T")], ""),
            Plan::Unnamed {
                topic: Some("T".to_owned())
            }
        );
    }

    #[test]
    fn a_pseudo_broker_becomes_a_static_queue() {
        let fields = [("bname", "__syslo__global__"), ("topic", "T"), ("queueId", "5")];
        let expected = Plan::StaticQueue {
            mock: "__syslo__global__".to_owned(),
            topic: "T".to_owned(),
            queue: 5,
        };
        assert_eq!(planned(rq::PULL_MESSAGE, &fields, ""), expected);
    }

    #[test]
    fn topics_inside_bodies_are_found() {
        assert_eq!(
            planned(
                rq::CHECK_CLIENT_CONFIG,
                &[],
                r#"{"group":"g","subscriptionData":{"topic":"T"}}"#
            ),
            Plan::AnyOfTopic("T".to_owned())
        );
        assert_eq!(
            planned(rq::QUERY_ASSIGNMENT, &[], r#"{"topic":"T"}"#),
            Plan::AnyOfTopic("T".to_owned())
        );
    }
}
