//! Which filter is meant: a file, or a project folder and what was built of it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file beside a filter's sources that names it.
const PROJECT: &str = "filter.toml";
/// Its cases.
const CASES: &str = "cases.toml";

/// A filter, and what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The filter.
    pub wasm: PathBuf,
    /// Its case file, if there is one.
    pub cases: Option<PathBuf>,
}

/// Why there is no filter; what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoTarget(String);

impl fmt::Display for NoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoTarget {}

/// What is needed of `filter.toml` here; the rest is for those who build.
#[derive(Debug, Deserialize)]
struct Project {
    name: String,
}

impl Target {
    /// The filter at this path: a file, or a folder in which `<name>.wasm` was built.
    ///
    /// # Errors
    /// When nothing is there, or nothing was built.
    pub fn find(path: &Path) -> Result<Self, NoTarget> {
        let wasm = if path.is_dir() {
            Self::built(path)?
        } else if path.is_file() {
            path.to_owned()
        } else {
            let what = format!(
                "{}: there is no such file or folder; accepted: a .wasm file, or the folder of a filter",
                path.display()
            );
            return Err(NoTarget(what));
        };
        let beside = wasm.with_file_name(CASES);
        Ok(Self {
            cases: beside.is_file().then_some(beside),
            wasm,
        })
    }

    fn built(folder: &Path) -> Result<PathBuf, NoTarget> {
        let description = folder.join(PROJECT);
        let named = match std::fs::read_to_string(&description) {
            Ok(text) => {
                let project: Result<Project, _> = toml::from_str(&text);
                let project = project.map_err(|error| {
                    NoTarget(format!("{}: {}", description.display(), error.message().trim()))
                })?;
                Some(project.name)
            }
            Err(_not_a_project) => {
                let whole = folder.canonicalize().ok();
                let name = whole.as_deref().and_then(Path::file_name);
                name.map(|name| name.to_string_lossy().into_owned())
            }
        };
        let name = named.unwrap_or_default();
        let wasm = folder.join(format!("{name}.wasm"));
        if wasm.is_file() {
            return Ok(wasm);
        }
        Err(NoTarget(format!(
            "{}: {name}.wasm is not there; build it first: gimbal filter build {}",
            folder.display(),
            folder.display()
        )))
    }
}
