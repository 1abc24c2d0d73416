//! Delays, fails, drops or disconnects a share of the commands, to see what clients make of it.

use gimbal_sdk::prelude::*;
use gimbal_sdk::random;

/// The sidecar's `config` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Nothing happens without it.
    #[serde(default)]
    pub enabled: bool,
    /// The first rule that strikes decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A fault, and whom it may strike. What a rule does not name is any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    name: Option<String>,
    percent: f64,
    fault: Fault,
    #[serde(default)]
    codes: Vec<Code>,
    #[serde(default)]
    topics: Patterns,
    #[serde(default)]
    groups: Patterns,
    #[serde(default)]
    users: Patterns,
    #[serde(default)]
    clients: Patterns,
    #[serde(default)]
    addresses: Networks,
}

/// What happens to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// It is held for so many milliseconds.
    DelayMs(u32),
    /// It is answered with this code; not if it is one-way.
    Error(Code),
    /// It is forgotten; only if it is one-way.
    Drop,
    /// Its connection is closed.
    Close,
}

/// The filter: its rules, none if it is not enabled.
#[derive(Debug)]
pub struct Chaos {
    rules: Vec<Rule>,
}

impl Filter for Chaos {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        for (at, rule) in config.rules.iter().enumerate() {
            let percent = rule.percent;
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!(
                    "config.rules[{at}].percent: {percent} is not between 0 and 100"
                ));
            }
            if rule.fault == Fault::Error(code::SUCCESS) {
                return Err(format!(
                    "config.rules[{at}].fault: 0 is a success; clients would believe it"
                ));
            }
        }
        let rules = if config.enabled { config.rules } else { Vec::new() };
        Ok(Self { rules })
    }

    fn interests(&self) -> Vec<Interest> {
        let interest = |rule: &Rule| {
            Interest::requests(rule.codes.clone())
                .topics(rule.topics.iter())
                .groups(rule.groups.iter())
        };
        if self.rules.is_empty() {
            return vec![Interest::nothing()];
        }
        self.rules.iter().map(interest).collect()
    }
}

impl Requests for Chaos {
    fn on_request(&self, command: &Command) -> Verdict {
        let mut rules = self.rules.iter().enumerate();
        let strikes = |(_, rule): &(usize, &Rule)| rule.is_about(command) && random::chance(rule.percent);
        let Some((at, rule)) = rules.find(strikes) else {
            return Verdict::Forward;
        };
        let name = rule.name.clone().unwrap_or_else(|| format!("rule {}", at + 1));
        metrics::count("struck", &[("rule", &name)], 1);
        match rule.fault {
            Fault::DelayMs(time) => Verdict::Delay(time),
            Fault::Error(code) => Verdict::answer(code, format!("chaos: {name}")),
            Fault::Drop => Verdict::Drop,
            Fault::Close => Verdict::Close(format!("chaos: {name}")),
        }
    }
}

impl Rule {
    fn is_about(&self, command: &Command) -> bool {
        let possible = match self.fault {
            Fault::Error(_) => !command.is_oneway(),
            Fault::Drop => command.is_oneway(),
            Fault::DelayMs(_) | Fault::Close => true,
        };
        let client = command.client();
        // Every name asked for is a call to the host: only what the rule is about is asked for.
        possible
            && (self.codes.is_empty() || self.codes.contains(&command.request_code()))
            && (self.topics.is_empty() || self.topics.fit(command.topic().as_deref()))
            && (self.groups.is_empty() || self.groups.fit(command.group().as_deref()))
            && (self.users.is_empty() || self.users.fit(client.user().as_deref()))
            && (self.clients.is_empty() || self.clients.fit(client.id().as_deref()))
            && (self.addresses.is_empty() || self.addresses.fit(&client.ip()))
    }
}

gimbal_sdk::export!(Chaos);

#[cfg(test)]
mod tests {
    use gimbal_sdk::Verdict;
    use gimbal_sdk::testing::{self, Loaded, Request, load, metric};
    use serde_json::{Value, json};

    use super::Chaos;

    fn chaos(rule: &Value) -> Loaded<Chaos> {
        load(json!({ "enabled": true, "rules": [rule] })).unwrap()
    }

    #[test]
    fn nothing_happens_unless_it_is_enabled() {
        let chaos: Loaded<Chaos> = load(json!({ "rules": [{ "percent": 100, "fault": "close" }] })).unwrap();
        assert!(!chaos.request(Request::send("orders")).seen);
        assert!(
            !load::<Chaos>(json!({}))
                .unwrap()
                .request(Request::send("orders"))
                .seen
        );
    }

    #[test]
    fn a_share_of_the_commands_is_struck() {
        let chaos = chaos(&json!({ "percent": 20, "fault": { "error": 2 } }));
        let struck = (0..2000)
            .filter(|_| chaos.request(Request::send("orders")).answer_code() == Some(2))
            .count();
        assert!((300..500).contains(&struck), "{struck} of 2000");
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let struck = struck as f64;
        assert!((metric("struck{rule=rule 1}") - struck).abs() < f64::EPSILON);
        for (percent, times) in [(0, 0), (100, 50)] {
            let chaos = self::chaos(&json!({ "percent": percent, "fault": { "delay_ms": 5 } }));
            let struck = (0..50)
                .filter(|_| chaos.request(Request::send("o")).verdict == Verdict::Delay(5))
                .count();
            assert_eq!(struck, times);
        }
    }

    #[test]
    fn a_rule_strikes_whom_it_names() {
        let chaos = chaos(&json!({
            "percent": 100, "fault": "close", "codes": [310], "topics": ["orders-*"], "addresses": ["10.0.0.0/8"],
        }));
        let struck =
            |request: Request| chaos.request(request).verdict == Verdict::Close("chaos: rule 1".to_owned());
        assert!(struck(Request::send("orders-eu").ip("10.0.0.1")));
        assert!(!struck(Request::send("bills").ip("10.0.0.1")));
        assert!(!struck(Request::send("orders-eu")));
        assert!(!struck(Request::pull("orders-eu", "g").ip("10.0.0.1")));
    }

    #[test]
    fn only_what_nobody_waits_for_is_dropped_and_only_the_rest_answered() {
        let drop = chaos(&json!({ "percent": 100, "fault": "drop" }));
        assert_eq!(
            drop.request(Request::send("orders").oneway()).verdict,
            Verdict::Drop
        );
        assert_eq!(drop.request(Request::send("orders")).verdict, Verdict::Forward);
        let error = chaos(&json!({ "percent": 100, "fault": { "error": 1 } }));
        assert_eq!(
            error.request(Request::send("orders").oneway()).verdict,
            Verdict::Forward
        );
        assert_eq!(error.request(Request::send("orders")).remark(), "chaos: rule 1");
    }

    #[test]
    fn a_wrong_configuration_says_what_is_wrong() {
        for (rule, error) in [
            (
                json!({ "percent": 101, "fault": "drop" }),
                "config.rules[0].percent: 101 is not between 0 and 100",
            ),
            (
                json!({ "percent": 1, "fault": { "error": 0 } }),
                "config.rules[0].fault: 0 is a success",
            ),
            (
                json!({ "percent": 1, "fault": "explode" }),
                "config.rules[0].fault: unknown variant `explode`",
            ),
            (
                json!({ "fault": "drop" }),
                "config.rules[0]: missing field `percent`",
            ),
        ] {
            let found = load::<Chaos>(json!({ "enabled": true, "rules": [rule] })).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn the_manifest_holds() {
        testing::check_manifest::<Chaos>(
            include_str!("../manifest.json"),
            "chaos",
            env!("CARGO_PKG_VERSION"),
        );
    }
}
