//! `gimbal wit`: the contract with authors of filters, for whoever has the binary alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::paint::print;
use crate::author::reference::markdown;
use crate::author::{WIT, contract};

/// Print the contract that filters are written against, as WIT
///
/// Its doc comments are the reference for authors of filters. Any language with a binding generator for the WebAssembly
/// component model can use it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write the files of the package into this folder instead
    ///
    /// Default: print it as one text
    /// Example: --to wit
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    to: Option<PathBuf>,

    /// Print it as a page for people
    ///
    /// Default: off
    #[arg(long, verbatim_doc_comment, conflicts_with = "to")]
    markdown: bool,
}

const EXAMPLES: &str = "\
Examples:
  gimbal wit > gimbal-filter.wit
  gimbal wit --to wit
  gimbal wit --markdown > REFERENCE.md";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = match &args.to {
        Some(folder) => {
            write(folder)?;
            let paths = WIT
                .iter()
                .map(|(name, _)| format!("{}\n", folder.join(name).display()));
            paths.collect()
        }
        None if args.markdown => markdown(&contract())?,
        None => contract(),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (name, _) in WIT {
        let path = folder.join(name);
        let found = std::fs::read_to_string(&path);
        if found.is_ok_and(|text| !text.starts_with("package gimbal:filter@")) {
            bail!("{} is there and is something else; move it away", path.display());
        }
    }
    for (name, text) in WIT {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_package_is_one_valid_text_with_the_worlds_of_the_files() {
        let text = contract();
        assert_eq!(
            text.matches("\npackage ").count() + 1,
            1,
            "it says what it is once"
        );
        let mut printed = wit_parser::Resolve::default();
        let package = printed.push_str("printed.wit", &text).unwrap();
        let mut files = wit_parser::Resolve::default();
        let (original, _) = files
            .push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("wit"))
            .unwrap();
        let worlds = |resolve: &wit_parser::Resolve, id| -> Vec<String> {
            let package: &wit_parser::Package = &resolve.packages[id];
            package
                .worlds
                .keys()
                .chain(package.interfaces.keys())
                .cloned()
                .collect()
        };
        let mut expected = worlds(&files, original);
        let mut found = worlds(&printed, package);
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn files_of_others_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("types.wit");
        std::fs::write(&own, "package me:mine;").unwrap();
        assert!(write(folder.path()).is_err());
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing was written"
        );
        std::fs::remove_file(&own).unwrap();
        write(folder.path()).unwrap();
        write(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), WIT.len());
    }
}
