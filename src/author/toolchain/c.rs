//! C: clang with its linker for WebAssembly, or zig, which brings both.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Machine, Missing, Recipe, Step, output};
use crate::author::project::Project;

/// Versions in the names of programs, as distributions have them; the newest first.
const VERSIONS: std::ops::RangeInclusive<u8> = 14..=24;

/// What every compiler is told, and what each adds to it.
const COMMON: [&str; 7] = [
    "-std=c11",
    "-O2",
    "-Wall",
    "-ffreestanding",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,-z,stack-size=65536",
];

/// A program with the arguments that make it compile for WebAssembly.
type Compiler = (PathBuf, Vec<OsString>);

pub(super) fn recipe(project: &Project, machine: &Machine) -> Result<Recipe, Missing> {
    let (program, mut args) = match &machine.clang {
        Some(given) => {
            let found = machine.find(given).and_then(|path| clang(machine, path));
            found.ok_or_else(|| missing(format!("CLANG is {}, and {INCAPABLE}", given.display())))?
        }
        None => named(machine).or_else(|| zig(machine)).ok_or_else(|| {
            missing(format!(
                "there is no C compiler for WebAssembly: looked for clang, clang-24 … clang-14 with wasm-ld, and for zig; {INCAPABLE}"
            ))
        })?,
    };
    let (inside, made) = output(project);
    args.extend(COMMON.map(OsString::from));
    args.extend(sources(project).into_iter().map(OsString::from));
    args.extend(["-o".into(), inside.into()]);
    let does = format!("compiling with {}", program.display());
    let step = Step {
        args,
        ..Step::new(&does, program, &[])
    };
    Ok(Recipe {
        steps: vec![step],
        made,
    })
}

const INCAPABLE: &str = "none that was found compiles for wasm32 and has wasm-ld";

/// The project's sources, by name.
fn sources(project: &Project) -> Vec<String> {
    let entries = std::fs::read_dir(&project.folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut sources: Vec<String> = names
        .filter(|name| {
            std::path::Path::new(name)
                .extension()
                .is_some_and(|ending| ending == "c")
        })
        .collect();
    sources.sort();
    sources
}

/// The first clang in `PATH` that is able to.
fn named(machine: &Machine) -> Option<Compiler> {
    let versioned = VERSIONS.rev().map(|version| format!("clang-{version}"));
    std::iter::once("clang".to_owned())
        .chain(versioned)
        .filter_map(|name| machine.find(name))
        .find_map(|path| clang(machine, path))
}

/// Whether a clang compiles for WebAssembly (Apple's does not) and links.
fn clang(machine: &Machine, path: PathBuf) -> Option<Compiler> {
    let targets = machine.ask(&path, &["--print-targets"])?;
    if !targets.contains("wasm32") {
        return None;
    }
    let mut args = vec![OsString::from("--target=wasm32"), "-Wl,--strip-all".into()];
    let own = machine.ask(&path, &["--target=wasm32", "--print-prog-name=wasm-ld"])?;
    if machine.find(&own).is_none() {
        // A linker of another package, with its version in its name.
        let versioned = VERSIONS.rev().map(|version| format!("wasm-ld-{version}"));
        let linker = versioned.into_iter().find_map(|name| machine.find(name))?;
        let mut flag = OsString::from("-fuse-ld=");
        flag.push(linker);
        args.push(flag);
    }
    Some((path, args))
}

/// Zig as a program, or as the Python package `ziglang`.
fn zig(machine: &Machine) -> Option<Compiler> {
    let target = ["cc", "-target", "wasm32-freestanding", "-g0"].map(OsString::from);
    if let Some(zig) = machine.find("zig") {
        return Some((zig, target.to_vec()));
    }
    let python = machine.find("python3").or_else(|| machine.find("python"))?;
    machine.ask(&python, &["-m", "ziglang", "version"])?;
    let module = ["-m", "ziglang"].map(OsString::from);
    Some((python, module.into_iter().chain(target).collect()))
}

fn missing(what: String) -> Missing {
    Missing {
        what,
        install: vec![
            ("apt-get install clang lld", "Debian, Ubuntu"),
            ("dnf install clang lld", "Fedora"),
            (
                "brew install llvm lld",
                "macOS; then CLANG=$(brew --prefix llvm)/bin/clang",
            ),
            ("pip install ziglang", "everywhere"),
        ],
    }
}
