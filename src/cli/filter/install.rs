//! `gimbal filter install`: a filter that comes with Gimbal, copied out of the binary.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::shipped::{SHIPPED, Shipped};
use crate::filter::folder::name_of;

/// Put a filter that comes with Gimbal into a folder, with its settings beside it
///
/// A Gimbal that runs on that folder runs the filter a moment later. Settings that are already there are kept.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which filter; `gimbal filter list` names them
    name: String,

    /// Folder to put it into; it is made if it is not there
    ///
    /// Default: filters.d
    /// Example: --to /etc/gimbal/filters.d
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    #[arg(default_value = "filters.d", hide_default_value = true)]
    to: PathBuf,

    /// Number before its name: filters are asked in the order of their file names
    ///
    /// Default: 20, or the next ten that no filter there has
    /// Example: --order 05
    #[arg(long, value_name = "NN", verbatim_doc_comment, value_parser = order)]
    order: Option<String>,

    /// Replace the filter if it is already there; its settings are kept
    ///
    /// Default: off
    #[arg(long, verbatim_doc_comment)]
    force: bool,
}

const EXAMPLES: &str = "\
Examples:
  gimbal filter install rate-limit
  gimbal filter install acl --to /etc/gimbal/filters.d --order 10";

impl Args {
    /// Writes the files; what to tell about it.
    pub(super) fn install(&self) -> anyhow::Result<String> {
        let Some(filter) = Shipped::find(&self.name) else {
            let known: Vec<&str> = SHIPPED.iter().map(|one| one.name).collect();
            bail!(
                "no filter {:?} comes with Gimbal; there are {}",
                self.name,
                known.join(", ")
            );
        };
        let there = self.files()?;
        let stem = self.stem(&there)?;
        let module = self.to.join(format!("{stem}.wasm"));
        let settings = self.to.join(format!("{stem}.toml"));
        std::fs::create_dir_all(&self.to).with_context(|| format!("{} cannot be made", self.to.display()))?;
        let has_settings = settings.exists();
        if !has_settings {
            // First, so that the filter does not begin without them.
            put(&settings, filter.sidecar.as_bytes())?;
        }
        put(&module, filter.wasm)?;
        let (module, settings) = (module.display().to_string(), settings.display().to_string());
        let width = module.len();
        let kept = if has_settings {
            "its settings, kept as they were"
        } else {
            "its settings: change and save them, they are in force a moment later"
        };
        let folder = self.to.display();
        Ok(format!(
            "{module}  {} {}: {}\n{settings:width$}  {kept}\n\n\
             A Gimbal that runs on this folder runs it by now. To start one:\n  \
             gimbal run --nameserver HOST:PORT --filters {folder}\n",
            filter.name,
            filter.version(),
            filter.description(),
        ))
    }

    /// Names of the files in the folder; none when it is not there.
    fn files(&self) -> anyhow::Result<Vec<String>> {
        let found = match std::fs::read_dir(&self.to) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", self.to.display()));
            }
        };
        let names = found.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: std::io::Result<Vec<String>> = names.collect();
        let mut names = names.with_context(|| format!("{} cannot be read", self.to.display()))?;
        names.retain(|name| Path::new(name).extension().is_some_and(|ending| ending == "wasm"));
        names.sort();
        Ok(names)
    }

    /// The file's name without its ending: that of the filter there, or a free number.
    fn stem(&self, there: &[String]) -> anyhow::Result<String> {
        let stem_of = |order: &str| format!("{order}-{}", self.name);
        let old = there.iter().find(|file| name_of(file) == self.name);
        if let Some(old) = old {
            let stem = old.strip_suffix(".wasm").unwrap_or(old);
            let path = self.to.join(old);
            if !self.force {
                bail!(
                    "{} is there; --force replaces it and keeps its settings",
                    path.display()
                );
            }
            if let Some(order) = &self.order
                && stem != stem_of(order)
            {
                bail!(
                    "{} is there; rename it to change its place, or leave --order out",
                    path.display()
                );
            }
            return Ok(stem.to_owned());
        }
        let is_free = |order: &String| !there.iter().any(|file| file.starts_with(&format!("{order}-")));
        let free = (20..1000_u32)
            .step_by(10)
            .map(|order| order.to_string())
            .find(is_free);
        let order = self
            .order
            .clone()
            .or(free)
            .context("no number is free; choose one with --order")?;
        Ok(stem_of(&order))
    }
}

/// Puts a file in its place at once, so that nobody reads half of it.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    std::fs::write(&fresh, bytes)
        .and_then(|()| std::fs::rename(&fresh, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn order(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a number of one to six digits, such as 20".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(folder: &Path, name: &str) -> Args {
        Args {
            name: name.to_owned(),
            to: folder.to_owned(),
            order: None,
            force: false,
        }
    }

    fn files(folder: &Path) -> Vec<String> {
        let each = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = each
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn filters_take_the_next_ten_and_bring_their_settings() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("filters.d");
        install(&folder, "acl").install().unwrap();
        install(&folder, "rate-limit").install().unwrap();
        let expected = [
            "20-acl.toml",
            "20-acl.wasm",
            "30-rate-limit.toml",
            "30-rate-limit.wasm",
        ];
        assert_eq!(files(&folder), expected);
    }

    #[test]
    fn a_filter_that_is_there_is_replaced_by_force_alone_and_its_settings_never() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path();
        std::fs::write(folder.join("05-acl.wasm"), "old").unwrap();
        std::fs::write(folder.join("05-acl.toml"), "mode = 'off'").unwrap();
        let refused = install(folder, "acl").install().unwrap_err().to_string();
        assert!(refused.contains("05-acl.wasm is there; --force"), "{refused}");
        let forced = Args {
            force: true,
            ..install(folder, "acl")
        };
        forced.install().unwrap();
        assert_eq!(files(folder), ["05-acl.toml", "05-acl.wasm"]);
        assert_ne!(std::fs::read(folder.join("05-acl.wasm")).unwrap(), b"old");
        assert_eq!(
            std::fs::read(folder.join("05-acl.toml")).unwrap(),
            b"mode = 'off'"
        );
        let moved = Args {
            order: Some("07".to_owned()),
            ..forced
        };
        assert!(moved.install().is_err(), "two files of one name are no good");
    }

    #[test]
    fn an_unknown_filter_is_told_what_there_is() {
        let place = tempfile::tempdir().unwrap();
        let why = install(place.path(), "rate").install().unwrap_err().to_string();
        assert!(
            why.contains("acl, guard, rate-limit") || why.contains("there are"),
            "{why}"
        );
        assert_eq!(files(place.path()), [""; 0]);
    }
}
