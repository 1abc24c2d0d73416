//! Which filter, cases and settings a subcommand works with.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::Value;

use crate::author::cases::{self, Case};
use crate::author::target::Target;
use crate::author::{Setup, StandError};
use crate::config::sidecar;
use crate::filter::Budget;

/// What a filter is tried with.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// The filter, or the folder of one in which NAME.wasm was built
    #[arg(value_name = "PROJECT|FILE.wasm", default_value = ".")]
    target: PathBuf,
    /// The case file; the cases.toml beside the filter otherwise
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Config for every case, in place of what cases say: the settings file of a filter, or TOML such as 'rate = 5'
    #[arg(long, value_name = "TOML")]
    config: Option<String>,
}

/// What was chosen, read.
pub(super) struct Choice {
    /// The filter.
    pub(super) setup: Setup,
    /// Its file.
    pub(super) wasm: PathBuf,
    /// The case file, if there is one.
    pub(super) cases_file: Option<PathBuf>,
    /// Its cases.
    pub(super) cases: Vec<Case>,
    /// Config for all of them.
    pub(super) config: Option<Value>,
}

impl Chosen {
    pub(super) fn read(&self) -> anyhow::Result<Choice> {
        let target = Target::find(&self.target)?;
        let mut setup = Setup::open(&target.wasm)?;
        let cases_file = self.cases.clone().or(target.cases);
        let cases = match &cases_file {
            Some(file) => read_cases(file)?,
            None => Vec::new(),
        };
        let config = match &self.config {
            Some(config) => Some(read_config(config, &mut setup)?),
            None => None,
        };
        Ok(Choice {
            setup,
            wasm: target.wasm,
            cases_file,
            cases,
            config,
        })
    }
}

impl Choice {
    /// Name, version and file, for the first line.
    pub(super) fn title(&self) -> Result<String, StandError> {
        let manifest = self.setup.manifest()?;
        let title = manifest.map_or_else(
            || self.setup.name().to_owned(),
            |manifest| format!("{} {}", manifest.name, manifest.version),
        );
        Ok(format!("{title}  {}", self.wasm.display()))
    }
}

fn read_cases(file: &Path) -> anyhow::Result<Vec<Case>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(cases::read(&file.display().to_string(), &text)?)
}

/// A settings file, or TOML on the command line.
fn read_config(given: &str, setup: &mut Setup) -> anyhow::Result<Value> {
    let path = Path::new(given);
    if !path.is_file() {
        let table: toml::Table = toml::from_str(given).map_err(|error| {
            let what = error.message().trim().to_owned();
            anyhow!("--config {given:?} is no file, and no TOML either: {what}; accepted: a settings file such as 20-name.toml, or TOML such as 'rate = 5'")
        })?;
        return Ok(serde_json::to_value(table)?);
    }
    let text = std::fs::read_to_string(path).with_context(|| given.to_owned())?;
    let settings = sidecar::check(given, &text)?;
    let usual = Budget::default();
    let own = settings.budget;
    *setup = setup.clone().with_budget(Budget {
        time: own.time.unwrap_or(usual.time),
        memory: own.memory.unwrap_or(usual.memory),
        store: own.store.unwrap_or(usual.store),
    });
    if let Some(grants) = settings.grants {
        *setup = setup.clone().with_grants(grants);
    }
    if let Some(policy) = settings.on_error {
        *setup = setup.clone().with_policy(policy);
    }
    Ok(settings.config)
}
