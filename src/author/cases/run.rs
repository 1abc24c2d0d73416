//! Cases are run: each on a filter of its own, made for its configuration.

use serde_json::Value;

use super::{Case, Expect, Miss, Shown};
use crate::author::stand::{self, Decision, Setup, Stand, StandError};
use crate::author::storm;
use crate::protocol::{Code, Command, FLAG_ONEWAY};
use crate::wasm::{Expected, Host, Manifest, SelfTest};

/// Runs cases of one filter on one engine.
#[derive(Debug)]
pub struct Runner<'a> {
    host: &'a Host,
    setup: &'a Setup,
    /// Handed to the filter in place of what cases say.
    config: Option<Value>,
}

/// What came of a case.
#[derive(Debug)]
pub struct Ran {
    /// What was decided.
    pub decision: Decision,
    /// In what it is not as expected; nothing for a case that is fulfilled.
    pub misses: Vec<Miss>,
    /// Why clients would try again and again after this verdict.
    pub storm: Option<String>,
}

/// Why a case could not be run.
#[derive(Debug)]
pub struct Failed {
    /// What is wrong.
    pub why: StandError,
}

impl<'a> Runner<'a> {
    /// Runs cases of this filter; with a `config`, every case gets that one.
    pub fn new(host: &'a Host, setup: &'a Setup, config: Option<Value>) -> Self {
        Self { host, setup, config }
    }

    /// A stand for this case.
    ///
    /// # Errors
    /// [`StandError::Load`], as for a configuration that the filter does not take.
    pub fn stand(&self, case: &Case) -> Result<Stand, StandError> {
        let config = self.config.as_ref().unwrap_or(&case.config).clone();
        self.setup.clone().with_config(config).load_on(self.host)
    }

    /// Runs one.
    ///
    /// # Errors
    /// Why it could not be shown.
    pub fn run(&self, case: &Case) -> Result<Ran, Failed> {
        let failed = |why| Failed { why };
        let stand = self.stand(case).map_err(failed)?;
        let mut decision = case.show(&stand).map_err(failed)?;
        for _ in 1..case.times {
            decision = case.show(&stand).map_err(failed)?;
        }
        let storm = storm::after(&case.shown, &decision).filter(|_| !case.expect.retried);
        Ok(Ran {
            misses: case.expect.misses(&decision),
            storm,
            decision,
        })
    }
}

impl Case {
    /// Shows it to a filter once.
    ///
    /// # Errors
    /// [`StandError::Command`].
    pub fn show(&self, stand: &Stand) -> Result<Decision, StandError> {
        match &self.shown {
            Shown::Request(command) => stand.request(command, &self.client),
            Shown::Response { request, answer } => stand.response(request, answer, &self.client),
            Shown::Connection => Ok(stand.connect(&self.client)),
        }
    }
}

/// The self-tests of a manifest, as cases.
///
/// # Errors
/// A self-test that shows no command; which, and why.
pub fn of_manifest(manifest: &Manifest) -> Result<Vec<Case>, String> {
    let each = manifest.self_tests.iter();
    each.map(|test| of_test(test).map_err(|why| format!("self-test \"{}\": {why}", test.name)))
        .collect()
}

fn of_test(test: &SelfTest) -> Result<Case, String> {
    let shown = &test.request;
    let body = shown.body.clone().unwrap_or_default();
    let mut command = Command::request(Code(shown.code), 1).with_body(body);
    for (name, value) in &shown.fields {
        command.set_field(name, value.as_str());
    }
    if shown.oneway {
        command.flag |= FLAG_ONEWAY;
    }
    let mut client = stand::client();
    if let Some(ip) = &shown.client.ip {
        let ip = ip
            .parse()
            .map_err(|_not_an_address| format!("client.ip: `{ip}` is no address"))?;
        client.peer.set_ip(ip);
    }
    if let Some(listener) = &shown.client.listener {
        client.listener = listener.as_str().into();
    }
    client.user = shown.client.user.as_deref().map(Into::into);
    client.client_id = shown.client.id.as_deref().map(Into::into);
    let (verdict, code) = match test.expect {
        Expected::Forward => ("forward", None),
        Expected::Answer(code) => ("answer", Some(Code(code))),
        Expected::Delay => ("delay", None),
        Expected::Drop => ("drop", None),
        Expected::Close => ("close", None),
    };
    Ok(Case {
        name: test.name.clone(),
        config: test.config.clone(),
        client,
        times: 1,
        shown: Shown::Request(command),
        expect: Expect {
            verdict: Some(verdict),
            code,
            ..Expect::default()
        },
    })
}
