//! `gimbal filter build`: from a project's sources to its filter.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::lines::wrapped;
use super::progress::Progress;
use crate::author::build::{BuildError, Built, Output, build, size};
use crate::author::project::Project;
use crate::cli::paint::print;

/// Build a filter's project
///
/// Runs the tools of its language, makes a component of what they leave, embeds the manifest, and tries it. The filter is
/// put into the project's folder, under its name. What is missing on this machine is said, with what to install.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Folder of the project, with its filter.toml
    ///
    /// Default: the current folder
    #[arg(default_value = ".", hide_default_value = true, verbatim_doc_comment)]
    project: PathBuf,

    /// Let through what the language's tools print, as it comes
    ///
    /// Default: only when they fail
    #[arg(short, long, verbatim_doc_comment)]
    verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  gimbal filter build
  gimbal filter build filters/stamp --verbose";

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let project = Project::open(&self.project)?;
        // Two writers would spoil each other's lines.
        let (output, progress) = if self.verbose {
            (Output::Through, Progress::plain())
        } else {
            (Output::OnFailure, Progress::new())
        };
        let built = build(&project, output, &mut |does| progress.tell(does));
        drop(progress);
        match built {
            Ok(built) => {
                print(&describe(&built))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                if let BuildError::Failed(_, said) = &error {
                    io::stderr().write_all(said)?;
                }
                Err(error.into())
            }
        }
    }
}

/// What was built, a fact in each line.
fn describe(built: &Built) -> String {
    let mut text = format!(
        "{}  {}, in {}.{} s\n",
        built.path.display(),
        size(built.size),
        built.took.as_secs(),
        built.took.subsec_millis() / 100
    );
    let mut say = |what: &str, value: &str| text += &wrapped(&format!("  {what:11}"), value);
    match &built.manifest {
        Some(manifest) => say("manifest", &format!("{} {}", manifest.name, manifest.version)),
        None => say(
            "manifest",
            "none; a manifest.json in the project says name, version and what it needs",
        ),
    }
    say("hooks", &built.hooks.join(", "));
    match &built.about {
        Ok(about) => {
            about.interests.iter().for_each(|line| say("interest", line));
            say("grants", or_none(&about.grants.join(", ")));
            say("digest", &about.digest);
        }
        Err(error) => {
            say("interest", &format!("not known: {error}"));
            say("", "a [config] in sidecar.toml that fits lets the build see it");
        }
    }
    text
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
