//! The host's functions about what outlives a command: values, buckets and the mapping of names.

pub(crate) mod store {
    use crate::testing::state::{self, State, Value};

    fn fresh(state: &mut State) {
        let now = state.now;
        state
            .values
            .retain(|_, value| value.until.is_none_or(|until| now < until));
    }

    fn put(state: &mut State, key: &str, bytes: &[u8], ttl_ms: Option<u64>) -> Result<(), String> {
        let others: usize = state
            .values
            .iter()
            .filter(|(name, _)| *name != key)
            .map(|(name, value)| name.len() + value.bytes.len())
            .sum();
        if key.len() > 1024 {
            return Err("a key has at most 1 KiB".to_owned());
        }
        if others + key.len() + bytes.len() > state.quota {
            return Err("the quota of the store is used up".to_owned());
        }
        let until = ttl_ms.map(|ttl| state.now.saturating_add(ttl.saturating_mul(1_000_000)));
        let bytes = bytes.to_vec();
        state.values.insert(key.to_owned(), Value { bytes, until });
        Ok(())
    }

    pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
        state::with(|state| {
            fresh(state);
            state.values.get(key).map(|value| value.bytes.clone())
        })
    }

    pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), String> {
        state::with(|state| {
            fresh(state);
            put(state, key, value, ttl_ms)
        })
    }

    pub(crate) fn delete(key: &str) -> bool {
        state::with(|state| {
            fresh(state);
            state.values.remove(key).is_some()
        })
    }

    pub(crate) fn increment(key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, String> {
        state::with(|state| {
            fresh(state);
            let Some(value) = state.values.get_mut(key) else {
                put(state, key, &by.to_le_bytes(), ttl_ms)?;
                return Ok(by);
            };
            let bytes: [u8; 8] = value
                .bytes
                .as_slice()
                .try_into()
                .map_err(|_other_length| format!("`{key}` is no number"))?;
            let sum = i64::from_le_bytes(bytes).saturating_add(by);
            value.bytes = sum.to_le_bytes().to_vec();
            Ok(sum)
        })
    }

    pub(crate) fn compare_and_swap(
        key: &str,
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, String> {
        state::with(|state| {
            fresh(state);
            if state.values.get(key).map(|value| value.bytes.as_slice()) != expected {
                return Ok(false);
            }
            match value {
                Some(value) => put(state, key, value, ttl_ms)?,
                None => {
                    state.values.remove(key);
                }
            }
            Ok(true)
        })
    }

    pub(crate) fn keys(prefix: &str) -> Vec<String> {
        state::with(|state| {
            fresh(state);
            state
                .values
                .keys()
                .filter(|key| key.starts_with(prefix))
                .take(1000)
                .cloned()
                .collect()
        })
    }
}

pub(crate) mod limit {
    use crate::testing::state::{self, Bucket};

    fn with<T>(key: &str, burst: u64, act: impl FnOnce(&mut Bucket, u64) -> T) -> T {
        state::with(|state| {
            let now = state.now;
            let bucket = state
                .buckets
                .entry(key.to_owned())
                .or_insert_with(|| Bucket::new(burst, now));
            act(bucket, now)
        })
    }

    pub(crate) fn acquire(key: &str, permits: u64, rate: f64, burst: u64) -> Result<(), u64> {
        with(key, burst, |bucket, now| {
            bucket.acquire(permits, rate, burst, now)
        })
    }

    pub(crate) fn charge(key: &str, permits: u64, rate: f64, burst: u64) -> u64 {
        with(key, burst, |bucket, now| bucket.charge(permits, rate, burst, now))
    }
}

pub(crate) mod names {
    use crate::testing::state::{self, Names};

    fn with<T>(act: impl FnOnce(&mut Names) -> T) -> T {
        state::with(|state| act(state.names.entry(state.client.connection).or_default()))
    }

    fn checked(text: &str) -> Result<String, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | '|');
        match text.chars().find(|c| !fits(*c)) {
            Some(c) => Err(format!("`{text}`: `{c}` is not allowed in names")),
            None => Ok(text.to_owned()),
        }
    }

    pub(crate) fn set_topic_prefix(prefix: &str) -> Result<(), String> {
        let prefix = checked(prefix)?;
        with(|names| names.topic_prefix = prefix);
        Ok(())
    }
    pub(crate) fn set_group_prefix(prefix: &str) -> Result<(), String> {
        let prefix = checked(prefix)?;
        with(|names| names.group_prefix = prefix);
        Ok(())
    }
    pub(crate) fn map_topic(client: &str, broker: &str) -> Result<(), String> {
        let broker = checked(broker)?;
        with(|names| names.topics.insert(client.to_owned(), broker));
        Ok(())
    }
    pub(crate) fn map_group(client: &str, broker: &str) -> Result<(), String> {
        let broker = checked(broker)?;
        with(|names| names.groups.insert(client.to_owned(), broker));
        Ok(())
    }
    pub(crate) fn clear() {
        with(|names| *names = Names::default());
    }
    pub(crate) fn topic_at_broker(topic: &str) -> String {
        with(|names| match names.topics.get(topic) {
            Some(mapped) => mapped.clone(),
            None => format!("{}{topic}", names.topic_prefix),
        })
    }
    pub(crate) fn group_at_broker(group: &str) -> String {
        with(|names| match names.groups.get(group) {
            Some(mapped) => mapped.clone(),
            None => format!("{}{group}", names.group_prefix),
        })
    }
}
