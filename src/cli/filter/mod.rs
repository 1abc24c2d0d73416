//! `gimbal filter`: making filters, and installing those that come with Gimbal.

mod bench;
mod build;
mod chosen;
mod inspect;
mod install;
mod lines;
mod new;
mod progress;
mod test;

use std::process::ExitCode;

use super::paint::print;
use super::shipped::SHIPPED;

/// Make filters, and list and install those that come with Gimbal
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(new::Args),
    Build(build::Args),
    /// List the filters that come with Gimbal
    List,
    Install(install::Args),
    Test(test::Args),
    Bench(bench::Args),
    Inspect(inspect::Args),
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::New(args) => return args.run(),
        Command::Build(args) => return args.run(),
        Command::List => print(&list())?,
        Command::Install(args) => print(&args.install()?)?,
        Command::Test(args) => return args.run(),
        Command::Bench(args) => return args.run(),
        Command::Inspect(args) => return args.run(),
    }
    Ok(ExitCode::SUCCESS)
}

fn list() -> String {
    let width = SHIPPED.iter().map(|one| one.name.len()).max().unwrap_or_default();
    let lines = SHIPPED.iter().map(|one| {
        let (name, version) = (one.name, one.version());
        format!("{name:width$}  {version:7}  {}\n", one.description())
    });
    lines.collect::<String>() + "\ngimbal filter install NAME puts one of them into filters.d.\n"
}
