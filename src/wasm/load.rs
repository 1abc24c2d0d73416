//! Loading, step by step; each step says what was wrong and what would be accepted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::info;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::gimbal::filter::{connections, lifecycle, requests, responses};
use super::cache::hex;
use super::componentize::{self, EXPORTS, Form, PACKAGE, VERSION};
use super::ctx::{Ctx, Shared};
use super::engine::Host;
use super::guest::Guest;
use super::instance::{Exports, Plan, Stillborn};
use super::manifest::{Manifest, OnError};
use super::words::Voice;
use super::{grants, interests, selftest};
use crate::filter::{About, Failure, Filter, LoadError, Loaded, Source, State};

/// What the start and `init` may take at load: a language runtime starts here, on a machine that may be busy.
const INIT_TIME: Duration = Duration::from_secs(5);
/// Bytes of a file that takes seconds to compile, which is said before.
const BIG: usize = 1 << 20;
/// Problems of a configuration that are named.
const PROBLEMS: usize = 20;

/// Loads one filter.
pub(super) fn load(host: &Host, source: &Source) -> Result<Loaded, LoadError> {
    let mut steps = Steps::new();
    let digest = hex(&Sha256::digest(&source.bytes));
    let form = componentize::inspect(&source.bytes)?;
    let manifest =
        Manifest::find(&source.bytes).map_err(|error| wrong("read", error.what, error.accepted))?;
    steps.done("read");
    let (component, was_cached) = component(host, (&source.name, &source.bytes), form, &digest, &mut steps)?;
    let linked = link(host, &component, manifest.as_ref(), source.grants.as_deref())?;
    steps.done("grants");
    check_config(manifest.as_ref(), &source.config)?;
    steps.done("config");
    let maker = Maker {
        host,
        linked: &linked,
        source,
    };
    let guest = maker.guest(&source.config, Arc::clone(&source.state))?;
    steps.done("init");
    if let Some(manifest) = manifest.as_ref().filter(|_| host.bench.is_none()) {
        selftest::run(manifest, &|config: &Value| {
            check_config(Some(manifest), config)?;
            maker.guest(config, Arc::new(State::default()))
        })?;
        steps.done("self-test");
    }
    let about = About {
        digest,
        title: manifest.as_ref().map(|manifest| manifest.name.clone()),
        version: manifest.as_ref().map(|manifest| manifest.version.clone()),
        description: manifest
            .as_ref()
            .and_then(|manifest| manifest.description.clone()),
        policy: manifest
            .as_ref()
            .and_then(|manifest| manifest.on_error)
            .map(OnError::into),
        interests: guest.interests().iter().map(interests::line).collect(),
        grants: linked.granted,
        was_cached,
        steps: steps.taken,
    };
    Ok(Loaded {
        filter: Arc::new(guest),
        about,
    })
}

fn wrong(step: &'static str, what: impl Into<String>, accepted: impl Into<String>) -> LoadError {
    LoadError {
        step,
        what: what.into(),
        accepted: accepted.into(),
    }
}

/// How long each step takes.
struct Steps {
    last: Instant,
    taken: Vec<(&'static str, Duration)>,
}

impl Steps {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            taken: Vec::new(),
        }
    }

    fn done(&mut self, step: &'static str) {
        let now = Instant::now();
        self.taken.push((step, now.saturating_duration_since(self.last)));
        self.last = now;
    }
}

/// The compiled component of a file, and whether it came from the cache.
fn component(
    host: &Host,
    (name, bytes): (&str, &[u8]),
    form: Form,
    digest: &str,
    steps: &mut Steps,
) -> Result<(Component, bool), LoadError> {
    if let Some(component) = host.bench.as_ref().and_then(|bench| bench.find(digest)) {
        steps.done("compile");
        return Ok((component, true));
    }
    let found = host
        .cache
        .as_ref()
        .and_then(|cache| cache.find(&host.engine, digest));
    if let Some(component) = found {
        host.keep(digest, &component);
        steps.done("compile");
        return Ok((component, true));
    }
    let made = match form {
        Form::Component => None,
        Form::Module => Some(componentize::componentize(bytes)?),
    };
    steps.done("componentize");
    if bytes.len() >= BIG {
        let megabytes = bytes.len() >> 20;
        info!(filter = %name, "compiling it, {megabytes} MB: this takes seconds, once");
    }
    let component =
        Component::from_binary(&host.engine, made.as_deref().unwrap_or(bytes)).map_err(|error| {
            let accepted =
                "a valid component or core module without threads, shared memory or 64-bit memories";
            wrong("compile", format!("it cannot be compiled: {error:#}"), accepted)
        })?;
    if let Some(cache) = &host.cache {
        cache.keep(&component, digest);
    }
    host.keep(digest, &component);
    steps.done("compile");
    Ok((component, false))
}

/// A component with what it may call.
struct Linked {
    pre: InstancePre<Ctx>,
    granted: Vec<String>,
}

fn link(
    host: &Host,
    component: &Component,
    manifest: Option<&Manifest>,
    operator: Option<&[String]>,
) -> Result<Linked, LoadError> {
    let engine = &host.engine;
    let ty = component.component_type();
    let exports = ty.exports(engine);
    let instances = exports.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)));
    componentize::check_exports(&instances.map(|(name, _)| name.to_owned()).collect())?;
    let imported = grants::imports(component, engine);
    let granted = grants::decide(manifest, &imported, operator)?;
    let linked =
        grants::linker(engine, component, &granted).and_then(|linker| linker.instantiate_pre(component));
    let pre = linked.map_err(|error| {
        let accepted = format!("imports as `gimbal wit` prints them, version {VERSION}");
        wrong(
            "imports",
            format!("what it imports does not fit: {error:#}"),
            accepted,
        )
    })?;
    Ok(Linked { pre, granted })
}

/// Where the component keeps what it exports; an interface that is there and does not fit is an error.
fn exports(engine: &Engine, pre: &InstancePre<Ctx>) -> Result<Exports, LoadError> {
    let ty = pre.component().component_type();
    let has = |name: &str| {
        ty.get_export(engine, &format!("{PACKAGE}/{name}@{VERSION}"))
            .is_some()
    };
    let misfit = |error: wasmtime::Error| {
        let accepted = format!(
            "{} as `gimbal wit` prints them, version {VERSION}",
            EXPORTS.join(", ")
        );
        wrong(
            "exports",
            format!("what it exports does not fit: {error:#}"),
            accepted,
        )
    };
    let [_, on_requests, on_responses, on_connections] = EXPORTS.map(has);
    Ok(Exports {
        lifecycle: lifecycle::GuestIndices::new(pre).map_err(misfit)?,
        requests: on_requests
            .then(|| requests::GuestIndices::new(pre))
            .transpose()
            .map_err(misfit)?,
        responses: on_responses
            .then(|| responses::GuestIndices::new(pre))
            .transpose()
            .map_err(misfit)?,
        connections: on_connections
            .then(|| connections::GuestIndices::new(pre))
            .transpose()
            .map_err(misfit)?,
    })
}

/// What would have been accepted of an `init` that failed.
fn accepted_of_init(failure: &Failure) -> String {
    match failure {
        Failure::NotGranted(what) => {
            let interface = what
                .split_once('.')
                .map_or(what.as_str(), |(interface, _)| interface);
            format!(
                "grants, and a manifest if there is one, with `{interface}`; or an `init` that does not call it"
            )
        }
        _ => "an `init` that returns interests, or an error for people to read".to_owned(),
    }
}

/// Every problem of a configuration, by its place in it.
fn check_config(manifest: Option<&Manifest>, config: &Value) -> Result<(), LoadError> {
    let Some(schema) = manifest.and_then(|manifest| manifest.config.as_ref()) else {
        return Ok(());
    };
    let validator = jsonschema::validator_for(schema).map_err(|error| {
        let what = format!(
            "the manifest: config is no JSON Schema: {}: {error}",
            place(error.instance_path().as_str())
        );
        wrong("read", what, "a JSON Schema")
    })?;
    let problems: Vec<String> = validator
        .iter_errors(config)
        .take(PROBLEMS)
        .map(|error| format!("{}: {error}", place(error.instance_path().as_str())))
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(wrong(
        "config",
        problems.join("; "),
        "a config that fits the filter's schema",
    ))
}

/// `config.rules[0].rate` of `/rules/0/rate`.
fn place(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1);
    parts.fold("config".to_owned(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_name) => format!("{path}.{}", part.replace("~1", "/").replace("~0", "~")),
    })
}

/// Makes guests of one file with several configurations.
struct Maker<'a> {
    host: &'a Host,
    linked: &'a Linked,
    source: &'a Source,
}

impl Maker<'_> {
    fn guest(&self, config: &Value, state: Arc<State>) -> Result<Guest, LoadError> {
        let plan = Plan {
            pre: self.linked.pre.clone(),
            exports: exports(&self.host.engine, &self.linked.pre)?,
            shared: Arc::new(Shared {
                name: Arc::clone(&self.source.name),
                state,
                quota: self.source.budget.store,
                voice: Voice::default(),
            }),
            config: match config {
                Value::Null => "{}".to_owned(),
                config => config.to_string(),
            },
            budget: self.source.budget,
            ticker: Arc::clone(&self.host.ticker),
            is_metered: self.host.bench.as_ref().is_some_and(|bench| bench.is_metered),
        };
        let (first, wants) = plan.make(INIT_TIME).map_err(|why| match why {
            Stillborn::Instantiate(failure) => wrong(
                "instantiate",
                failure.to_string(),
                "a guest that starts within its budget",
            ),
            Stillborn::Init(failure) => wrong("init", failure.to_string(), accepted_of_init(&failure)),
            Stillborn::Refused(text) => wrong("init", text, ""),
        })?;
        let interests = interests::read(wants, plan.exports.hooks())
            .map_err(|(what, accepted)| wrong("init", what, accepted))?;
        Ok(Guest::new(plan, interests, first))
    }
}
