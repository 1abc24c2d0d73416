//! The settings beside a filter: what a sidecar may say, key by key, and how that becomes the checked form.
//!
//! The doc comments of the written form are the descriptions in the JSON Schema, so they speak to the operator.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use toml::Value;

use super::check::{accepted_code, code};
use super::load::typed;
use super::problem::{Problems, join};
use super::shape::{Shape, refuse_unknown};
use super::text;
use super::value::{Period, Size, Words};
use crate::filter::folder::{OwnBudget, Sidecar};
use crate::filter::{Mode, Patterns, Policy, Scope};

/// Everything the settings beside a filter may say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    title = "Gimbal filter settings",
    description = "Settings of one filter: 20-name.toml beside 20-name.wasm. Without them, the defaults hold."
)]
pub struct File {
    /// Handed to the filter, which says what it accepts: `gimbal check` asks it.
    #[schemars(with = "BTreeMap<String, Json>")]
    pub config: toml::Table,
    /// Which commands the filter may see. Default: all that it asks for.
    pub scope: ScopeSection,
    /// What happens to a command when the filter fails: "closed" answers it with an error, "open" lets it go on as if
    /// the filter were not there. Default: what the filter's manifest says, else "closed".
    pub on_error: Option<PolicyName>,
    /// What the filter may use. Default: that of the config file.
    pub budget: BudgetSection,
    /// Interfaces the filter may call, such as "store" or "limit". Default: those it asks for.
    pub grants: Option<Words>,
    /// "enforce" follows its verdicts, "shadow" counts and logs them and changes nothing, "off" leaves it out.
    pub mode: ModeName,
}

/// Which commands the filter may see; a command must fit every part that is given. Patterns have `*` for any text and
/// `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScopeSection {
    /// Topics, as patterns. Commands without a topic fit only when this is empty.
    pub topics: Words,
    /// Consumer and producer groups, as patterns. Commands without a group fit only when this is empty.
    pub groups: Words,
    /// Client ids, as patterns.
    pub clients: Words,
    /// Users whose signature was verified, as patterns. Commands that are not signed fit only when this is empty.
    pub users: Words,
    /// Client addresses and networks, such as "10.0.0.7" or "10.0.0.0/8".
    pub addresses: Words,
    /// Listeners by name, as patterns.
    pub listeners: Words,
    /// Request codes by name or number, such as "`SEND_MESSAGE_V2`" or 310.
    pub codes: Words,
}

/// What a filter may use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSection {
    /// Wall-clock time of one call. Default: "10ms".
    pub time: Option<Period>,
    /// Memory of one instance. Default: "64 MiB".
    pub memory: Option<Size>,
    /// What all its entries in the store may take. Default: "1 MiB".
    pub store: Option<Size>,
}

/// What a filter's failure does to its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// It is answered with an error.
    Closed,
    /// It goes on.
    Open,
}

/// How a filter's verdicts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModeName {
    /// They are followed.
    #[default]
    Enforce,
    /// They are counted and logged.
    Shadow,
    /// The filter is left out.
    Off,
}

/// Reads the text of a sidecar; `file` is its name in problems.
///
/// # Errors
/// All problems at once. After syntax errors, those alone.
pub fn check(file: &str, text: &str) -> Result<Sidecar, Problems> {
    let mut problems = Problems::default();
    let mut value = Value::Table(text::read(file, text, &mut problems));
    if problems.errors.is_empty() {
        refuse_unknown(&mut value, shape(), "", &mut problems);
        let file: File = typed(value, &mut problems);
        let sidecar = checked(&file, &mut problems);
        if problems.errors.is_empty() {
            return Ok(sidecar);
        }
    }
    problems.sort();
    Err(problems)
}

/// As [`check`], with the problems as text, one a line.
pub fn read(file: &str, text: &str) -> Result<Sidecar, String> {
    check(file, text).map_err(|problems| problems.to_string())
}

/// The JSON Schema of [`File`], each section spelled out where it stands.
pub fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<File>()
}

fn shape() -> &'static Shape {
    static SHAPE: OnceLock<Shape> = OnceLock::new();
    SHAPE.get_or_init(|| Shape::read(schema().as_value()))
}

fn checked(file: &File, problems: &mut Problems) -> Sidecar {
    Sidecar {
        config: json_table(&file.config, "config", problems),
        scope: check_scope(&file.scope, problems),
        on_error: file.on_error.map(|policy| match policy {
            PolicyName::Closed => Policy::Closed,
            PolicyName::Open => Policy::Open,
        }),
        budget: check_budget(&file.budget, "budget", problems),
        grants: file.grants.clone().map(|words| words.0),
        mode: match file.mode {
            ModeName::Enforce => Some(Mode::Enforce),
            ModeName::Shadow => Some(Mode::Shadow),
            ModeName::Off => None,
        },
    }
}

fn check_scope(written: &ScopeSection, problems: &mut Problems) -> Scope {
    let mut patterns = |words: &Words, key: &str| {
        for (i, word) in words.0.iter().enumerate() {
            if word.is_empty() {
                let path = format!("scope.{key}[{i}]");
                problems.error(&path, "is empty", "a name or a pattern, such as \"orders-*\"");
            }
        }
        Patterns::new(&words.0)
    };
    let scope = Scope {
        topics: patterns(&written.topics, "topics"),
        groups: patterns(&written.groups, "groups"),
        clients: patterns(&written.clients, "clients"),
        users: patterns(&written.users, "users"),
        listeners: patterns(&written.listeners, "listeners"),
        ..Scope::default()
    };
    let mut addresses = Vec::new();
    for (i, word) in written.addresses.0.iter().enumerate() {
        let net = word.parse::<IpNet>();
        match net.or_else(|_not_a_net| word.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => addresses.push(net),
            Err(_neither) => problems.error(
                &format!("scope.addresses[{i}]"),
                format!("is {word:?}, which is no address"),
                "an address or a network, such as \"10.0.0.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"",
            ),
        }
    }
    let mut codes = Vec::new();
    for (i, word) in written.codes.0.iter().enumerate() {
        match code(word) {
            Ok(code) => codes.push(code),
            Err(what) => problems.error(&format!("scope.codes[{i}]"), what, accepted_code(word, &[])),
        }
    }
    Scope {
        addresses,
        codes,
        ..scope
    }
}

/// Checks a budget that stands at `path`.
pub(super) fn check_budget(written: &BudgetSection, path: &str, problems: &mut Problems) -> OwnBudget {
    const TIME: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_secs(1);
    const MEMORY: RangeInclusive<usize> = 64 << 10..=4 << 30;
    const STORE: RangeInclusive<usize> = 0..=1 << 30;
    let time = written.time.map(|time| time.0);
    if let Some(time) = time.filter(|time| !TIME.contains(time)) {
        let what = format!("is {}", humantime::format_duration(time));
        problems.error(&join(path, "time"), what, "100us to 1s: a worker waits that long");
    }
    let mut size = |size: Option<Size>, key: &str, accepted: &RangeInclusive<usize>| {
        if let Some(size) = size.filter(|size| !accepted.contains(&size.0)) {
            let accepted = format!("{} to {}", Size(*accepted.start()), Size(*accepted.end()));
            problems.error(&join(path, key), format!("is {size}"), accepted);
        }
        size.map(|size| size.0)
    };
    OwnBudget {
        time,
        memory: size(written.memory, "memory", &MEMORY),
        store: size(written.store, "store", &STORE),
    }
}

pub(super) fn json_table(table: &toml::Table, path: &str, problems: &mut Problems) -> Json {
    let each = table.iter().map(|(key, value)| {
        let value = json(value, &join(path, key), problems);
        (key.clone(), value)
    });
    Json::Object(each.collect())
}

fn json(value: &Value, path: &str, problems: &mut Problems) -> Json {
    match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => serde_json::Number::from_f64(*number).map_or_else(
            || {
                problems.error(path, format!("is {number}"), "a finite number");
                Json::Null
            },
            Json::Number,
        ),
        Value::Boolean(word) => Json::from(*word),
        // JSON has no times; filters get the text that was written.
        Value::Datetime(time) => Json::from(time.to_string()),
        Value::Array(list) => {
            let each = list.iter().enumerate();
            each.map(|(i, value)| json(value, &format!("{path}[{i}]"), problems))
                .collect()
        }
        Value::Table(table) => json_table(table, path, problems),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::request as rq;

    #[test]
    fn everything_that_can_be_said_is_understood() {
        let text = "mode = 'shadow'\non_error = 'open'\ngrants = ['store', 'limit']\n\
                    [config]\nrate = 5\nsince = 2024-01-01\nratio = 0.5\nrules = [{ topic = 'a', allow = true }]\n\
                    [scope]\ntopics = 'orders-*'\naddresses = ['10.0.0.0/8', '::1']\n\
                    codes = ['SEND_MESSAGE_V2', 11]\n\
                    [budget]\ntime = '5ms'\nmemory = '32 MiB'\nstore = 0\n";
        let sidecar = check("20-a.toml", text).unwrap();
        let config = r#"{"rate":5,"since":"2024-01-01","ratio":0.5,"rules":[{"topic":"a","allow":true}]}"#;
        assert_eq!(sidecar.config, serde_json::from_str::<Json>(config).unwrap());
        assert_eq!(sidecar.mode, Some(Mode::Shadow));
        assert_eq!(sidecar.on_error, Some(Policy::Open));
        assert_eq!(sidecar.grants, Some(vec!["store".to_owned(), "limit".to_owned()]));
        assert_eq!(sidecar.scope.codes, [rq::SEND_MESSAGE_V2, rq::PULL_MESSAGE]);
        assert_eq!(sidecar.scope.addresses.len(), 2);
        assert_eq!(sidecar.scope.topics.written(), ["orders-*"]);
        let budget = OwnBudget {
            time: Some(Duration::from_millis(5)),
            memory: Some(32 << 20),
            store: Some(0),
        };
        assert_eq!(sidecar.budget, budget);
    }

    #[test]
    fn saying_nothing_is_the_default() {
        assert_eq!(check("a.toml", "").unwrap(), Sidecar::default());
    }

    #[test]
    fn every_problem_has_its_place_and_what_would_be_accepted() {
        let text = "mod = 'off'\non_error = 'ajar'\n[scope]\naddresses = ['10.0.0']\ncodes = ['SEND_MESAGE']\n\
                    topic = 'a'\n[budget]\ntime = '2s'\nmemory = 1\n[config]\nx = nan";
        let problems = read("20-a.toml", text).unwrap_err();
        let lines: Vec<&str> = problems.lines().collect();
        assert_eq!(
            lines,
            [
                "mod (20-a.toml:1): is not a setting; accepted: mode (closest)",
                "on_error (20-a.toml:2): cannot be ajar; accepted: closed or open",
                "scope.addresses[0] (20-a.toml:4): is \"10.0.0\", which is no address; accepted: an address or a \
                 network, such as \"10.0.0.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"",
                "scope.codes[0] (20-a.toml:5): \"SEND_MESAGE\" names no request code; accepted: SEND_MESSAGE \
                 (closest); the name of a request code, or its number",
                "scope.topic (20-a.toml:6): is not a setting; accepted: topics (closest)",
                "budget.time (20-a.toml:8): is 2s; accepted: 100us to 1s: a worker waits that long",
                "budget.memory (20-a.toml:9): is 1 B; accepted: 64 KiB to 4 GiB",
                "config.x (20-a.toml:11): is NaN; accepted: a finite number",
            ]
        );
    }

    #[test]
    fn what_is_not_toml_says_where() {
        let problem = read("20-a.toml", "mode = \n").unwrap_err();
        assert!(problem.starts_with("20-a.toml:1:"), "{problem}");
    }
}
