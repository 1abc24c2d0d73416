//! `gimbal check`: loads everything and prints every problem.

use std::io;
use std::process::ExitCode;

use super::FAILED;
use super::paint::{Paint, print, tally};
use super::settings::Settings;
use super::trial::{self, Report};

/// Load everything and print every problem, without starting anything
///
/// Reads the file, the `GIMBAL_*` variables and the flags just as `gimbal run` would, loads every filter, and prints
/// each problem with its path, what is wrong, and what would be accepted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

const EXAMPLES: &str = "\
Exit code:
  0   can be used; there may be warnings
  1   cannot be used
  2   this command line could not be understood

Examples:
  gimbal check -c gimbal.toml
  GIMBAL_DRAIN__DELAY=5s gimbal check -c gimbal.toml
  gimbal check --nameserver 10.0.0.1:9876 --broker-ports 12000-12063";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = args.settings.sources();
    let subject = sources
        .file
        .as_ref()
        .map_or_else(|| "flags".to_owned(), |file| file.display().to_string());
    let (mut errors, mut warnings, advice, filters) = match sources.load() {
        Ok(loaded) => {
            let filters = trial::report(&loaded.config.filters);
            (Vec::new(), loaded.warnings, loaded.advice, filters)
        }
        // Filters are tried with settings that hold.
        Err(problems) => (
            problems.errors,
            problems.warnings,
            problems.advice,
            Report::default(),
        ),
    };
    errors.extend(filters.errors);
    warnings.extend(advice);
    warnings.extend(filters.warnings);
    let report = Paint::on(&io::stdout()).report(&errors, &warnings);
    let usable = match filters.usable {
        usable if usable.is_empty() => usable,
        usable => usable + "\n",
    };
    let tally = match tally(&errors, &warnings).as_str() {
        "" => String::new(),
        tally => format!(": {tally}"),
    };
    let is_usable = errors.is_empty();
    let verdict = if is_usable {
        "can be used"
    } else {
        "cannot be used"
    };
    print(&format!("{report}{usable}{subject} {verdict}{tally}\n"))?;
    Ok(if is_usable {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}
