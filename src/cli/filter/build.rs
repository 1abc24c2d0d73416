//! `gimbal filter build`: from a project's sources to its filter.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

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
        let output = if self.verbose {
            Output::Through
        } else {
            Output::OnFailure
        };
        let progress = Progress::new(output);
        let built = build(&project, output, &mut |does| progress.tell(does));
        progress.end();
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

/// What is being done: a line that turns on a terminal, one line each elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(output: Output) -> Self {
        // Two writers would spoil each other's lines.
        let turns = output == Output::OnFailure && io::stderr().is_terminal();
        Self(turns.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }

    fn tell(&self, does: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(does.to_owned()),
            // Nobody is left to tell when standard error is closed.
            None => drop(io::stderr().write_all(format!("{does}\n").as_bytes())),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// What was built, a fact in each line.
fn describe(built: &Built) -> String {
    let mut lines = vec![format!(
        "{}  {}, in {}.{} s",
        built.path.display(),
        size(built.size),
        built.took.as_secs(),
        built.took.subsec_millis() / 100
    )];
    if let Some(manifest) = &built.manifest {
        lines.push(format!("  manifest   {} {}", manifest.name, manifest.version));
    } else {
        lines.push(
            "  manifest   none; a manifest.json in the project says name, version and what it needs"
                .to_owned(),
        );
    }
    lines.push(format!("  hooks      {}", built.hooks.join(", ")));
    match &built.about {
        Ok(about) => {
            lines.extend(about.interests.iter().map(|line| format!("  interest   {line}")));
            lines.push(format!("  grants     {}", or_none(&about.grants.join(", "))));
            lines.push(format!("  sha256     {}", about.digest));
        }
        Err(error) => {
            lines.push(format!("  interest   not known: {error}"));
            lines.push("             a [config] in sidecar.toml that fits lets the build see it".to_owned());
        }
    }
    lines.join("\n") + "\n"
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}
