//! Names of topics and groups as brokers know them.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::names::Host;
use super::super::ctx::Ctx;

type Answer = Result<std::result::Result<(), String>>;

fn not_yet() -> Answer {
    Ok(Err("names cannot be mapped yet".to_owned()))
}

impl Host for Ctx {
    fn set_topic_prefix(&mut self, _prefix: String) -> Answer {
        not_yet()
    }

    fn set_group_prefix(&mut self, _prefix: String) -> Answer {
        not_yet()
    }

    fn map_topic(&mut self, _client: String, _broker: String) -> Answer {
        not_yet()
    }

    fn map_group(&mut self, _client: String, _broker: String) -> Answer {
        not_yet()
    }

    fn clear(&mut self) -> Result<()> {
        if let Some(subject) = &mut self.subject {
            subject.set_names(None);
        }
        Ok(())
    }

    fn topic_at_broker(&mut self, topic: String) -> Result<String> {
        Ok(topic)
    }

    fn group_at_broker(&mut self, group: String) -> Result<String> {
        Ok(group)
    }
}
