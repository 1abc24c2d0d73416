//! Looking for programs on this machine.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a search goes by: the variables of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Folders of programs, as in `PATH`.
    pub path: OsString,
    /// A Rust compiler that has the target, as in `WASM_RUSTC`.
    pub wasm_rustc: Option<OsString>,
    /// A C compiler, as in `CLANG`.
    pub clang: Option<OsString>,
}

impl Machine {
    /// By the variables of this process.
    pub fn here() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            path: set("PATH").unwrap_or_default(),
            wasm_rustc: set("WASM_RUSTC"),
            clang: set("CLANG"),
        }
    }

    /// The first program of this name; a name with a slash in it is its own path.
    pub(super) fn find(&self, name: impl AsRef<OsStr>) -> Option<PathBuf> {
        let name = Path::new(name.as_ref());
        if name.components().count() > 1 {
            return is_program(name).then(|| name.to_owned());
        }
        std::env::split_paths(&self.path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| is_program(path))
    }

    /// What a program prints on standard output, if it succeeds.
    pub(super) fn ask(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
        let mut command = Command::new(program);
        command.args(args).env("PATH", &self.path);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
