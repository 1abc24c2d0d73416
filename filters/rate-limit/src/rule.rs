//! One rule: whom it is about, how much it allows, and which buckets it fills.

use std::cell::OnceCell;
use std::fmt::Write;

use gimbal_sdk::prelude::*;

/// The sidecar's `config` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How many Gimbals share the traffic: each allows its part.
    #[serde(default = "one")]
    pub instances: u32,
    /// Whether sends to `%RETRY%` topics count, by which consumers hand messages back.
    #[serde(default)]
    pub limit_retries: bool,
    /// The rules; a command must be within all that fit it.
    pub rules: Vec<Written>,
}

fn one() -> u32 {
    1
}

/// A rule as the operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    name: Option<String>,
    direction: Direction,
    #[serde(default)]
    topics: Patterns,
    #[serde(default)]
    groups: Patterns,
    #[serde(default)]
    clients: Patterns,
    #[serde(default)]
    users: Patterns,
    #[serde(default)]
    addresses: Networks,
    #[serde(default)]
    per: Vec<Per>,
    messages_per_second: Option<f64>,
    burst_messages: Option<u64>,
    bytes_per_second: Option<f64>,
    burst_bytes: Option<u64>,
    unit_bytes: Option<u32>,
}

/// Which way the messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From producers to brokers.
    Send,
    /// From brokers to consumers.
    Consume,
}

/// What has a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    Topic,
    Group,
    Client,
    User,
    Address,
}

/// A rule that has been checked.
#[derive(Debug)]
pub struct Rule {
    name: String,
    written: Written,
    per: Vec<Per>,
    messages: Option<Amount>,
    bytes: Option<Amount>,
}

/// A rate, in permits per second of this instance alone.
#[derive(Debug, Clone, Copy)]
struct Amount {
    rate: f64,
    burst: u64,
    /// As the operator wrote it: for all instances together.
    whole: f64,
}

/// What rules ask of a command, each asked of the host once and only when a rule wants to know.
#[derive(Debug)]
pub struct Facts<'a> {
    command: &'a Command,
    topic: OnceCell<Option<String>>,
    group: OnceCell<Option<String>>,
    client: OnceCell<String>,
    user: OnceCell<Option<String>>,
    address: OnceCell<String>,
}

impl<'a> Facts<'a> {
    /// Of this command.
    pub fn of(command: &'a Command) -> Self {
        Self {
            command,
            topic: OnceCell::new(),
            group: OnceCell::new(),
            client: OnceCell::new(),
            user: OnceCell::new(),
            address: OnceCell::new(),
        }
    }

    /// Its topic.
    pub fn topic(&self) -> Option<&str> {
        self.topic.get_or_init(|| self.command.topic()).as_deref()
    }

    fn group(&self) -> Option<&str> {
        self.group.get_or_init(|| self.command.group()).as_deref()
    }

    /// A client that has not yet told its id is known by its connection's address and port.
    fn client(&self) -> &str {
        let client = self.command.client();
        self.client
            .get_or_init(|| client.id().unwrap_or_else(|| client.peer()))
    }

    fn user(&self) -> Option<&str> {
        self.user.get_or_init(|| self.command.client().user()).as_deref()
    }

    fn address(&self) -> &str {
        self.address.get_or_init(|| self.command.client().ip())
    }
}

/// One bucket of a rule, chosen by the facts of a command.
#[derive(Debug)]
pub struct Bucket {
    /// The bucket itself.
    pub limit: Limit,
    unit: Unit,
    whole: f64,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    /// One permit for each message, or for each started so many bytes of it.
    Messages(Option<u32>),
    Bytes,
}

impl Rule {
    /// Checks a rule, the one at position `at`, and takes this instance's part of its rates.
    pub fn new(written: Written, at: usize, instances: u32) -> Result<Self, String> {
        let here = |key: &str| format!("config.rules[{at}].{key}");
        if instances == 0 {
            return Err("config.instances: there is at least 1".to_owned());
        }
        let amount = |rate: Option<f64>, burst: Option<u64>, key: &str, burst_key: &str| match (rate, burst) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(format!("{}: needs `{key}`", here(burst_key))),
            (Some(rate), _) if !(rate.is_finite() && rate > 0.0) => {
                Err(format!("{}: {rate} is no rate; it is more than 0", here(key)))
            }
            (Some(_), Some(0)) => Err(format!("{}: it is at least 1", here(burst_key))),
            (Some(rate), burst) => Ok(Some(Amount::new(rate, burst, instances))),
        };
        let messages = amount(
            written.messages_per_second,
            written.burst_messages,
            "messages_per_second",
            "burst_messages",
        )?;
        let bytes = amount(
            written.bytes_per_second,
            written.burst_bytes,
            "bytes_per_second",
            "burst_bytes",
        )?;
        if messages.is_none() && bytes.is_none() {
            let key = here("messages_per_second");
            return Err(format!(
                "{key}: a rule has `messages_per_second`, `bytes_per_second` or both"
            ));
        }
        if written.unit_bytes.is_some() && messages.is_none() {
            return Err(format!("{}: needs `messages_per_second`", here("unit_bytes")));
        }
        if written.unit_bytes == Some(0) {
            return Err(format!("{}: it is at least 1", here("unit_bytes")));
        }
        let mut per = written.per.clone();
        per.sort_unstable();
        per.dedup();
        Ok(Self {
            name: written.name.clone().unwrap_or_else(|| format!("rule {}", at + 1)),
            messages,
            bytes,
            per,
            written,
        })
    }

    /// How the rule is called in remarks, metrics and keys.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many things a bucket is chosen by.
    pub fn breadth(&self) -> usize {
        self.per.len()
    }

    /// The topics it is about; none means any.
    pub fn topics(&self) -> &Patterns {
        &self.written.topics
    }

    /// Whether it is about this direction.
    pub fn is(&self, direction: Direction) -> bool {
        self.written.direction == direction
    }

    /// Whether it is about a command with these facts.
    pub fn fits(&self, facts: &Facts<'_>) -> bool {
        let rule = &self.written;
        // A fact that nothing was said about is not asked for.
        (rule.topics.is_empty() || rule.topics.fit(facts.topic()))
            && (rule.groups.is_empty() || rule.groups.fit(facts.group()))
            && (rule.clients.is_empty() || rule.clients.fit(Some(facts.client())))
            && (rule.users.is_empty() || rule.users.fit(facts.user()))
            && (rule.addresses.is_empty() || rule.addresses.fit(facts.address()))
    }

    /// Its buckets for a command with these facts.
    pub fn buckets(&self, facts: &Facts<'_>) -> impl Iterator<Item = Bucket> + use<> {
        let key = self.key(facts);
        let bucket = move |amount: Amount, unit: Unit, what: &str| Bucket {
            limit: Limit::new(format!("{what}{key}"), amount.rate, amount.burst),
            unit,
            whole: amount.whole,
        };
        let messages = self
            .messages
            .map(|amount| (amount, Unit::Messages(self.written.unit_bytes), "messages/"));
        let bytes = self.bytes.map(|amount| (amount, Unit::Bytes, "bytes/"));
        messages
            .into_iter()
            .chain(bytes)
            .map(move |(amount, unit, what)| bucket(amount, unit, what))
    }

    /// The parts of a key are told apart by a character that names cannot hold. What a command does not tell is empty:
    /// all such commands share a bucket.
    fn key(&self, facts: &Facts<'_>) -> String {
        let mut key = self.name.clone();
        for per in &self.per {
            let part = match per {
                Per::Topic => facts.topic(),
                Per::Group => facts.group(),
                Per::Client => Some(facts.client()),
                Per::User => facts.user(),
                Per::Address => Some(facts.address()),
            };
            key.push('\u{1}');
            key.push_str(part.unwrap_or_default());
        }
        key
    }
}

impl Amount {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a burst too large for a float is as good as the largest"
    )]
    fn new(rate: f64, burst: Option<u64>, instances: u32) -> Self {
        let whole_burst = burst.map_or(rate, |burst| burst as f64);
        Self {
            rate: rate / f64::from(instances),
            burst: (whole_burst / f64::from(instances)).ceil().max(1.0) as u64,
            whole: rate,
        }
    }
}

impl Bucket {
    /// What a command costs.
    pub fn permits(&self, command: &Command) -> u64 {
        match self.unit {
            Unit::Bytes => u64::from(command.body_size()),
            Unit::Messages(unit) => messages(command, unit),
        }
    }

    /// What is allowed, for the remark.
    pub fn says(&self, rule: &Rule) -> String {
        let what = match self.unit {
            Unit::Messages(None) => "messages/s".to_owned(),
            Unit::Messages(Some(unit)) => format!("messages/s of {unit} bytes"),
            Unit::Bytes => "bytes/s".to_owned(),
        };
        let mut text = format!("{} {what}", self.whole);
        for (at, per) in rule.per.iter().enumerate() {
            let between = if at == 0 { " per" } else { " and" };
            let name = match per {
                Per::Topic => "topic",
                Per::Group => "group",
                Per::Client => "client",
                Per::User => "user",
                Per::Address => "address",
            };
            // Writing to a text cannot fail.
            write!(text, "{between} {name}").unwrap_or_default();
        }
        text
    }
}

/// How many messages a command carries, big ones counting more than once. A single send is one message: only what may
/// be a batch is looked into, by the mark as brokers read it: without regard to case. What cannot be read counts as one.
fn messages(command: &Command, unit: Option<u32>) -> u64 {
    let cost = |bytes: u32| unit.map_or(1, |unit| u64::from(bytes.div_ceil(unit).max(1)));
    let request = command.request_code();
    let is_send = code::SENDS.contains(&request);
    let is_batch = request == code::SEND_BATCH_MESSAGE
        || ["m", "batch"].iter().any(|name| {
            command
                .request_field(name)
                .is_some_and(|text| text.eq_ignore_ascii_case("true"))
        });
    if is_send && !is_batch {
        return cost(command.body_size());
    }
    let messages = command.messages();
    match (unit, messages.count()) {
        (None, Ok(count)) => u64::from(count),
        (Some(_), Ok(count)) => (0..count).map(|index| cost(messages.at(index).body_size())).sum(),
        (_, Err(_)) => cost(command.body_size()),
    }
}
