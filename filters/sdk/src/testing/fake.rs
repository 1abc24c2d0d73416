//! The host's functions for tests on any machine: the same names and types as the generated ones.

use super::state::{self, Current, State};
use crate::Level;

pub(super) fn current<T: Default>(read: impl FnOnce(&mut Current) -> T) -> T {
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

pub(crate) use super::carried as messages;

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
