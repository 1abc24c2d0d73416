//! Commands that a filter says how it decides about, shown to it when it is loaded.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::guest::Guest;
use super::manifest::{Expected, Manifest, SelfTest, Shown};
use crate::filter::{Chain, Client, Counters, LoadError, Member, Mode, Outcome, Policy, Scope, Subject, Way};
use crate::protocol::{Code, Command, FLAG_ONEWAY, FRAME_LIMIT, Head};

/// The longest delay that shown commands allow.
const MAX_DELAY: Duration = Duration::from_secs(15);

/// Runs every self-test, each on a filter made for its configuration, with a state of its own.
pub(super) fn run(
    manifest: &Manifest,
    make: &dyn Fn(&Value) -> Result<Guest, LoadError>,
) -> Result<(), LoadError> {
    for test in &manifest.self_tests {
        let failed = |what: String| LoadError {
            step: "self-test",
            what: format!("self-test \"{}\": {what}", test.name),
            accepted: "verdicts as the manifest promises them".to_owned(),
        };
        let guest = make(&test.config).map_err(|error| failed(error.to_string()))?;
        let subject = subject(&test.request).map_err(failed)?;
        let got = decide(test, guest, subject).map_err(failed)?;
        if got != test.expect {
            return Err(failed(format!("expected {}, got {got}", test.expect)));
        }
    }
    Ok(())
}

/// What the filter decides, as a chain of it alone would follow it.
fn decide(test: &SelfTest, guest: Guest, subject: Subject) -> Result<Expected, String> {
    let counters = Arc::new(Counters::default());
    let chain = Chain::new(
        0,
        vec![Member {
            name: test.name.as_str().into(),
            id: 0,
            filter: Arc::new(guest),
            scope: Scope::default(),
            mode: Mode::Enforce,
            policy: Policy::Closed,
            counters: Arc::clone(&counters),
        }],
    );
    let outcome = chain.decide(Box::new(subject), 0);
    if let Some((_, failure)) = counters.last_failure() {
        return Err(failure);
    }
    Ok(match outcome {
        Outcome::Forward(_) => Expected::Forward,
        Outcome::Answer { answer, .. } => Expected::Answer(answer.code.0),
        Outcome::Delay { .. } => Expected::Delay,
        Outcome::Drop(_) => Expected::Drop,
        Outcome::Close { .. } => Expected::Close,
    })
}

fn subject(shown: &Shown) -> Result<Subject, String> {
    let code = Code(shown.code);
    let mut command = Command::request(code, 1).with_body(shown.body.clone().unwrap_or_default());
    for (name, value) in &shown.fields {
        command.set_field(name, value.as_str());
    }
    if shown.oneway {
        command.flag |= FLAG_ONEWAY;
    }
    let frame = command.encode().map_err(|error| error.to_string())?;
    let head = Head::scan(&frame).map_err(|error| error.to_string())?;
    let ip = match &shown.client.ip {
        Some(text) => text
            .parse()
            .map_err(|_not_an_address| format!("client.ip: `{text}` is no address"))?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let listener = shown.client.listener.as_deref().unwrap_or("default");
    let mut client = Client::new(SocketAddr::new(ip, 40_000), listener.into(), 1);
    client.user = shown.client.user.as_deref().map(Arc::from);
    client.client_id = shown.client.id.as_deref().map(Arc::from);
    let way = if is_of_brokers(code) {
        Way::Push
    } else {
        Way::Request
    };
    Ok(Subject::request(way, head, frame, Arc::new(client)).with_limits(MAX_DELAY, FRAME_LIMIT))
}

/// Codes that brokers send to clients.
fn is_of_brokers(code: Code) -> bool {
    matches!(code.0, 39 | 40 | 220 | 221 | 307 | 309 | 326)
}
