//! Which commands build a project, or exactly what to install.

mod c;
mod component;
mod rust;
mod search;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub use search::Machine;

use super::project::{Lang, Project};

/// Where builds leave what Gimbal makes the artefact of, from the project's folder.
const OUTPUT: &str = "target/gimbal";

/// A command to run in the project's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, for people who wait.
    pub does: String,
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to those of this process.
    pub variables: Vec<(&'static str, OsString)>,
}

impl Step {
    fn new(does: &str, program: impl Into<OsString>, args: &[&str]) -> Self {
        Self {
            does: does.to_owned(),
            program: program.into(),
            args: args.iter().map(OsString::from).collect(),
            variables: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}={} ", value.display())?;
        }
        write!(f, "{}", self.program.display())?;
        self.args
            .iter()
            .try_for_each(|arg| write!(f, " {}", arg.display()))
    }
}

/// How a project is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Commands, in order.
    pub steps: Vec<Step>,
    /// The module or component that they leave.
    pub made: PathBuf,
}

/// A toolchain that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What was looked for and not found.
    pub what: String,
    /// Ways to get it: a command, and where it works.
    pub install: Vec<(&'static str, &'static str)>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\ninstall one of:", self.what)?;
        let width = self
            .install
            .iter()
            .map(|(command, _)| command.len())
            .max()
            .unwrap_or_default();
        let lines = |(command, place): &(&str, &str)| write!(f, "\n  {command:width$}  {place}");
        self.install.iter().try_for_each(lines)
    }
}

impl std::error::Error for Missing {}

/// How this project is built on this machine.
///
/// # Errors
/// When what its language needs is not there.
pub fn recipe(project: &Project, machine: &Machine) -> Result<Recipe, Missing> {
    if let (Some(build), Some(made)) = (&project.build, &project.made) {
        let mut words = build.iter();
        let program = words.next().cloned().unwrap_or_default();
        let args: Vec<&str> = words.map(String::as_str).collect();
        return Ok(Recipe {
            steps: vec![Step::new(&format!("running {program}"), &program, &args)],
            made: project.folder.join(made),
        });
    }
    match project.lang {
        Some(Lang::Rust) | None => rust::recipe(project, machine),
        Some(Lang::C) => c::recipe(project, machine),
        Some(Lang::Go) => component::go(project, machine),
        Some(Lang::Js) => component::js(project, machine),
        Some(Lang::Python) => component::python(project, machine),
    }
}

/// Where a build leaves its output: from the project's folder, and from here.
fn output(project: &Project) -> (String, PathBuf) {
    let inside = format!("{OUTPUT}/{}.wasm", project.name);
    let made = project.folder.join(&inside);
    (inside, made)
}
