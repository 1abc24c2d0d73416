//! Loading everything in a folder once, to see whether it can be: for checks before anything runs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::bytes::{cut_off, read_module, read_sidecar};
use super::listing::{Entry, look};
use super::sidecar::{Read, Sidecar, parse};
use crate::filter::{About, Budget, LoadError, Loader, Mode, Policy, Source};

/// What came of a folder.
#[derive(Debug)]
pub struct Trial {
    /// Each filter, in order.
    pub filters: Vec<Tried>,
    /// What is there and is not used, and why.
    pub remarks: Vec<String>,
}

/// What came of one filter.
#[derive(Debug)]
pub struct Tried {
    /// Its name.
    pub name: String,
    /// Its file's name.
    pub file: String,
    /// Name and text of its sidecar, if it has one that can be read.
    pub sidecar: Option<(String, String)>,
    /// What is known of it; an error says why it cannot be used.
    pub outcome: Result<Found, LoadError>,
}

/// A filter that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it says of itself; nothing of a filter that is off, which is not loaded.
    pub about: About,
    /// How its verdicts would count; `None` is off.
    pub mode: Option<Mode>,
    /// What its failures would do.
    pub policy: Policy,
}

/// Tries every filter in `folder`. Blocks, and compiles.
pub fn try_all(folder: &Path, budget: Budget, read: Read, loader: &dyn Loader) -> io::Result<Trial> {
    let listing = look(folder)?;
    let each = listing.entries.iter();
    Ok(Trial {
        filters: each.map(|entry| try_one(entry, budget, read, loader)).collect(),
        remarks: listing.remarks.into_iter().collect(),
    })
}

fn try_one(entry: &Entry, budget: Budget, read: Read, loader: &dyn Loader) -> Tried {
    let mut tried = Tried {
        name: entry.name.clone(),
        file: entry.file.clone(),
        sidecar: None,
        outcome: Ok(Found {
            about: About::default(),
            mode: None,
            policy: Policy::default(),
        }),
    };
    if let Some(file) = &entry.sidecar {
        match read_sidecar(&file.path) {
            Ok(text) => {
                let name = file.path.file_name().unwrap_or_default();
                tried.sidecar = Some((name.to_string_lossy().into_owned(), text));
            }
            Err(error) => tried.outcome = Err(error),
        }
    }
    if tried.outcome.is_ok() {
        let sidecar = match &tried.sidecar {
            Some((name, text)) => parse(read, name, text),
            None => Ok(Sidecar::default()),
        };
        tried.outcome = sidecar.and_then(|sidecar| load(entry, &sidecar, budget, loader));
    }
    tried
}

fn load(entry: &Entry, sidecar: &Sidecar, budget: Budget, loader: &dyn Loader) -> Result<Found, LoadError> {
    let found = |about: About| Found {
        mode: sidecar.mode,
        policy: sidecar.on_error.or(about.policy).unwrap_or_default(),
        about,
    };
    if sidecar.mode.is_none() {
        return Ok(found(About::default()));
    }
    let bytes = read_module(&entry.wasm.path)?;
    if let Some(what) = cut_off(&bytes) {
        return Err(LoadError {
            step: "read",
            what: format!("it is cut off: {what}"),
            accepted: "a whole WebAssembly file; copy it again".to_owned(),
        });
    }
    let loaded = loader.load(Source {
        name: entry.name.as_str().into(),
        bytes,
        config: sidecar.config.clone(),
        budget: sidecar.budget.over(budget),
        grants: sidecar.grants.clone(),
        state: Arc::default(),
    })?;
    Ok(found(loaded.about))
}
