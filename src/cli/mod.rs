//! The argument grammar and the dispatch: one file per subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod asking;
mod check;
mod descriptors;
mod dev;
mod filter;
mod orders;
mod paint;
mod record;
mod replay;
mod run;
mod schema;
mod settings;
mod shipped;
mod signals;
mod status;
mod tail;
mod top;
mod trial;
mod watching;
mod wit;

/// The configuration does not work, or the proxy could not start.
const FAILED: u8 = 1;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "gimbal", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
#[command(max_term_width = 110, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ABOUT: &str = "A proxy for Apache RocketMQ";
const LONG_ABOUT: &str = "\
A proxy for Apache RocketMQ

Clients set their namesrvAddr to Gimbal and change nothing else. It answers their route requests with its \
own addresses, so that everything they send to brokers comes through it.";

const EXAMPLES: &str = "\
Examples:
  gimbal dev                                 try it with nothing installed
  gimbal run --nameserver 10.0.0.1:9876      stand in front of a cluster
  gimbal check -c gimbal.toml                see everything wrong with a config and its filters
  gimbal filter install rate-limit           put a filter that comes with Gimbal into filters.d";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Dev(dev::Args),
    Check(check::Args),
    Filter(filter::Args),
    Status(status::Args),
    Tail(tail::Args),
    Top(top::Args),
    Record(record::Args),
    Replay(replay::Args),
    Wit(wit::Args),
    Schema(schema::Args),
}

/// Runs the command line of this process. Exit code 0 is success, 1 a failure that was explained, 2 a command
/// line that could not be understood.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive here too, with code 0. If the terminal is gone there is nobody to tell.
            drop(error.print());
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Filter(args) => filter::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Wit(args) => wit::run(&args),
        Command::Schema(args) => schema::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        paint::failure(&error);
        ExitCode::from(FAILED)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }
}
