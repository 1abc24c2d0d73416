//! Names of topics and groups as brokers know them.

use std::borrow::Cow;

use wasmtime::Result;

use super::super::bindings::gimbal::filter::names::Host;
use super::super::ctx::Ctx;
use crate::filter::Subject;
use crate::filter::names::{Mapping, NameError};

type Answer = Result<std::result::Result<(), String>>;

impl Ctx {
    /// Changes how names are mapped from the command under decision on.
    fn map(
        &mut self,
        change: impl FnOnce(&mut Mapping) -> std::result::Result<(), NameError>,
    ) -> std::result::Result<(), String> {
        let Some(subject) = &mut self.subject else {
            return Err(
                "there is no connection whose names could be mapped; do it in on-connect or on-request"
                    .to_owned(),
            );
        };
        let mut mapping = subject
            .names()
            .map(|names| (*names.mapping).clone())
            .unwrap_or_default();
        if let Err(error) = change(&mut mapping) {
            return Err(error.to_string());
        }
        subject.set_names((!mapping.is_empty()).then_some(mapping));
        Ok(())
    }

    /// What `translate` makes of a name; the name itself where nothing is mapped or the mapped name cannot be.
    fn at_broker(
        &self,
        name: String,
        translate: impl for<'t> FnOnce(
            &Subject,
            &Mapping,
            &'t str,
        ) -> std::result::Result<Cow<'t, str>, NameError>,
    ) -> String {
        let subject = self.subject.as_deref();
        let named = subject.and_then(|subject| Some((subject, subject.names()?)));
        match named.map(|(subject, names)| translate(subject, &names.mapping, &name)) {
            Some(Ok(Cow::Owned(mapped))) => mapped,
            Some(Ok(Cow::Borrowed(_)) | Err(_)) | None => name,
        }
    }
}

impl Host for Ctx {
    fn set_topic_prefix(&mut self, prefix: String) -> Answer {
        Ok(self.map(|mapping| mapping.set_topic_prefix(&prefix)))
    }

    fn set_group_prefix(&mut self, prefix: String) -> Answer {
        Ok(self.map(|mapping| mapping.set_group_prefix(&prefix)))
    }

    fn map_topic(&mut self, client: String, broker: String) -> Answer {
        Ok(self.map(|mapping| mapping.map_topic(&client, &broker)))
    }

    fn map_group(&mut self, client: String, broker: String) -> Answer {
        Ok(self.map(|mapping| mapping.map_group(&client, &broker)))
    }

    fn clear(&mut self) -> Result<()> {
        if let Some(subject) = &mut self.subject {
            subject.set_names(None);
        }
        Ok(())
    }

    fn topic_at_broker(&mut self, topic: String) -> Result<String> {
        Ok(self.at_broker(topic, |subject, mapping, topic| {
            let own = &subject.client().own_topics;
            mapping.topic_at_broker(&|topic| own.has(topic), topic)
        }))
    }

    fn group_at_broker(&mut self, group: String) -> Result<String> {
        Ok(self.at_broker(group, |_, mapping, group| mapping.group_at_broker(group)))
    }
}
