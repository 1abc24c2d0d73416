//! Messages that a consumer could not handle: another try later, and in the end the dead-letter topic.

use super::broker::Broker;
use super::properties;
use super::record::{Message, TRANSACTION_BITS};
use super::request::{Outcome, Refusal, Request, refuse};
use super::send::no_topic;
use super::store::Layout;
use crate::protocol::response;

/// Prefix of retry topics.
pub(super) const RETRY: &str = "%RETRY%";
/// Prefix of dead-letter topics.
pub(super) const DEAD: &str = "%DLQ%";

impl Broker {
    /// Points a message at the dead-letter topic of `group`.
    pub(super) fn bury(&self, message: &mut Message, group: &str) -> Result<(), Refusal> {
        let topic = format!("{DEAD}{group}");
        if self.store.topic_or_create(&topic, Layout::queues(1)).is_none() {
            return no_topic(&topic);
        }
        properties::remove(&mut message.properties, &["DELAY"]);
        let origin = message
            .property("RETRY_TOPIC")
            .unwrap_or(&message.topic)
            .to_owned();
        properties::set_absent(&mut message.properties, "DLQ_ORIGIN_TOPIC", &origin);
        message.topic = topic;
        message.queue = 0;
        Ok(())
    }

    /// `CONSUMER_SEND_MSG_BACK`.
    pub(super) fn send_back(&self, request: &Request<'_>) -> Outcome {
        let group = request.text("group")?;
        let offset: i64 = request.int("offset")?;
        let level: i32 = request.int("delayLevel")?;
        let stored = self.store.at(offset).and_then(|record| Message::decode(&record));
        let Some((mut message, place)) = stored else {
            return refuse(
                response::SYSTEM_ERROR,
                format!("look message by offset failed, {offset}"),
            );
        };
        let topic = format!("{RETRY}{group}");
        if self.store.topic_or_create(&topic, Layout::queues(1)).is_none() {
            return no_topic(&topic);
        }
        let most = request.fields.int("maxReconsumeTimes");
        let most = most.unwrap_or_else(|| self.groups.retry_limit(&group));
        let origin = message.topic.clone();
        properties::set_absent(&mut message.properties, "RETRY_TOPIC", &origin);
        properties::set_absent(
            &mut message.properties,
            "ORIGIN_MESSAGE_ID",
            &place.id().to_string(),
        );
        properties::remove(
            &mut message.properties,
            &[
                "DELAY",
                "REAL_TOPIC",
                "REAL_QID",
                "TIMER_DELAY_SEC",
                "TIMER_DELAY_MS",
                "TIMER_DELIVER_MS",
            ],
        );
        message.sys_flag &= !TRANSACTION_BITS;
        if message.reconsumed >= most || level < 0 {
            self.bury(&mut message, &group)?;
        } else {
            let level = if level == 0 {
                message.reconsumed.saturating_add(3)
            } else {
                level
            };
            properties::set(&mut message.properties, "DELAY", &level.to_string());
            message.topic = topic;
            message.queue = 0;
        }
        message.reconsumed = message.reconsumed.saturating_add(1);
        self.store_or_delay(message)?;
        request.done()
    }
}
