//! What observers are told to do, from the configuration.

use wildmatch::WildMatch;

use crate::config::{AccessRule as Written, Config};
use crate::metrics::Collector;
use crate::telemetry::{AccessRule, AccessSettings, Outcome, Settings};

/// The settings of observers.
pub(super) fn settings(config: &Config) -> Settings {
    let otlp = &config.otlp;
    let headers = otlp.headers.iter();
    Settings {
        access: AccessSettings {
            path: config.access_log.path.clone(),
            sample: config.access_log.sample,
            rules: config.access_log.rules.iter().map(rule).collect(),
        },
        sample: config.tracing.sample,
        propagate: config.tracing.propagate,
        collector: Collector {
            endpoint: otlp.endpoint.clone(),
            headers: headers
                .map(|(name, secret)| (name.clone(), secret.0.clone()))
                .collect(),
            headers_file: otlp.headers_from.clone(),
            interval: otlp.interval,
            timeout: otlp.timeout,
        },
    }
}

fn rule(written: &Written) -> AccessRule {
    let patterns = |words: &[String]| words.iter().map(|word| WildMatch::new(word)).collect();
    let [topics, groups, clients, users] = &written.names;
    AccessRule {
        codes: written.codes.iter().map(|code| code.0).collect(),
        topics: patterns(topics),
        groups: patterns(groups),
        clients: patterns(clients),
        users: patterns(users),
        outcomes: written
            .outcomes
            .iter()
            .filter_map(|name| Outcome::named(name.as_str()))
            .collect(),
        sample: written.sample,
    }
}
