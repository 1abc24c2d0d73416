//! Everything that the folder's filters are made from and kept in: one look at the folder makes at most one chain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::accepted::{Accepted, Past};
use super::bytes::{cut_off, digest, read_module, read_sidecar};
use super::events::Events;
use super::kit::Kit;
use super::listing::{Entry, Listing, Sighting, look};
use super::news::News;
use super::settling::Settling;
use super::slot::{Attempt, Slot};
use super::status::Report;
use super::switch::SwitchError;
use super::{Options, Settings, Timing};
use crate::filter::{Chain, Counters, LoadError, Loader, State};

/// A file that may still be being written is looked at again after this.
const AGAIN: Duration = Duration::from_millis(100);

/// The folder's filters.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: PathBuf,
    timing: Timing,
    required: BTreeSet<String>,
    kit: Kit,
    slots: BTreeMap<String, Slot>,
    /// State of filters that were removed a moment ago.
    removed: BTreeMap<String, (Instant, Arc<State>, Arc<Counters>)>,
    settling: Settling,
    remarks: BTreeSet<String>,
    /// A filter was switched since the last look.
    is_switched: bool,
    events: Option<Events>,
}

/// What came of a look.
#[derive(Debug)]
pub(super) struct Looked {
    /// The chain to put in force, if it differs.
    pub(super) chain: Option<Chain>,
    pub(super) news: Vec<News>,
    pub(super) reports: Vec<Report>,
    /// Why the proxy is not ready.
    pub(super) unready: Vec<String>,
    /// Look again after this, whatever happens.
    pub(super) again: Duration,
}

/// When a look is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before anything serves.
    Start,
    /// While older versions serve.
    Running,
}

/// What came of looking at one filter, or at several.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Whether the chain changes.
    is_changed: bool,
    /// After which time more can be said.
    again: Option<Duration>,
}

impl Seen {
    fn and(self, other: Self) -> Self {
        Self {
            is_changed: self.is_changed || other.is_changed,
            again: self.again.into_iter().chain(other.again).min(),
        }
    }

    fn later(self, again: Duration) -> Self {
        Self {
            again: Some(again),
            ..self
        }
    }
}

impl Keeper {
    /// Takes charge of a folder; nothing is loaded yet.
    pub(super) fn new(options: Options, loader: Arc<dyn Loader>, events: Option<Events>) -> Self {
        let mut kit = Kit::new(loader, options.read_sidecar, options.settings.budget);
        if let Some(folder) = options.copies {
            let (copies, opened) = Accepted::open(&folder, &options.folder);
            kit.copies = Some(copies);
            if let Err(error) = opened {
                let folder = folder.display();
                let text = format!("copies of accepted filters in {folder} cannot be used: {error}");
                kit.news.push(News::Remark(text));
            }
        }
        Self {
            folder: options.folder,
            timing: options.timing,
            required: options.settings.required.into_iter().collect(),
            kit,
            slots: BTreeMap::new(),
            removed: BTreeMap::new(),
            settling: Settling::default(),
            remarks: BTreeSet::new(),
            is_switched: false,
            events,
        }
    }

    /// Works by other settings from the next look on.
    pub(super) fn set(&mut self, settings: Settings) {
        self.required = settings.required.into_iter().collect();
        self.kit.budget = settings.budget;
    }

    /// Takes a filter out of the chain, or puts it back, from the next look on.
    pub(super) fn switch(&mut self, name: &str, is_on: bool) -> Result<(), SwitchError> {
        let Some(slot) = self.slots.get_mut(name) else {
            return Err(SwitchError::Unknown(self.slots.keys().cloned().collect()));
        };
        if !is_on && self.required.contains(name) {
            return Err(SwitchError::Required);
        }
        self.is_switched |= slot.switch(is_on, &mut self.kit);
        Ok(())
    }

    /// Loads everything for the first time; where the folder holds nothing that works, what was accepted before.
    pub(super) fn start(&mut self) -> Looked {
        self.look(When::Start)
    }

    /// Looks for what has changed.
    pub(super) fn again(&mut self) -> Looked {
        self.look(When::Running)
    }

    fn look(&mut self, when: When) -> Looked {
        let now = Instant::now();
        let listing = look(&self.folder);
        if let Some(events) = &mut self.events {
            events.arm(listing.as_ref().ok());
        }
        let seen = match listing {
            Ok(listing) => {
                if when == When::Running && self.is_unsettled(&listing, now) {
                    return self.looked(false, self.timing.settle);
                }
                self.look_at(&listing, now, when)
            }
            Err(error) => self.look_at_nothing(&error, when),
        };
        let grace = self.timing.grace;
        self.removed
            .retain(|_, (since, ..)| now.duration_since(*since) < grace);
        let again = seen.again.unwrap_or(self.timing.poll).min(self.timing.poll);
        self.looked(seen.is_changed || when == When::Start, again)
    }

    fn look_at(&mut self, listing: &Listing, now: Instant, when: When) -> Seen {
        self.remark(listing.remarks.clone());
        let seen = listing.entries.iter().fold(Seen::default(), |seen, entry| {
            seen.and(self.visit(entry, now, when))
        });
        let names = listing.entries.iter().map(|entry| entry.name.as_str());
        seen.and(self.miss(&names.collect(), now, when))
    }

    /// A folder that cannot be read changes nothing; at the start, what was accepted before the restart serves.
    fn look_at_nothing(&mut self, error: &std::io::Error, when: When) -> Seen {
        let folder = self.folder.display();
        let text = format!("filter folder {folder} cannot be read: {error}; nothing changes until it can");
        self.remark(BTreeSet::from([text]));
        if when == When::Running {
            return Seen::default();
        }
        let copies = self.kit.copies.iter().flat_map(Accepted::names);
        let names: BTreeSet<String> = copies
            .map(str::to_owned)
            .chain(self.required.iter().cloned())
            .collect();
        for name in names {
            self.stand_in(&name);
        }
        Seen::default()
    }

    /// Whether to come back when files are no longer being written.
    fn is_unsettled(&mut self, listing: &Listing, now: Instant) -> bool {
        let mut changed: Vec<&Sighting> = Vec::new();
        for entry in &listing.entries {
            let read = self.slots.get(&entry.name).and_then(|slot| slot.read.as_ref());
            if read.is_none_or(|(wasm, _)| *wasm != entry.wasm) {
                changed.push(&entry.wasm);
            }
            let sidecar = entry.sidecar.as_ref();
            if let Some(sidecar) = sidecar.filter(|new| read.and_then(|(_, old)| old.as_ref()) != Some(new)) {
                changed.push(sidecar);
            }
        }
        self.settling.holds(&changed, self.timing.settle, now)
    }

    /// Looks at one filter that is there.
    fn visit(&mut self, entry: &Entry, now: Instant, when: When) -> Seen {
        let mut slot = self
            .slots
            .remove(&entry.name)
            .unwrap_or_else(|| self.new_slot(&entry.name));
        let seen = self.visit_slot(&mut slot, entry, now, when);
        self.slots.insert(entry.name.clone(), slot);
        seen
    }

    fn new_slot(&mut self, name: &str) -> Slot {
        let (state, counters) = match self.removed.remove(name) {
            Some((_, state, counters)) => (state, counters),
            None => (Arc::default(), Arc::default()),
        };
        Slot::new(name.into(), state, counters)
    }

    fn visit_slot(&mut self, slot: &mut Slot, entry: &Entry, now: Instant, when: When) -> Seen {
        let was_gone = slot.gone.take().is_some();
        let mut seen = Seen {
            is_changed: slot.takes_place(&entry.file, &mut self.kit),
            again: None,
        };
        let had_sidecar = slot.read.as_ref().is_some_and(|(_, sidecar)| sidecar.is_some());
        if entry.sidecar.is_none() && had_sidecar {
            // Editors take a file away for a moment before they put the new one there.
            let since = *slot.sidecar_gone.get_or_insert(now);
            let left = self.timing.removal.saturating_sub(now.duration_since(since));
            if !left.is_zero() {
                return seen.later(left);
            }
        }
        slot.sidecar_gone = None;
        let read = (entry.wasm.clone(), entry.sidecar.clone());
        let is_racy = |file: &Sighting| file.stamp.is_racy();
        let may_differ = slot.read.as_ref() != Some(&read)
            || is_racy(&entry.wasm)
            || entry.sidecar.as_ref().is_some_and(is_racy)
            || !slot.has_budget(self.kit.budget)
            || was_gone;
        if !may_differ {
            return seen;
        }
        if when == When::Running && !self.are_settled(entry, slot, now) {
            return seen.later(self.timing.settle);
        }
        let before = slot.read.replace(read);
        match self.load(slot, entry, now, when) {
            Ok(Some(is_changed)) => seen.is_changed |= is_changed,
            Ok(None) => {
                slot.read = before;
                return seen.later(AGAIN);
            }
            Err(error) => {
                if when == When::Start {
                    seen.is_changed |= slot.restore(&mut self.kit) || slot.refuse(&error, &mut self.kit);
                } else if slot.is_refused() {
                    seen.is_changed |= slot.refuse(&error, &mut self.kit);
                }
                slot.note(&error, &mut self.kit);
            }
        }
        seen
    }

    /// Whether the files of this filter that differ from those read last are no longer being written.
    fn are_settled(&mut self, entry: &Entry, slot: &Slot, now: Instant) -> bool {
        let (settle, settling) = (self.timing.settle, &mut self.settling);
        let read = slot.read.as_ref();
        let mut is_settled = |new: &Sighting, old: Option<&Sighting>| {
            old == Some(new) || settling.is_settled(new, settle, now)
        };
        let wasm = is_settled(&entry.wasm, read.map(|(wasm, _)| wasm));
        let old = read.and_then(|(_, sidecar)| sidecar.as_ref());
        wasm && entry.sidecar.as_ref().is_none_or(|new| is_settled(new, old))
    }

    /// Reads and loads; `None` when the file may still be being written.
    fn load(
        &mut self,
        slot: &mut Slot,
        entry: &Entry,
        now: Instant,
        when: When,
    ) -> Result<Option<bool>, LoadError> {
        let read = match &entry.sidecar {
            Some(file) => read_sidecar(&file.path).map(Some),
            None => Ok(None),
        };
        let read = read.and_then(|sidecar| Ok((sidecar, read_module(&entry.wasm.path)?)));
        // What cannot be read now may be readable later, and look the same.
        let (sidecar, bytes) = read.inspect_err(|_| slot.forget())?;
        let attempt = Attempt {
            digest: digest(&bytes),
            sidecar: sidecar.clone(),
            budget: self.kit.budget,
        };
        if slot.has_tried(&attempt) {
            return Ok(Some(false));
        }
        if let Some(what) = cut_off(&bytes) {
            let quiet = self.settling.quiet(&entry.wasm.path, now);
            let age = entry.wasm.stamp.age().unwrap_or_default();
            if when == When::Running && quiet.max(age) < self.timing.cut_off {
                return Ok(None);
            }
            slot.tries(attempt);
            return Err(LoadError {
                step: "read",
                what: format!("{} is cut off: {what}", entry.file),
                accepted: "a whole WebAssembly file; copy it again".to_owned(),
            });
        }
        let past = Past {
            file: entry.file.clone(),
            bytes,
            sidecar,
        };
        slot.attempt(attempt, &past, &mut self.kit).map(Some)
    }

    /// Looks after filters that are not there.
    fn miss(&mut self, present: &BTreeSet<&str>, now: Instant, when: When) -> Seen {
        let known: Vec<String> = self.slots.keys().cloned().collect();
        let gone = known.iter().filter(|name| !present.contains(name.as_str()));
        let seen = gone.fold(Seen::default(), |seen, name| seen.and(self.miss_one(name, now)));
        let absent: Vec<String> = self
            .required
            .iter()
            .filter(|name| !present.contains(name.as_str()) && !self.slots.contains_key(*name))
            .cloned()
            .collect();
        for name in absent {
            if when == When::Start {
                self.stand_in(&name);
            } else {
                // Nothing of it was ever in force here, so nothing is taken away.
                let mut slot = self.new_slot(&name);
                slot.note(&absence(&name), &mut self.kit);
                self.slots.insert(name, slot);
            }
        }
        if when == When::Start {
            self.forget_copies();
        }
        seen
    }

    fn miss_one(&mut self, name: &str, now: Instant) -> Seen {
        let is_required = self.required.contains(name);
        let Some(slot) = self.slots.get_mut(name) else {
            return Seen::default();
        };
        let is_news = slot.gone.is_none();
        let since = *slot.gone.get_or_insert(now);
        let left = self.timing.removal.saturating_sub(now.duration_since(since));
        if is_required {
            if is_news && !slot.file.is_empty() {
                self.kit.news.push(News::Required {
                    name: Arc::clone(&slot.name),
                    serving: slot.serving(),
                });
            }
            return Seen::default();
        }
        if !left.is_zero() {
            return Seen::default().later(left);
        }
        let Some(slot) = self.slots.remove(name) else {
            return Seen::default();
        };
        self.kit.news.push(News::Removed {
            name: Arc::clone(&slot.name),
        });
        let was_in_chain = slot.is_in_chain();
        self.removed
            .insert(name.to_owned(), (now, slot.state, slot.counters));
        self.forget_copies();
        Seen {
            is_changed: was_in_chain,
            again: None,
        }
    }

    /// At the start, something must stand for a filter whose file is not there: its last version, or a refusal.
    fn stand_in(&mut self, name: &str) {
        let mut slot = self.new_slot(name);
        let error = absence(name);
        if !slot.restore(&mut self.kit) {
            slot.refuse(&error, &mut self.kit);
        }
        slot.note(&error, &mut self.kit);
        // That it is missing has been told.
        slot.gone = self.required.contains(name).then(Instant::now);
        self.slots.insert(name.to_owned(), slot);
    }

    fn forget_copies(&mut self) {
        let (slots, required) = (&self.slots, &self.required);
        let keeps = |name: &str| slots.contains_key(name) || required.contains(name);
        if let Some(copies) = &mut self.kit.copies
            && let Err(error) = copies.retain(keeps)
        {
            let text = format!("copies of removed filters stay where they are: {error}");
            self.kit.news.push(News::Remark(text));
        }
    }

    /// Tells what is new among the remarks.
    fn remark(&mut self, remarks: BTreeSet<String>) {
        let new = remarks.difference(&self.remarks).cloned();
        self.kit.news.extend(new.map(News::Remark));
        self.remarks = remarks;
    }

    fn looked(&mut self, is_changed: bool, again: Duration) -> Looked {
        let is_switched = std::mem::take(&mut self.is_switched);
        let chain = (is_changed || is_switched).then(|| {
            self.kit.generation = self.kit.next_generation();
            let mut slots: Vec<&Slot> = self.slots.values().collect();
            slots.sort_by_key(|slot| &slot.file);
            let members = slots.into_iter().filter_map(Slot::member).collect();
            Chain::new(self.kit.generation, members)
        });
        Looked {
            chain,
            news: std::mem::take(&mut self.kit.news),
            reports: self.slots.values().map(Slot::report).collect(),
            unready: self.slots.values().filter_map(Slot::refuses).collect(),
            again,
        }
    }
}

fn absence(name: &str) -> LoadError {
    LoadError {
        step: "read",
        what: format!("no file of the filter {name:?} is there, and it is required"),
        accepted: format!("{name}.wasm, with or without an order number, as in 20-{name}.wasm"),
    }
}
