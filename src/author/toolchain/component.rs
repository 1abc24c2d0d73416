//! Go, JavaScript and Python: languages whose own tools bring their runtime along.

use std::path::PathBuf;

use super::{Machine, Missing, Recipe, Step, output};
use crate::author::project::Project;

/// The first Go that exports functions of a module for WebAssembly.
const GO: (u32, u32) = (1, 24);

/// The standard compiler, for WASI preview 1: Gimbal stands in for WASI.
pub(super) fn go(project: &Project, machine: &Machine) -> Result<Recipe, Missing> {
    let missing = |what: String| Missing {
        what,
        install: vec![("see https://go.dev/dl, 1.24 or later", "everywhere")],
    };
    let Some(go) = machine.find("go") else {
        return Err(missing("there is no go in PATH".to_owned()));
    };
    let version = machine.ask(&go, &["env", "GOVERSION"]).unwrap_or_default();
    if go_version(&version).is_none_or(|found| found < GO) {
        let path = go.display();
        return Err(missing(format!(
            "{path} is {version:?}, and filters need go1.24 or later"
        )));
    }
    let (inside, made) = output(project);
    let args = [
        "build",
        "-buildmode=c-shared",
        "-ldflags=-s -w",
        "-o",
        &inside,
        ".",
    ];
    let step = Step::new("compiling with go", go, &args)
        .with("GOOS", "wasip1")
        .with("GOARCH", "wasm");
    Ok(Recipe {
        steps: vec![step],
        made,
    })
}

/// `(1, 24)` of `go1.24.3`; a version without a number, as of an own build, counts as new.
fn go_version(text: &str) -> Option<(u32, u32)> {
    let Some(numbers) = text.strip_prefix("go") else {
        return text.starts_with("devel").then_some(GO);
    };
    let mut parts = numbers.split(['.', '-', 'r', 'b']);
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

/// `QuickJS` in a component, by `componentize-qjs` out of the project's own packages.
pub(super) fn js(project: &Project, machine: &Machine) -> Result<Recipe, Missing> {
    let missing = |what: &str| Missing {
        what: what.to_owned(),
        install: vec![
            ("apt-get install nodejs npm", "Debian, Ubuntu; Node 18 or later"),
            ("brew install node", "macOS"),
            ("see https://nodejs.org", "everywhere"),
        ],
    };
    let npm = machine
        .find("npm")
        .ok_or_else(|| missing("there is no npm in PATH"))?;
    let npx = machine
        .find("npx")
        .ok_or_else(|| missing("there is no npx in PATH"))?;
    let (inside, made) = output(project);
    let mut steps = Vec::new();
    if !project.folder.join("node_modules/.bin/componentize-qjs").exists() {
        let args = ["install", "--no-audit", "--no-fund"];
        steps.push(Step::new(
            "installing the packages of package.json with npm (once)",
            npm,
            &args,
        ));
    }
    let world = project.world.as_str();
    let args = [
        "--no-install",
        "componentize-qjs",
        "--wit",
        "wit",
        "--js",
        "filter.js",
        "-n",
        world,
        "--sync",
        "--stub-wasi",
        "-o",
        &inside,
    ];
    steps.push(Step::new("making a component with componentize-qjs", npx, &args));
    Ok(Recipe { steps, made })
}

/// `CPython` in a component, by `componentize-py`: that of the project's own environment, else the one in `PATH`, else
/// one that is installed into the project.
pub(super) fn python(project: &Project, machine: &Machine) -> Result<Recipe, Missing> {
    let (inside, made) = output(project);
    let own = PathBuf::from(".venv/bin/componentize-py");
    let is_there = project.folder.join(&own).exists();
    let mut steps = Vec::new();
    let tool = match machine.find("componentize-py") {
        Some(tool) if !is_there => tool,
        _ => own,
    };
    if tool.starts_with(".venv") && !is_there {
        let python = machine.find("python3").ok_or_else(|| Missing {
            what: "there is no python3 in PATH, and no componentize-py".to_owned(),
            install: vec![
                (
                    "apt-get install python3 python3-venv",
                    "Debian, Ubuntu; Python 3.10 or later",
                ),
                ("brew install python", "macOS"),
                ("see https://www.python.org/downloads", "everywhere"),
            ],
        })?;
        steps.push(Step::new(
            "making .venv with python3 (once)",
            python,
            &["-m", "venv", ".venv"],
        ));
        let args = [
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            "requirements.txt",
        ];
        let does = "installing requirements.txt into .venv with pip (once)";
        steps.push(Step::new(does, ".venv/bin/pip", &args));
    }
    let world = project.world.as_str();
    let args = [
        "-d",
        "wit",
        "-w",
        world,
        "componentize",
        "--stub-wasi",
        "app",
        "-o",
        &inside,
    ];
    steps.push(Step::new("making a component with componentize-py", tool, &args));
    Ok(Recipe { steps, made })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_numbers() {
        assert_eq!(go_version("go1.24.3"), Some((1, 24)));
        assert_eq!(go_version("go1.9"), Some((1, 9)));
        assert_eq!(go_version("go1.25rc1"), Some((1, 25)));
        assert_eq!(go_version("devel go1.26-abc"), Some(GO));
        assert_eq!(go_version(""), None);
    }
}
