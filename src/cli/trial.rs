//! What `gimbal check` says about the filters of a folder.

use std::path::Path;

use crate::config::problem::Problem;
use crate::config::{Filters, sidecar};
use crate::filter::folder::{Found, Tried, try_all};
use crate::filter::{Loader, Mode, Policy};
use crate::wasm::Host;

/// What came of loading every filter.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// One block of lines for each filter that can be used.
    pub(super) usable: String,
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Loads every filter of the folder, if there is one.
pub(super) fn report(filters: &Filters) -> Report {
    let mut report = Report::default();
    let Some(folder) = &filters.folder else {
        return report;
    };
    // Nothing is kept: whoever checks may be another user than whoever runs.
    match Host::new(None) {
        Ok(host) => report.try_folder(folder, filters, &host),
        Err(why) => {
            let what = format!("cannot be tried here: {why}");
            let accepted = "a machine on which the engine for filters starts";
            report.errors.push(problem("filters", &what, accepted));
        }
    }
    report
}

impl Report {
    fn try_folder(&mut self, folder: &Path, filters: &Filters, loader: &dyn Loader) {
        // A folder that cannot be read was reported with the setting that names it.
        let Ok(trial) = try_all(folder, filters.budget, sidecar::read, loader) else {
            return;
        };
        for remark in trial.remarks {
            let (what, accepted) = remark.split_once("; accepted: ").unwrap_or((&remark, ""));
            let folder = folder.display().to_string();
            self.warnings.push(problem(&folder, what, accepted));
        }
        for tried in &trial.filters {
            self.add(tried);
        }
        let is_missing = |name: &String| trial.filters.iter().all(|tried| tried.name != *name);
        let required = filters.required.iter().enumerate();
        for (i, name) in required.filter(|(_, name)| is_missing(name)) {
            let what = format!("names {name:?}, and no such file is in {}", folder.display());
            let accepted = format!("{name}.wasm there, with or without a number, as in 20-{name}.wasm");
            let path = format!("filter.required[{i}]");
            self.errors.push(problem(&path, &what, &accepted));
        }
    }

    fn add(&mut self, tried: &Tried) {
        let error = match &tried.outcome {
            Ok(found) => {
                self.usable += &describe(&tried.file, found);
                return;
            }
            Err(error) => error,
        };
        let written = tried.sidecar.as_ref();
        if let Some(Err(problems)) = written.map(|(file, text)| sidecar::check(file, text)) {
            self.errors.extend(problems.errors);
        } else {
            let what = format!("{}: {}", error.step, error.what);
            self.errors.push(problem(&tried.file, &what, &error.accepted));
        }
    }
}

fn problem(path: &str, what: &str, accepted: &str) -> Problem {
    Problem {
        path: path.to_owned(),
        origin: None,
        what: what.to_owned(),
        accepted: accepted.to_owned(),
    }
}

fn describe(file: &str, found: &Found) -> String {
    let Found { about, mode, policy } = found;
    let version = about.version.as_deref().unwrap_or("without a version");
    let Some(mode) = mode else {
        return format!("{file}  off\n");
    };
    let mode = match mode {
        Mode::Enforce => "",
        Mode::Shadow => ", in shadow mode",
    };
    let policy = match policy {
        Policy::Closed => "closed",
        Policy::Open => "open",
    };
    let title = about
        .title
        .as_deref()
        .map(|title| format!("{title} "))
        .unwrap_or_default();
    let sees = about
        .interests
        .iter()
        .map(|interest| format!("  sees {interest}\n"));
    let calls = (!about.grants.is_empty()).then(|| format!("  may call {}\n", about.grants.join(", ")));
    let first = format!("{file}  {title}{version}, {policy} on error{mode}\n");
    std::iter::once(first).chain(sees).chain(calls).collect()
}
