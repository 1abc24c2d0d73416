//! A manifest's own tests, run on the host of tests.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Request, load};
use crate::{Requests, Verdict};

/// What travels in the artefact as custom section `gimbal:manifest`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    version: String,
    description: String,
    config: Value,
    imports: Vec<String>,
    on_error: OnError,
    #[serde(default)]
    self_tests: Vec<SelfTest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnError {
    Closed,
    Open,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfTest {
    name: String,
    #[serde(default)]
    config: Value,
    request: Shown,
    expect: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    code: i32,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    oneway: bool,
    #[serde(default)]
    client: From,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    ip: Option<String>,
    user: Option<String>,
    id: Option<String>,
    listener: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Forward,
    Answer(i32),
    Delay,
    Drop,
    Close,
}

/// Checks a filter's manifest: that it can be read, has the name and version of the crate, and that its self-tests hold.
/// One line of a filter's tests: `check_manifest::<MyFilter>(include_str!("../manifest.json"), "my-filter", "0.1.0")`.
///
/// # Panics
/// When it does not hold, with what does not.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn check<F: Requests>(manifest: &str, name: &str, version: &str) {
    let manifest: Manifest = match crate::config::parse(manifest) {
        Ok(manifest) => manifest,
        Err(error) => panic!("manifest.json: {error}"),
    };
    assert_eq!(manifest.name, name, "manifest.json: name");
    assert_eq!(manifest.version, version, "manifest.json: version");
    assert!(!manifest.description.is_empty(), "manifest.json: description");
    assert!(
        manifest.config.is_object(),
        "manifest.json: config is a JSON schema"
    );
    let known = [
        "command", "messages", "names", "client", "store", "limit", "log", "metrics", "clock", "random",
    ];
    for import in &manifest.imports {
        assert!(
            known.contains(&import.as_str()),
            "manifest.json: there is no interface `{import}`"
        );
    }
    assert!(matches!(manifest.on_error, OnError::Closed | OnError::Open));
    for test in manifest.self_tests {
        let name = test.name;
        let config = if test.config.is_null() {
            json!({})
        } else {
            test.config
        };
        let filter = match load::<F>(config) {
            Ok(filter) => filter,
            Err(error) => panic!("self-test `{name}`: {error}"),
        };
        let outcome = filter.request(test.request.into_request());
        assert!(
            test.expect.holds(&outcome),
            "self-test `{name}`: {:?}, not {:?}",
            outcome.verdict,
            test.expect
        );
    }
}

impl Shown {
    fn into_request(self) -> Request {
        let mut request = Request::new(self.code);
        if crate::code::SENDS.contains(&self.code) {
            let text = find_properties(&self.fields);
            request = request.body(self.body.unwrap_or_default());
            for (name, value) in text {
                request = request.property(&name, &value);
            }
        } else {
            request = request.body(self.body.unwrap_or_default());
        }
        for (name, value) in &self.fields {
            request = request.field(name, value);
        }
        request.is_oneway |= self.oneway;
        let client = self.client;
        request.client.ip = client.ip.unwrap_or_else(|| "127.0.0.1".to_owned());
        request.client.listener = client.listener.unwrap_or(request.client.listener);
        (request.client.user, request.client.id) = (client.user, client.id);
        request
    }
}

/// The message properties of a send: its field `properties` or `i` holds them as `name U+0001 value U+0002` ...
fn find_properties(fields: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let text = fields.get("i").or_else(|| fields.get("properties"));
    text.map(|text| {
        text.split('\u{2}')
            .filter_map(|pair| pair.split_once('\u{1}'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    })
    .unwrap_or_default()
}

impl Expected {
    fn holds(&self, outcome: &Outcome) -> bool {
        match (self, &outcome.verdict) {
            (Self::Forward, Verdict::Forward)
            | (Self::Delay, Verdict::Delay(_))
            | (Self::Drop, Verdict::Drop)
            | (Self::Close, Verdict::Close(_)) => true,
            (Self::Answer(code), Verdict::Answer(answer)) => *code == answer.code,
            _ => false,
        }
    }
}
