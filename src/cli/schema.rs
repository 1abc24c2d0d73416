//! `gimbal schema`: the JSON Schema of what can be written.

use std::process::ExitCode;

use super::paint::print;
use crate::admin::openapi;
use crate::author::cases;
use crate::config::{file, sidecar};

/// Print a JSON Schema or the description of the admin API, for editors, clients and checks elsewhere
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// What to describe: config, the file that -c names; filter, the file beside a filter; cases, a case file of
    /// gimbal filter test; or openapi, the admin API
    #[arg(value_enum, value_name = "WHAT", hide_possible_values = true)]
    what: What,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum What {
    /// The config file.
    Config,
    /// The settings of one filter.
    Filter,
    /// What a filter must decide.
    Cases,
    /// The admin API.
    Openapi,
}

const EXAMPLES: &str = "\
Examples:
  gimbal schema config > gimbal.schema.json
  gimbal schema filter > filter.schema.json
  gimbal schema cases > cases.schema.json
  gimbal schema openapi > admin.openapi.json";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = match args.what {
        What::Config => serde_json::to_string_pretty(&file::schema())?,
        What::Filter => serde_json::to_string_pretty(&sidecar::schema())?,
        What::Cases => serde_json::to_string_pretty(&cases::schema())?,
        What::Openapi => openapi().to_pretty_json()?,
    };
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}
