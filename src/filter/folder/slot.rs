//! One filter of the folder: what serves, what was tried, and what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::accepted::Past;
use super::bytes::digest;
use super::kit::Kit;
use super::listing::Sighting;
use super::news::News;
use super::refusal::Refusal;
use super::sidecar::Sidecar;
use super::status::{Counts, Event, Outcome, Report, Serving, Status, Trouble, mode_name, policy_name};
use crate::filter::{
    Budget, Counters, Filter, LoadError, Loaded, Loader, Member, Mode, Policy, Scope, Source, State,
};

/// Lines of history kept.
const REMEMBERED: usize = 20;

/// One filter, by its name.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: Arc<str>,
    /// Its file name, which is its place in the order; empty when none was ever seen.
    pub(super) file: String,
    pub(super) state: Arc<State>,
    pub(super) counters: Arc<Counters>,
    /// The files as they were when they were read last.
    pub(super) read: Option<(Sighting, Option<Sighting>)>,
    /// Since when there is no file of it.
    pub(super) gone: Option<Instant>,
    /// Since when there is no sidecar, although there was one.
    pub(super) sidecar_gone: Option<Instant>,
    /// What was tried last.
    tried: Option<Attempt>,
    version: Option<Version>,
    refusal: Option<(Arc<Refusal>, Scope, u64)>,
    is_off: bool,
    /// An operator took it out of the chain.
    is_disabled: bool,
    trouble: Option<Trouble>,
    history: VecDeque<Outcome>,
}

/// Everything that decides how loading ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    pub(super) digest: String,
    pub(super) sidecar: Option<String>,
    pub(super) budget: Budget,
}

/// A version in force.
#[derive(Debug)]
struct Version {
    id: u64,
    loaded: Loaded,
    inputs: Inputs,
    sidecar: Sidecar,
    is_from_before: bool,
    generation: u64,
    since: SystemTime,
}

/// What an instance is made from: while it is the same, so are the instances.
#[derive(Debug, Clone, PartialEq)]
struct Inputs {
    digest: String,
    config: serde_json::Value,
    budget: Budget,
    grants: Option<Vec<String>>,
}

impl Slot {
    pub(super) fn new(name: Arc<str>, state: Arc<State>, counters: Arc<Counters>) -> Self {
        Self {
            name,
            file: String::new(),
            state,
            counters,
            read: None,
            gone: None,
            sidecar_gone: None,
            tried: None,
            version: None,
            refusal: None,
            is_off: false,
            is_disabled: false,
            trouble: None,
            history: VecDeque::new(),
        }
    }

    /// Whether this was tried already; it would end as it did.
    pub(super) fn has_tried(&self, attempt: &Attempt) -> bool {
        self.tried.as_ref() == Some(attempt)
    }

    /// Whether it was tried with this default budget.
    pub(super) fn has_budget(&self, budget: Budget) -> bool {
        self.tried.as_ref().is_none_or(|tried| tried.budget == budget)
    }

    /// Whether anything stands in the chain for it.
    pub(super) fn is_in_chain(&self) -> bool {
        self.version.is_some() || self.refusal.is_some()
    }

    /// Whether it keeps the proxy from being ready, and why.
    pub(super) fn refuses(&self) -> Option<String> {
        let text = self.trouble.as_ref().map_or("", |trouble| trouble.text.as_str());
        self.refusal.as_ref().filter(|_| !self.is_disabled)?;
        Some(format!("filter {} was never loaded: {text}", self.name))
    }

    /// Forgets what was read and tried: the next look tries again.
    pub(super) fn forget(&mut self) {
        (self.read, self.tried) = (None, None);
    }

    /// Notes an attempt that ended before anything was loaded.
    pub(super) fn tries(&mut self, attempt: Attempt) {
        self.tried = Some(attempt);
    }

    /// Takes another place in the order; whether that changes the chain.
    pub(super) fn takes_place(&mut self, file: &str, kit: &mut Kit) -> bool {
        if self.file == file {
            return false;
        }
        let is_moved = self.is_in_chain() && !self.file.is_empty();
        file.clone_into(&mut self.file);
        if is_moved {
            self.remember(Event::Changed, kit.next_generation(), "");
            kit.news.push(News::Changed {
                name: Arc::clone(&self.name),
                file: self.file.clone(),
            });
        }
        is_moved
    }

    /// Tries what the folder holds; whether that changes the chain. On failure everything stays as it is.
    pub(super) fn attempt(
        &mut self,
        attempt: Attempt,
        past: &Past,
        kit: &mut Kit,
    ) -> Result<bool, LoadError> {
        let digest = attempt.digest.clone();
        let is_other = self
            .tried
            .as_ref()
            .is_none_or(|tried| (&tried.digest, &tried.sidecar) != (&attempt.digest, &attempt.sidecar));
        self.tried = Some(attempt);
        let sidecar = kit.sidecar(&self.file, past.sidecar.as_deref())?;
        let changed = self.take(past, digest, sidecar, kit)?;
        if let Some(copies) = &mut kit.copies
            && let Err(error) = copies.keep(&self.name, past)
        {
            kit.news.push(News::Remark(format!(
                "no copy of filter {} could be kept for the next start: {error}",
                self.name
            )));
        }
        self.trouble = None;
        // What was saved later than it was said counts for more.
        let is_back = is_other && self.switch(true, kit);
        Ok(changed || is_back)
    }

    /// Takes it out of the chain, or puts it back; whether it was otherwise before.
    pub(super) fn switch(&mut self, is_on: bool, kit: &mut Kit) -> bool {
        if self.is_disabled != is_on {
            return false;
        }
        self.is_disabled = !is_on;
        let event = if is_on { Event::Enabled } else { Event::Disabled };
        self.remember(event, kit.next_generation(), "");
        kit.news.push(News::Switched {
            name: Arc::clone(&self.name),
            is_on,
        });
        true
    }

    /// Puts this version in force, if it can be loaded; whether that changes the chain.
    fn take(
        &mut self,
        past: &Past,
        digest: String,
        sidecar: Sidecar,
        kit: &mut Kit,
    ) -> Result<bool, LoadError> {
        let Some(_mode) = sidecar.mode else {
            return Ok(self.switch_off(kit));
        };
        let inputs = Inputs {
            digest,
            config: sidecar.config.clone(),
            budget: sidecar.budget.over(kit.budget),
            grants: sidecar.grants.clone(),
        };
        self.is_off = false;
        if let Some(version) = &mut self.version
            && version.inputs == inputs
        {
            version.is_from_before = false;
            let differs = version.settings() != settings(&sidecar);
            version.sidecar = sidecar;
            if differs {
                self.remember(Event::Changed, kit.next_generation(), "");
                kit.news.push(News::Changed {
                    name: Arc::clone(&self.name),
                    file: self.file.clone(),
                });
            }
            return Ok(differs);
        }
        let began = Instant::now();
        let loaded = load(
            &*kit.loader,
            Source {
                name: Arc::clone(&self.name),
                bytes: past.bytes.clone(),
                config: inputs.config.clone(),
                budget: inputs.budget,
                grants: inputs.grants.clone(),
                state: Arc::clone(&self.state),
            },
        )?;
        kit.news.push(News::Loaded {
            name: Arc::clone(&self.name),
            file: past.file.clone(),
            version: loaded.about.version.clone(),
            digest: inputs.digest.clone(),
            took: began.elapsed(),
            was_cached: loaded.about.was_cached,
        });
        self.version = Some(Version {
            id: kit.next_id(),
            loaded,
            inputs,
            sidecar,
            is_from_before: false,
            generation: kit.next_generation(),
            since: SystemTime::now(),
        });
        self.refusal = None;
        self.remember(Event::Loaded, kit.next_generation(), "");
        Ok(true)
    }

    fn switch_off(&mut self, kit: &mut Kit) -> bool {
        let was_in_chain = self.is_in_chain();
        (self.version, self.refusal) = (None, None);
        if !self.is_off {
            self.is_off = true;
            self.remember(Event::Off, kit.next_generation(), "");
            kit.news.push(News::Off {
                name: Arc::clone(&self.name),
            });
        }
        was_in_chain
    }

    /// Puts the version accepted before the restart in force; whether there was one that can be loaded.
    pub(super) fn restore(&mut self, kit: &mut Kit) -> bool {
        let pasts = kit.copies.as_ref().map(|copies| copies.of(&self.name));
        for past in pasts.into_iter().flatten() {
            let taken = kit
                .sidecar(&past.file, past.sidecar.as_deref())
                .and_then(|sidecar| self.take(&past, digest(&past.bytes), sidecar, kit));
            match taken {
                Ok(_) => {
                    if self.file.is_empty() {
                        self.file = past.file;
                    }
                    if let Some(version) = &mut self.version {
                        version.is_from_before = true;
                    }
                    return true;
                }
                Err(error) => kit.news.push(News::Remark(format!(
                    "a version of filter {} that was accepted before cannot be loaded now: {error}",
                    self.name
                ))),
            }
        }
        false
    }

    /// Lets nothing through in its place, unless its operator says that it may fail.
    pub(super) fn refuse(&mut self, error: &LoadError, kit: &mut Kit) -> bool {
        let text = self.tried.as_ref().and_then(|tried| tried.sidecar.clone());
        let sidecar = kit.sidecar(&self.file, text.as_deref()).unwrap_or_default();
        let was_refused = self.refusal.take().is_some();
        if sidecar.mode != Some(Mode::Enforce) || sidecar.on_error == Some(Policy::Open) {
            return was_refused;
        }
        let refusal = Arc::new(Refusal::new(error.to_string()));
        self.refusal = Some((refusal, sidecar.scope, kit.next_id()));
        true
    }

    /// Whether a refusal stands in its place.
    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    /// Notes what was wrong; the same again is no news.
    pub(super) fn note(&mut self, error: &LoadError, kit: &mut Kit) {
        let trouble = Trouble::new(error);
        let is_known = self
            .trouble
            .as_ref()
            .is_some_and(|known| (known.step, &known.text) == (trouble.step, &trouble.text));
        if is_known {
            return;
        }
        self.trouble = Some(trouble);
        self.remember(Event::Failed, kit.generation, &error.to_string());
        kit.news.push(News::Failed {
            name: Arc::clone(&self.name),
            file: self.file.clone(),
            error: error.clone(),
            serving: self.serving(),
        });
    }

    fn remember(&mut self, event: Event, generation: u64, text: &str) {
        let tried = self.tried.as_ref().map(|tried| tried.digest.clone());
        if self.history.len() >= REMEMBERED {
            self.history.pop_front();
        }
        self.history.push_back(Outcome {
            when: SystemTime::now(),
            event,
            generation,
            digest: tried.unwrap_or_default(),
            text: text.to_owned(),
        });
    }

    /// What serves.
    pub(super) fn serving(&self) -> Serving {
        match &self.version {
            _ if self.is_disabled => Serving::Nothing,
            _ if self.refusal.is_some() => Serving::Refusal,
            None => Serving::Nothing,
            Some(version) if version.is_from_before => Serving::Accepted,
            Some(_) if self.trouble.is_some() || self.gone.is_some() => Serving::Kept,
            Some(_) => Serving::Current,
        }
    }

    /// Its place in the chain.
    pub(super) fn member(&self) -> Option<Member> {
        if self.is_disabled {
            return None;
        }
        let of = |id, filter, scope: &Scope, mode, policy| Member {
            name: Arc::clone(&self.name),
            id,
            filter,
            scope: scope.clone(),
            mode,
            policy,
            counters: Arc::clone(&self.counters),
        };
        if let Some((refusal, scope, id)) = &self.refusal {
            let filter: Arc<dyn Filter> = Arc::clone(refusal) as _;
            return Some(of(*id, filter, scope, Mode::Enforce, Policy::Closed));
        }
        let version = self.version.as_ref()?;
        let filter = Arc::clone(&version.loaded.filter);
        let mode = version.sidecar.mode?;
        Some(of(
            version.id,
            filter,
            &version.sidecar.scope,
            mode,
            version.policy(),
        ))
    }

    pub(super) fn report(&self) -> Report {
        let version = self.version.as_ref();
        let about = version.map(|version| &version.loaded.about);
        let mode = version.map(|version| version.sidecar.mode);
        let policy = version.map_or(Policy::Closed, Version::policy);
        let status = Status {
            name: self.name.to_string(),
            file: self.file.clone(),
            serving: self.serving(),
            is_disabled: self.is_disabled,
            title: about.and_then(|about| about.title.clone()),
            version: about.and_then(|about| about.version.clone()),
            description: about.and_then(|about| about.description.clone()),
            digest: version.map(|version| version.inputs.digest.clone()),
            generation: version.map(|version| version.generation),
            since: version.map(|version| version.since),
            mode: mode_name(mode.unwrap_or((!self.is_off).then_some(Mode::Enforce))),
            on_error: policy_name(policy),
            interests: about.map(|about| about.interests.clone()).unwrap_or_default(),
            grants: about.map(|about| about.grants.clone()).unwrap_or_default(),
            counters: Counts::default(),
            trouble: self.trouble.clone(),
            history: self.history.iter().cloned().collect(),
        };
        Report {
            status,
            counters: Arc::clone(&self.counters),
        }
    }
}

/// Loads; one file that brings the loader down is one file that cannot be loaded.
fn load(loader: &dyn Loader, source: Source) -> Result<Loaded, LoadError> {
    let loading = std::panic::AssertUnwindSafe(|| loader.load(source));
    std::panic::catch_unwind(loading).unwrap_or_else(|_panic| {
        Err(LoadError {
            step: "compile",
            what: "loading it panicked, which is a bug in Gimbal".to_owned(),
            accepted: "another build of the filter".to_owned(),
        })
    })
}

impl Version {
    fn policy(&self) -> Policy {
        let own = self.sidecar.on_error.or(self.loaded.about.policy);
        own.unwrap_or_default()
    }

    fn settings(&self) -> (&Scope, Option<Policy>, Option<Mode>) {
        settings(&self.sidecar)
    }
}

/// What can differ without new instances.
fn settings(sidecar: &Sidecar) -> (&Scope, Option<Policy>, Option<Mode>) {
    (&sidecar.scope, sidecar.on_error, sidecar.mode)
}
