//! The host's functions for tests on any machine: the same names and types as the generated ones.

use super::state::{self, Current, State};
use crate::Level;

fn current<T: Default>(read: impl FnOnce(&mut Current) -> T) -> T {
    state::with(|state| state.current.as_mut().map(read)).unwrap_or_default()
}

fn client<T>(read: impl FnOnce(&State) -> T) -> T {
    state::with(|state| read(state))
}

pub(crate) mod command {
    use super::current;
    use crate::Access;
    use crate::testing::accesses;
    use crate::testing::request::{find, remove, set};

    pub(crate) fn code() -> i32 {
        current(|c| {
            c.request
                .response
                .as_ref()
                .map_or(c.request.code, |response| response.code)
        })
    }
    pub(crate) fn request_code() -> i32 {
        current(|c| c.request.code)
    }
    pub(crate) fn opaque() -> i32 {
        current(|c| c.request.opaque)
    }
    pub(crate) fn is_oneway() -> bool {
        current(|c| c.request.is_oneway)
    }
    pub(crate) fn is_from_broker() -> bool {
        current(|c| c.request.is_from_broker)
    }
    pub(crate) fn language() -> String {
        current(|c| c.request.language.clone())
    }
    pub(crate) fn version() -> i32 {
        current(|c| c.request.version)
    }
    pub(crate) fn remark() -> Option<String> {
        current(|c| match &c.request.response {
            Some(response) => response.remark.clone(),
            None => c.request.remark.clone(),
        })
    }
    pub(crate) fn set_remark(remark: &str) {
        current(|c| match &mut c.request.response {
            Some(response) => response.remark = Some(remark.to_owned()),
            None => c.request.remark = Some(remark.to_owned()),
        });
    }
    pub(crate) fn field(name: &str) -> Option<String> {
        current(|c| {
            let fields = c
                .request
                .response
                .as_ref()
                .map_or(&c.request.fields, |response| &response.fields);
            find(fields, name).map(str::to_owned)
        })
    }
    pub(crate) fn fields() -> Vec<(String, String)> {
        current(|c| match &c.request.response {
            Some(response) => response.fields.clone(),
            None => c.request.fields.clone(),
        })
    }
    pub(crate) fn set_field(name: &str, value: &str) {
        current(|c| match &mut c.request.response {
            Some(response) => set(&mut response.fields, name, value),
            None if c.request.is_signed => c.failure = Some(format!("`{name}` was set on a signed command")),
            None => set(&mut c.request.fields, name, value),
        });
    }
    pub(crate) fn remove_field(name: &str) -> bool {
        current(|c| match &mut c.request.response {
            Some(response) => remove(&mut response.fields, name),
            None if c.request.is_signed => {
                c.failure = Some(format!("`{name}` was removed from a signed command"));
                false
            }
            None => remove(&mut c.request.fields, name),
        })
    }
    pub(crate) fn request_field(name: &str) -> Option<String> {
        current(|c| find(&c.request.fields, name).map(str::to_owned))
    }
    pub(crate) fn topic() -> Option<String> {
        current(|c| c.request.topic())
    }
    pub(crate) fn group() -> Option<String> {
        current(|c| c.request.group())
    }
    pub(crate) fn queue_id() -> Option<i32> {
        current(|c| {
            let name = if matches!(c.request.code, 310 | 320 | 325) {
                "e"
            } else {
                "queueId"
            };
            find(&c.request.fields, name)?.parse().ok()
        })
    }
    pub(crate) fn broker() -> Option<String> {
        current(|c| {
            let name = if matches!(c.request.code, 310 | 320 | 325) {
                "n"
            } else {
                "bname"
            };
            find(&c.request.fields, name).map(str::to_owned)
        })
    }
    pub(crate) fn accesses() -> Vec<Access> {
        current(|c| {
            c.request
                .accesses
                .clone()
                .unwrap_or_else(|| accesses::derive(&c.request))
        })
    }
    pub(crate) fn remove_group(group: &str) -> bool {
        current(|c| {
            let removed = accesses::derive(&c.request)
                .iter()
                .any(|access| access.group.as_deref() == Some(group));
            if removed && c.request.code == crate::code::HEART_BEAT {
                c.request.removed_groups.push(group.to_owned());
            }
            removed
        })
    }
    pub(crate) fn body_size() -> u32 {
        current(|c| u32::try_from(c.request.body_size()).unwrap_or(u32::MAX))
    }
    pub(crate) fn body() -> Vec<u8> {
        current(|c| {
            if c.needs_body {
                own_body(&c.request).clone()
            } else {
                Vec::new()
            }
        })
    }
    pub(crate) fn body_range(offset: u32, length: u32) -> Vec<u8> {
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(length).unwrap_or(usize::MAX);
        body().into_iter().skip(skip).take(take).collect()
    }
    pub(crate) fn set_body(body: &[u8]) {
        current(|c| match (&mut c.request.response, c.needs_body) {
            (_, false) => c.failure = Some("`set-body` needs an interest with `needs-body`".to_owned()),
            (Some(response), true) => body.clone_into(&mut response.body),
            (None, true) => body.clone_into(&mut c.request.body),
        });
    }
    fn own_body(request: &crate::testing::Request) -> &Vec<u8> {
        request
            .response
            .as_ref()
            .map_or(&request.body, |response| &response.body)
    }
    pub(crate) fn max_delay() -> u32 {
        current(|c| {
            let usual = match c.request.code {
                34 | 35 | 41 | 42 => 0,
                11 | 361 | 200_050 | 200_054 => 10_000,
                _ => 2_000,
            };
            if c.request.response.is_some() {
                0
            } else {
                c.request.max_delay.unwrap_or(usual)
            }
        })
    }
    pub(crate) fn signed() -> bool {
        current(|c| c.request.is_signed)
    }
}

pub(crate) mod messages {
    use super::current;
    use crate::testing::request::{Message, find, remove as remove_pair, set};

    fn at<T: Default>(index: u32, read: impl FnOnce(&Message) -> T) -> T {
        current(|c| {
            let message = usize::try_from(index)
                .ok()
                .and_then(|index| c.request.messages.get(index));
            message.filter(|_| c.needs_body).map(read).unwrap_or_default()
        })
    }

    fn change<T>(index: u32, act: impl FnOnce(&mut Message) -> Result<T, String>) -> Result<T, String> {
        let changed = current(|c| {
            if !c.needs_body {
                return Some(Err("`messages` needs an interest with `needs-body`".to_owned()));
            }
            if c.request.is_signed && c.request.response.is_none() {
                c.failure = Some("a message of a signed command was changed".to_owned());
            }
            let message = usize::try_from(index)
                .ok()
                .and_then(|index| c.request.messages.get_mut(index));
            message.map(act)
        });
        changed.unwrap_or_else(|| Err(format!("there is no message {index}")))
    }

    pub(crate) fn count() -> Result<u32, String> {
        let counted = current(|c| {
            if !c.needs_body {
                return Some(Err("`messages` needs an interest with `needs-body`".to_owned()));
            }
            Some(Ok(u32::try_from(c.request.messages.len()).unwrap_or(u32::MAX)))
        });
        counted.unwrap_or(Ok(0))
    }
    pub(crate) fn topic(index: u32) -> Option<String> {
        at(index, |m| m.topic.clone().or_else(|| m_topic(m))).or_else(super::command::topic)
    }
    fn m_topic(message: &Message) -> Option<String> {
        find(&message.properties, "RETRY_TOPIC").map(str::to_owned)
    }
    pub(crate) fn tags(index: u32) -> Option<String> {
        property(index, "TAGS")
    }
    pub(crate) fn keys(index: u32) -> Option<String> {
        property(index, "KEYS")
    }
    pub(crate) fn property(index: u32, name: &str) -> Option<String> {
        at(index, |m| find(&m.properties, name).map(str::to_owned))
    }
    pub(crate) fn properties(index: u32) -> Vec<(String, String)> {
        at(index, |m| m.properties.clone())
    }
    pub(crate) fn set_property(index: u32, name: &str, value: &str) -> Result<(), String> {
        if name.is_empty() || value.is_empty() {
            return Err("a property has a name and a value".to_owned());
        }
        change(index, |m| {
            set(&mut m.properties, name, value);
            Ok(())
        })
    }
    pub(crate) fn remove_property(index: u32, name: &str) -> Result<bool, String> {
        change(index, |m| Ok(remove_pair(&mut m.properties, name)))
    }
    pub(crate) fn body_size(index: u32) -> u32 {
        at(index, |m| u32::try_from(m.body.len()).unwrap_or(u32::MAX))
    }
    pub(crate) fn body(index: u32) -> Result<Vec<u8>, String> {
        let found = at(index, |m| match &m.unreadable {
            Some(why) => Some(Err(why.clone())),
            None => Some(Ok(m.body.clone())),
        });
        found.unwrap_or_else(|| Err(format!("there is no message {index}")))
    }
    pub(crate) fn set_body(index: u32, body: &[u8]) -> Result<(), String> {
        change(index, |m| {
            body.clone_into(&mut m.body);
            Ok(())
        })
    }
    pub(crate) fn remove(index: u32) -> Result<(), String> {
        let fixed = current(|c| match &c.request.response {
            None => c.request.messages.len() == 1,
            Some(_) => find(&c.request.fields, "order") == Some("true"),
        });
        if fixed {
            return Err("this message cannot be removed".to_owned());
        }
        change(index, |_| Ok(()))?;
        current(|c| {
            if let Ok(index) = usize::try_from(index) {
                c.request.messages.remove(index);
            }
        });
        Ok(())
    }
    pub(crate) fn queue_offset(index: u32) -> Option<u64> {
        at(index, |m| m.queue_offset)
    }
    pub(crate) fn reconsume_times(index: u32) -> u32 {
        at(index, |m| m.reconsume_times)
    }
    pub(crate) fn born_timestamp(index: u32) -> u64 {
        at(index, |m| m.born_timestamp)
    }
}

pub(crate) mod client {
    use super::client;

    pub(crate) fn peer() -> String {
        let ip = ip();
        if ip.contains(':') {
            format!("[{ip}]:50000")
        } else {
            format!("{ip}:50000")
        }
    }
    pub(crate) fn ip() -> String {
        client(|state| state.client.ip.clone())
    }
    pub(crate) fn listener() -> String {
        client(|state| state.client.listener.clone())
    }
    pub(crate) fn client_id() -> Option<String> {
        client(|state| state.client.id.clone())
    }
    pub(crate) fn language() -> String {
        super::command::language()
    }
    pub(crate) fn version() -> i32 {
        super::command::version()
    }
    pub(crate) fn user() -> Option<String> {
        client(|state| state.client.user.clone())
    }
    pub(crate) fn tls_subject() -> Option<String> {
        client(|state| state.client.tls_subject.clone())
    }
    pub(crate) fn connection() -> u64 {
        client(|state| state.client.connection)
    }
}

pub(crate) mod log {
    use super::{Level, state};

    pub(crate) fn write(level: Level, text: &str) {
        state::with(|state| state.logs.push((level, text.to_owned())));
    }
}

pub(crate) mod metrics {
    use super::state;

    pub(crate) fn count(name: &str, labels: &[(String, String)], by: u64) {
        #[expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
        let by = by as f64;
        state::with(|state| *state.counters.entry(key(name, labels)).or_default() += by);
    }
    pub(crate) fn gauge(name: &str, labels: &[(String, String)], value: f64) {
        state::with(|state| state.counters.insert(key(name, labels), value));
    }
    pub(crate) fn observe(name: &str, labels: &[(String, String)], value: f64) {
        state::with(|state| *state.counters.entry(key(name, labels)).or_default() += value);
    }
    fn key(name: &str, labels: &[(String, String)]) -> String {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if labels.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", labels.join(","))
        }
    }
}

pub(crate) mod clock {
    use super::state;

    pub(crate) fn now() -> u64 {
        state::with(|state| state.now)
    }
    pub(crate) fn monotonic() -> u64 {
        now()
    }
}

pub(crate) mod random {
    use super::state;

    /// Xorshift: the same numbers in every run.
    pub(crate) fn next() -> u64 {
        state::with(|state| {
            state.random ^= state.random << 13;
            state.random ^= state.random >> 7;
            state.random ^= state.random << 17;
            state.random
        })
    }
}

pub(crate) use super::lasting::{limit, names, store};
