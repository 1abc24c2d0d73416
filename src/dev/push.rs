//! What a broker asks of clients on behalf of others: replies to requests, and questions of admin tools.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::broker::Broker;
use super::group::Member;
use super::properties;
use super::request::{Outcome, Refusal, Reply, Request, answer, own_request, refuse};
use super::send::sent;
use super::store::now_ms;
use crate::protocol::body::MessageId;
use crate::protocol::{Code, Command, request, response};

/// How long a client may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl Broker {
    /// `SEND_REPLY_MESSAGE` and `SEND_REPLY_MESSAGE_V2`.
    pub(super) fn reply(self: &Arc<Self>, request: &Request<'_>) -> Outcome {
        let (group, mut message) = self.reply_message(request)?;
        let Some(client) = message.property("REPLY_TO_CLIENT").map(str::to_owned) else {
            return refuse(
                response::SYSTEM_ERROR,
                "reply message properties[REPLY_TO_CLIENT] is null",
            );
        };
        let place = self.store.append(&message);
        let Some(peer) = self.groups.client(&client) else {
            return refuse(
                response::SYSTEM_ERROR,
                format!("push reply message fail, channel of <{client}> not found."),
            );
        };
        properties::set(&mut message.properties, "PUSH_REPLY_TIME", &now_ms().to_string());
        let push = own_request(request::PUSH_REPLY_MESSAGE_TO_CLIENT)
            .with_field("bornHost", message.born.to_string())
            .with_field("storeHost", self.address.to_string())
            .with_field("storeTimestamp", now_ms().to_string())
            .with_field("producerGroup", group)
            .with_field("topic", message.topic.as_str())
            .with_field("defaultTopic", "TBW102")
            .with_field("defaultTopicQueueNums", "4")
            .with_field("queueId", message.queue.to_string())
            .with_field("sysFlag", message.sys_flag.to_string())
            .with_field("bornTimestamp", message.born_ms.to_string())
            .with_field("flag", message.flag.to_string())
            .with_field("properties", message.properties.as_str())
            .with_field("reconsumeTimes", message.reconsumed.to_string())
            .with_field("unitMode", "false")
            .with_body(message.body.clone());
        let done = match place {
            Some(place) => sent(request, &place, message.queue, place.id().to_string()),
            None => request.answer(response::SUCCESS).with_field("msgId", "0"),
        };
        let failed = request
            .answer(response::SYSTEM_ERROR)
            .with_remark(format!("push reply message to {client}fail."));
        Ok(Reply::Later(Box::pin(async move {
            match peer.call(push, PATIENCE).await {
                Some(said) if said.code == response::SUCCESS => done,
                _ => failed,
            }
        })))
    }

    /// `GET_CONSUMER_RUNNING_INFO` of a tool, passed on to the client.
    pub(super) fn running_info(&self, request: &Request<'_>) -> Outcome {
        let member = self.asked_member(request)?;
        Ok(relay(request, member, copy_of(request, request.head.code)))
    }

    /// `CONSUME_MESSAGE_DIRECTLY` of a tool, passed on to the client with the message.
    pub(super) fn consume_directly(&self, request: &Request<'_>) -> Outcome {
        let member = self.asked_member(request)?;
        let mut command = copy_of(request, request.head.code).with_field("brokerName", self.name.as_str());
        if let Some(id) = request.fields.find("msgId").and_then(|id| MessageId::parse(&id)) {
            let record = self.store.at(id.offset.cast_signed());
            command.body = record.unwrap_or_default();
        }
        Ok(relay(request, member, command))
    }

    /// `INVOKE_BROKER_TO_GET_CONSUMER_STATUS`: asks the one client named, or the first of the group.
    pub(super) fn consumer_status(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("group")?;
        let address = request.fields.find("clientAddr").unwrap_or_default();
        let members = self.groups.members(&group);
        let member = members
            .into_iter()
            .find(|member| address.is_empty() || member.client_id == address);
        match member {
            Some(member) => Ok(relay(
                request,
                member,
                copy_of(request, request::GET_CONSUMER_STATUS_FROM_CLIENT),
            )),
            None => refuse(
                response::CONSUMER_NOT_ONLINE,
                format!("Consumer group <{group}> not online."),
            ),
        }
    }

    /// `INVOKE_BROKER_TO_RESET_OFFSET`: commits the offsets of that time and pushes them to the whole group.
    pub(super) fn reset_offsets(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("group")?;
        let name = request.text("topic")?;
        let ms: i64 = request.int("timestamp")?;
        let Some(topic) = self.store.topic(&name) else {
            return refuse(response::SYSTEM_ERROR, format!("topic[{name}] not exist"));
        };
        let mut table = String::new();
        for (id, queue) in (0..topic.layout().read).zip(topic.queues()) {
            let offset = if ms < 0 { queue.range().1 } else { queue.search(ms) };
            self.offsets.commit(&group, &name, id, offset);
            let queue = json!({"brokerName": self.name, "queueId": id, "topic": name});
            let comma = if table.is_empty() { "" } else { "," };
            // Writing to a string cannot fail. The keys are objects: fastjson's way.
            write!(table, "{comma}{queue}:{offset}").ok();
        }
        let body = format!("{{\"offsetTable\":{{{table}}}}}");
        let members = self.groups.members(&group);
        if members.is_empty() {
            return refuse(
                response::CONSUMER_NOT_ONLINE,
                format!(
                    "Consumer not online, so can not reset offset, Group: {group} Topic: {name} Timestamp: {ms}"
                ),
            );
        }
        for member in members {
            let push = copy_of(request, request::RESET_CONSUMER_CLIENT_OFFSET).with_body(body.clone());
            member.peer.push(push);
        }
        Ok(Reply::Now(request.answer(response::SUCCESS).with_body(body)))
    }

    fn asked_member(&self, request: &Request<'_>) -> Result<Member, Refusal> {
        let group = request.text("consumerGroup")?;
        let client = request.text("clientId")?;
        let members = self.groups.members(&group);
        let found = members.into_iter().find(|member| member.client_id == client);
        found.map_or_else(
            || {
                refuse(
                    response::SYSTEM_ERROR,
                    format!("The Consumer <{group}> <{client}> not online"),
                )
            },
            Ok,
        )
    }
}

/// The same fields under a request of the broker's own.
fn copy_of(request: &Request<'_>, code: Code) -> Command {
    let pairs = request.fields.to_pairs();
    pairs
        .into_iter()
        .fold(own_request(code), |command, (name, value)| {
            command.with_field(&name, value)
        })
}

/// Passes a question on and its answer back.
fn relay(request: &Request<'_>, member: Member, command: Command) -> Reply {
    let head = request.head.clone();
    Reply::Later(Box::pin(async move {
        let Some(said) = member.peer.call(command, PATIENCE).await else {
            return answer(&head, response::CONSUME_MSG_TIMEOUT)
                .with_remark(format!("consumer <{}> Timeout", member.client_id));
        };
        let mut back = answer(&head, said.code).with_body(said.body.clone());
        back.ext.clone_from(&said.ext);
        back.remark.clone_from(&said.remark);
        back
    }))
}
