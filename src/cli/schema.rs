//! `gimbal schema`: the JSON Schema of what can be written.

use std::process::ExitCode;

use super::paint::print;
use crate::config::{file, sidecar};

/// Print a JSON Schema, for editors and for checking files elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to describe: config, the file that -c names; or filter, the file beside a filter
    #[arg(value_enum, value_name = "WHAT", hide_possible_values = true)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The config file.
    Config,
    /// The settings of one filter.
    Filter,
}

const EXAMPLES: &str = "\
Examples:
  gimbal schema config > gimbal.schema.json
  gimbal schema filter > filter.schema.json";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let schema = match args.what {
        What::Config => file::schema(),
        What::Filter => sidecar::schema(),
    };
    print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))?;
    Ok(ExitCode::SUCCESS)
}
