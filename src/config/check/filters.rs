//! Where filters are and what they may use.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::super::Filters;
use super::super::file::File;
use super::super::problem::Problems;
use super::super::sidecar::check_budget;
use super::super::value::Size;
use crate::filter::Budget;
use crate::filter::folder::name_of;

/// Used without being named, where it is there.
const FOLDER: &str = "filters.d";
const BODY_LIMIT: RangeInclusive<usize> = 1 << 10..=1 << 30;

pub(super) fn check_filters(file: &File, state_dir: Option<&Path>, problems: &mut Problems) -> Filters {
    let written = &file.filter;
    let folder = check_folder(file.filters.as_deref(), problems);
    for (i, name) in written.required.0.iter().enumerate() {
        let bare = name_of(name);
        if name.is_empty() || name.contains('/') {
            let path = format!("filter.required[{i}]");
            problems.error(
                &path,
                format!("is {name:?}, which is no name"),
                "the name of a filter, such as \"acl\"",
            );
        } else if bare != name {
            let path = format!("filter.required[{i}]");
            problems.error(
                &path,
                format!("is {name:?}, which is the name of a file"),
                format!("{bare:?}"),
            );
        }
    }
    if folder.is_none() && !written.required.0.is_empty() {
        let what = "names filters, and there is no folder they could be in";
        problems.error(
            "filter.required",
            what,
            "filters = \"filters.d\", or another folder; or no names",
        );
    }
    if !BODY_LIMIT.contains(&written.body_limit.0) {
        let accepted = format!("{} to {}", Size(*BODY_LIMIT.start()), Size(*BODY_LIMIT.end()));
        problems.error(
            "filter.body_limit",
            format!("is {}", written.body_limit),
            accepted,
        );
    }
    Filters {
        folder,
        required: written.required.0.clone(),
        budget: check_budget(&written.budget, "filter.budget", problems).over(Budget::default()),
        body_limit: written.body_limit.0,
        copies: state_dir.map(|folder| folder.join("filters")),
        compiled: match written.compiled.as_deref() {
            Some("") => None,
            Some(folder) => Some(folder.into()),
            None => state_dir.map(|folder| folder.join("compiled")),
        },
    }
}

fn check_folder(written: Option<&str>, problems: &mut Problems) -> Option<PathBuf> {
    let Some(written) = written else {
        return Path::new(FOLDER).is_dir().then(|| FOLDER.into());
    };
    let folder = Path::new(written);
    match folder.metadata() {
        _ if written.is_empty() => return None,
        Ok(found) if found.is_dir() => {}
        Ok(_file) => problems.error(
            "filters",
            format!("is {written:?}, which is no folder"),
            "a folder",
        ),
        // It may be mounted or filled later, and is watched until then.
        Err(error) => problems.warning(
            "filters",
            format!("is {written:?}, which cannot be read: {error}; no filter runs until it can"),
            "the path of a folder",
        ),
    }
    Some(folder.to_owned())
}
