//! From a project's sources to its artefact: its language's tools run, then the component with its manifest is made.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::project::{Project, Refusal};
use super::toolchain::{Machine, Missing, Recipe, Step, recipe};
use crate::filter::{About, Budget, LoadError, Loader, Source, State};
use crate::wasm::{Artefact, Host, Manifest, package};

/// What the instances of a filter under construction may have; Python and Go start with more than small guests do.
const MEMORY: usize = 256 << 20;

/// What a build made.
#[derive(Debug)]
pub struct Built {
    /// The artefact.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: usize,
    /// Interfaces that Gimbal calls.
    pub hooks: Vec<&'static str>,
    /// What it says of itself.
    pub manifest: Option<Manifest>,
    /// What was found when it was loaded, or why its `init` did not accept the project's configuration.
    pub about: Result<About, LoadError>,
    /// How long it took.
    pub took: Duration,
}

/// Why there is no artefact.
#[derive(Debug)]
pub enum BuildError {
    /// The project is none.
    Project(Refusal),
    /// A toolchain must be installed.
    Missing(Missing),
    /// A command could not be run.
    Unrunnable(Step, io::Error),
    /// A command failed; what it said, as it said it.
    Failed(Step, Vec<u8>),
    /// The commands ended well and left nothing there.
    Nothing(PathBuf, io::Error),
    /// What they left is no filter.
    NoFilter(PathBuf, LoadError),
    /// It cannot be put in its place.
    Unwritable(PathBuf, io::Error),
    /// No engine can be made on this machine.
    Engine(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(refusal) => refusal.fmt(f),
            Self::Missing(missing) => missing.fmt(f),
            Self::Unrunnable(step, error) => write!(f, "{} cannot be run: {error}", step.program.display()),
            Self::Failed(step, _) => write!(f, "this failed: {step}"),
            Self::Nothing(path, error) => write!(
                f,
                "the build ended well, and {} cannot be read: {error}; accepted: `artefact` in filter.toml with the \
                 module or component that it makes",
                path.display()
            ),
            Self::NoFilter(path, error) => write!(f, "{} is no filter: {error}", path.display()),
            Self::Unwritable(path, error) => write!(f, "{} cannot be written: {error}", path.display()),
            Self::Engine(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for BuildError {}

/// What becomes of what the tools print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Kept, and handed over when a command fails.
    OnFailure,
    /// Let through as it comes.
    Through,
}

/// Builds a project: takes what its language takes, from a second to a minute. `tell` hears what is being done. Blocks.
///
/// # Errors
/// When there is no artefact; an older one stays as it is.
pub fn build(project: &Project, output: Output, tell: &mut dyn FnMut(&str)) -> Result<Built, BuildError> {
    let start = Instant::now();
    let recipe = recipe(project, &Machine::here()).map_err(BuildError::Missing)?;
    run(project, &recipe, output, tell)?;
    let bytes = fs::read(&recipe.made).map_err(|error| BuildError::Nothing(recipe.made.clone(), error))?;
    let no_filter = |error| BuildError::NoFilter(recipe.made.clone(), error);
    let manifest = manifest(project)?;
    let mut artefact = package(&bytes, manifest.as_deref()).map_err(no_filter)?;
    if let Some(lang) = project.lang {
        artefact.mark(lang.title());
    }
    let Artefact {
        bytes,
        manifest,
        hooks,
    } = artefact;
    if let Some(manifest) = &manifest
        && manifest.name != project.name
    {
        let what = format!(
            "manifest.json names {:?}, and filter.toml {:?}",
            manifest.name, project.name
        );
        return Err(BuildError::Project(Refusal::new(what, "one name in both")));
    }
    tell(&format!("compiling the component, {}", size(bytes.len())));
    let about = match load(project, &bytes)? {
        Err(error) if !matches!(error.step, "config" | "init") => return Err(no_filter(error)),
        about => about,
    };
    let path = project.artefact();
    put(&path, &bytes).map_err(|error| BuildError::Unwritable(path.clone(), error))?;
    Ok(Built {
        path,
        size: bytes.len(),
        hooks,
        manifest,
        about,
        took: start.elapsed(),
    })
}

/// Where compiled code of filters under construction is kept, so that big ones are compiled once: a folder of this user.
/// None where the user has no such place.
pub fn compiled() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    caches
        .is_absolute()
        .then(|| caches.join("gimbal").join("compiled"))
}

/// Bytes as people read them.
pub fn size(bytes: usize) -> String {
    let tenths = |unit: usize| {
        let tenths = bytes.saturating_mul(10).saturating_add(unit / 2) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", tenths(1 << 10)),
        _ => format!("{} MiB", tenths(1 << 20)),
    }
}

/// Puts a file in its place at once, so that nobody reads half of it.
///
/// # Errors
/// When it cannot be written; what was there stays.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, path))
}

fn manifest(project: &Project) -> Result<Option<Vec<u8>>, BuildError> {
    let path = project.folder.join("manifest.json");
    match fs::read(&path) {
        Ok(json) => Ok(Some(json)),
        // Then it must be in the module, or nowhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            Err(BuildError::Project(Refusal::new(
                what,
                "a manifest that can be read",
            )))
        }
    }
}

fn run(
    project: &Project,
    recipe: &Recipe,
    output: Output,
    tell: &mut dyn FnMut(&str),
) -> Result<(), BuildError> {
    if let Some(folder) = recipe.made.parent() {
        fs::create_dir_all(folder).map_err(|error| BuildError::Unwritable(folder.to_owned(), error))?;
    }
    for step in &recipe.steps {
        tell(&step.does);
        let mut command = command(project, step);
        let (is_done, said) = match output {
            Output::Through => {
                let status = command.status();
                (status.map(|status| status.success()), Vec::new())
            }
            Output::OnFailure => match command.output() {
                Ok(output) => (
                    Ok(output.status.success()),
                    [output.stdout, output.stderr].concat(),
                ),
                Err(error) => (Err(error), Vec::new()),
            },
        };
        match is_done {
            Ok(true) => {}
            Ok(false) => return Err(BuildError::Failed(step.clone(), said)),
            Err(error) => return Err(BuildError::Unrunnable(step.clone(), error)),
        }
    }
    Ok(())
}

fn command(project: &Project, step: &Step) -> Command {
    // A program inside the project is meant from there, whatever folder this process is in.
    let inside = project.folder.join(&step.program);
    let is_path = Path::new(&step.program).components().count() > 1;
    let program = if is_path && inside.exists() {
        std::path::absolute(&inside).unwrap_or(inside).into_os_string()
    } else {
        step.program.clone()
    };
    let mut command = Command::new(program);
    command.args(&step.args).current_dir(&project.folder);
    command.envs(step.variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null());
    command
}

/// Loads the artefact as a proxy does.
fn load(project: &Project, bytes: &[u8]) -> Result<Result<About, LoadError>, BuildError> {
    let host = Host::new(compiled()).map_err(BuildError::Engine)?;
    let source = Source {
        name: Arc::from(project.name.as_str()),
        bytes: bytes.to_vec().into(),
        config: project.config(),
        budget: Budget {
            memory: MEMORY,
            ..Budget::default()
        },
        grants: None,
        state: Arc::new(State::default()),
    };
    Ok(host.load(source).map(|loaded| loaded.about))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_said_in_fitting_units() {
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(24_680), "24.1 KiB");
        assert_eq!(size(18 << 20), "18.0 MiB");
    }
}
