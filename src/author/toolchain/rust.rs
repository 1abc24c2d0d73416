//! Rust: cargo, and a compiler that has the library for `wasm32-unknown-unknown`.

use std::ffi::OsString;
use std::path::Path;

use super::{Machine, Missing, Recipe, Step};
use crate::author::project::Project;

const TARGET: &str = "wasm32-unknown-unknown";
/// 64 KiB of stack are plenty, and the linker's megabyte for every instance is not nothing.
const FLAGS: &str = "target.wasm32-unknown-unknown.rustflags=[\"-Clink-arg=-zstack-size=65536\"]";

pub(super) fn recipe(project: &Project, machine: &Machine) -> Result<Recipe, Missing> {
    let cargo = machine.find("cargo").ok_or_else(|| Missing {
        what: "there is no cargo in PATH, which builds filters in Rust".to_owned(),
        install: vec![(
            "see https://rustup.rs, then: rustup target add wasm32-unknown-unknown",
            "everywhere",
        )],
    })?;
    let compiler = compiler(machine)?;
    let args = [
        "build",
        "--release",
        "--target",
        TARGET,
        "--target-dir",
        "target",
        "--config",
        FLAGS,
    ];
    let step = Step::new("compiling with cargo", cargo, &args);
    let step = match compiler {
        Some(compiler) => step.with("RUSTC", compiler),
        None => step,
    };
    let made = format!("target/{TARGET}/release/{}.wasm", project.name.replace('-', "_"));
    Ok(Recipe {
        steps: vec![step],
        made: project.folder.join(made),
    })
}

/// The compiler to tell cargo about; none when its own will do.
fn compiler(machine: &Machine) -> Result<Option<OsString>, Missing> {
    if let Some(given) = &machine.wasm_rustc {
        return match library(machine, given) {
            Ok(()) => Ok(Some(given.clone())),
            Err(why) => Err(missing(format!("WASM_RUSTC is {}, and {why}", given.display()))),
        };
    }
    let Some(rustc) = machine.find("rustc") else {
        return Err(missing("there is no rustc in PATH".to_owned()));
    };
    match library(machine, rustc.as_os_str()) {
        Ok(()) => Ok(None),
        Err(why) => Err(missing(format!("rustc is {}, and {why}", rustc.display()))),
    }
}

/// Whether a compiler has the target's library; `Err` says what is wrong with it.
fn library(machine: &Machine, rustc: &std::ffi::OsStr) -> Result<(), String> {
    let args = ["--print", "target-libdir", "--target", TARGET];
    let Some(folder) = machine.ask(rustc, &args) else {
        return Err("it does not run".to_owned());
    };
    let has_core = std::fs::read_dir(Path::new(&folder)).is_ok_and(|entries| {
        entries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    });
    if has_core {
        Ok(())
    } else {
        Err(format!("it has no library for {TARGET}"))
    }
}

fn missing(what: String) -> Missing {
    Missing {
        what,
        install: vec![
            (
                "rustup target add wasm32-unknown-unknown",
                "where Rust came with rustup",
            ),
            (
                "export WASM_RUSTC=$(filters/toolchain.sh)",
                "Debian 12, in a checkout of Gimbal: a compiler of its own",
            ),
        ],
    }
}
