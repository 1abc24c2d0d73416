//! Projects of filters built again whenever they are saved, for `gimbal dev --watch`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::paint::{Paint, print};
use super::tail::line;
use crate::admin::House as _;
use crate::author::build::{BuildError, Built, Output, build, put, size};
use crate::author::project::Project;
use crate::author::watch::Watch;
use crate::proxy::House;
use crate::telemetry::Tail;

/// The number of a filter that has none yet in the folder.
const ORDER: &str = "50";

/// Reads the projects, each under its folder, and makes the folder of filters if there are any.
pub(super) fn open(folders: &[PathBuf], filters: Option<&Path>) -> anyhow::Result<Vec<Project>> {
    let projects = folders.iter().map(|folder| Ok(Project::open(folder)?));
    let projects: Vec<Project> = projects.collect::<anyhow::Result<_>>()?;
    if let Some(filters) = filters.filter(|_| !projects.is_empty()) {
        std::fs::create_dir_all(filters)
            .with_context(|| format!("{} cannot be made; --filters names another", filters.display()))?;
    }
    Ok(projects)
}

/// Builds each project now and after every change, into the folder of filters, and prints what filters decide. Ends when
/// what it returns is dropped.
pub(super) fn start(projects: Vec<Project>, filters: &Path, house: &Arc<House>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    if projects.is_empty() {
        return tasks;
    }
    tasks.spawn(tell_decisions(house.tail()));
    for project in projects {
        tasks.spawn(keep_built(project.folder, filters.to_owned()));
    }
    tasks
}

async fn keep_built(folder: PathBuf, filters: PathBuf) {
    let mut watch = Watch::new(&folder, Some(&filters));
    loop {
        let (folder, filters) = (folder.clone(), filters.clone());
        let built = tokio::task::spawn_blocking(move || build_once(&folder, &filters)).await;
        match built {
            Ok(Ok(said)) => say(&said),
            Ok(Err(error)) => complain(&error),
            Err(error) => tracing::error!(%error, "a build ended in a panic, which is a bug in Gimbal"),
        }
        watch.changed().await;
    }
}

/// Builds a project and puts its filter into the folder; what to say of it. The project is read anew: `filter.toml` may be
/// what was saved.
fn build_once(folder: &Path, filters: &Path) -> Result<String, BuildError> {
    let project = Project::open(folder).map_err(BuildError::Project)?;
    let paint = Paint::on(&io::stdout());
    let mut tell = |does: &str| say(&paint.dim(&format!("-- {}: {does}\n", project.name)));
    let built = build(&project, Output::OnFailure, &mut tell)?;
    let target = place(&project.name, filters);
    let unwritable = |error| BuildError::Unwritable(target.clone(), error);
    let settings = target.with_extension("toml");
    let first = std::fs::read(project.folder.join("sidecar.toml")).ok();
    // Settings that are there are the author's.
    if let Some(first) = first.filter(|_| !settings.exists()) {
        put(&settings, &first).map_err(unwritable)?;
    }
    let bytes = std::fs::read(&built.path).map_err(unwritable)?;
    put(&target, &bytes).map_err(unwritable)?;
    Ok(describe(&project.name, &built, &target))
}

/// Where a filter of this name lies in the folder, or will.
fn place(name: &str, filters: &Path) -> PathBuf {
    let entries = std::fs::read_dir(filters).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let there = names.into_iter().find(|file| {
        let stem = file.strip_suffix(".wasm").unwrap_or_default();
        let unnumbered = stem.trim_start_matches(|c: char| c.is_ascii_digit());
        stem == name || (unnumbered != stem && unnumbered.strip_prefix('-') == Some(name))
    });
    filters.join(there.unwrap_or_else(|| format!("{ORDER}-{name}.wasm")))
}

fn describe(name: &str, built: &Built, target: &Path) -> String {
    let seconds = built.took.as_secs();
    let tenths = built.took.subsec_millis() / 100;
    let text = format!(
        "-- {name}: built in {seconds}.{tenths} s, {}, put at {}\n",
        size(built.size),
        target.display()
    );
    match &built.about {
        Ok(_) => text,
        Err(error) => format!("{text}-- {name}: {error}\n"),
    }
}

fn say(text: &str) {
    // Nobody is left to tell when standard output is closed.
    drop(print(text));
}

fn complain(error: &BuildError) {
    let mut stderr = io::stderr().lock();
    if let BuildError::Failed(_, said) = error {
        drop(stderr.write_all(said));
    }
    let text = format!("-- not built: {error}\n-- what is in force stays\n");
    drop(stderr.write_all(text.as_bytes()));
}

/// Prints commands about which a filter decided something, as they end.
async fn tell_decisions(tail: Tail) {
    let mut records = tail.subscribe();
    let paint = Paint::on(&io::stdout());
    loop {
        match records.recv().await {
            Ok(record) if record.filters.is_empty() => {}
            Ok(record) => {
                let record: Value = serde_json::to_value(&*record).unwrap_or_default();
                say(&line(&record, paint));
            }
            Err(RecvError::Lagged(missed)) => say(&format!("-- {missed} were left out\n")),
            Err(RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_its_place_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(place("acl", folder.path()), at("50-acl.wasm"));
        std::fs::write(at("10-my-acl.wasm"), "").unwrap();
        std::fs::write(at("20-acl.wasm"), "").unwrap();
        assert_eq!(place("acl", folder.path()), at("20-acl.wasm"));
        assert_eq!(place("my-acl", folder.path()), at("10-my-acl.wasm"));
        std::fs::write(at("stamp.wasm"), "").unwrap();
        assert_eq!(place("stamp", folder.path()), at("stamp.wasm"));
    }
}
