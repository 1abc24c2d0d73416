//! `gimbal filter test`: cases shown to a filter on the production engine, without any broker.

use std::io;
use std::process::ExitCode;

use anyhow::anyhow;

use super::chosen::{Choice, Chosen};
use super::lines::{cut, time, wrapped};
use super::progress::Progress;
use crate::author::build::compiled;
use crate::author::cases::{self, Case, Ran, Runner};
use crate::author::stand::{Decision, StandError};
use crate::cli::FAILED;
use crate::cli::paint::{Paint, print};
use crate::wasm::{Host, Metering};

/// Columns of a case's name.
const NAME: usize = 58;
/// Columns of a verdict.
const VERDICT: usize = 18;

/// Run the cases of a filter on the production engine, without any broker
///
/// Each case is shown to a filter of its own, with an empty store and full limits. What is printed of it: the verdict,
/// what the filter read and changed, what it wrote to the log, and how long it took. Self-tests of the manifest run too.
/// Verdicts after which RocketMQ's clients try again at once, or for ever, are warned of.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Run only cases whose name contains this
    #[arg(long, value_name = "NAME")]
    filter_case: Option<String>,
}

const EXAMPLES: &str = "\
Exit code:
  0   every case is as expected; there may be warnings
  1   some are not, or the filter cannot be loaded
  2   this command line could not be understood

Examples:
  gimbal filter test
  gimbal filter test 20-acl.wasm --cases acl-cases.toml
  gimbal filter test 20-acl.wasm --config 20-acl.toml
  gimbal filter test --filter-case heartbeat
  gimbal schema cases > cases.schema.json";

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let choice = self.chosen.read()?;
        let manifest = choice.setup.manifest()?;
        let host = Host::for_trials(compiled(), Metering::Off).map_err(|why| anyhow!(why))?;
        let mut report = Report::new();
        print(&format!("{}\n", choice.title()?))?;
        let progress = Progress::compiling(&choice.setup);
        let loaded = choice.setup.load_on(&host);
        drop(progress);
        // What is wrong with a configuration is said for each case.
        if let Err(StandError::Load(error)) = loaded
            && !matches!(error.step, "config" | "init")
        {
            return Err(anyhow!("{} cannot be loaded: {error}", choice.wasm.display()));
        }
        let own = choice.cases_file.as_ref().map(|file| file.display().to_string());
        report.part(
            &own.unwrap_or_else(|| "no case file".to_owned()),
            &self.picked(&choice.cases),
            &Runner::new(&host, &choice.setup, choice.config.clone()),
        )?;
        if let Some(manifest) = &manifest {
            let tests = cases::of_manifest(manifest).map_err(|why| anyhow!(why))?;
            // They come with a config each.
            let runner = Runner::new(&host, &choice.setup, None);
            report.part("self-tests of the manifest", &self.picked(&tests), &runner)?;
        }
        report.end(&choice, self.filter_case.as_deref())
    }

    fn picked<'a>(&self, cases: &'a [Case]) -> Vec<&'a Case> {
        let wanted = self.filter_case.as_deref().unwrap_or_default();
        cases.iter().filter(|case| case.name.contains(wanted)).collect()
    }
}

/// What is printed, and counted for the end.
struct Report {
    paint: Paint,
    ran: usize,
    failed: usize,
    warnings: usize,
}

impl Report {
    fn new() -> Self {
        Self {
            paint: Paint::on(&io::stdout()),
            ran: 0,
            failed: 0,
            warnings: 0,
        }
    }

    /// Runs some cases and prints each when it has run.
    fn part(&mut self, title: &str, cases: &[&Case], runner: &Runner<'_>) -> anyhow::Result<()> {
        if cases.is_empty() {
            return Ok(());
        }
        print(&format!("\n{title}\n"))?;
        for case in cases {
            self.ran = self.ran.saturating_add(1);
            let text = match runner.run(case) {
                Ok(ran) => self.case(case, &ran),
                Err(failed) => {
                    self.failed = self.failed.saturating_add(1);
                    let name = cut(&case.name, NAME);
                    let head = format!("{}  {name}\n", self.paint.bad("FAILED"));
                    head + &wrapped("        cannot be shown: ", &failed.why.to_string())
                }
            };
            print(&text)?;
        }
        Ok(())
    }

    fn case(&mut self, case: &Case, ran: &Ran) -> String {
        let Ran {
            decision,
            misses,
            storm,
        } = ran;
        let mark = if misses.is_empty() {
            format!("{}    ", self.paint.good("ok"))
        } else {
            self.failed = self.failed.saturating_add(1);
            self.paint.bad("FAILED")
        };
        let (name, verdict) = (cut(&case.name, NAME), cut(&decision.verdict_line(), VERDICT));
        let mut text = format!(
            "{mark}  {name:NAME$}  {verdict:VERDICT$}  {:>9}\n",
            time(decision.took)
        );
        for miss in misses {
            text += &wrapped(
                &format!("        {}: ", self.paint.bad(&miss.what)),
                &format!("expected {}, got {}", miss.expected, miss.got),
            );
        }
        text += &seen(decision);
        if let Some(storm) = storm {
            self.warnings = self.warnings.saturating_add(1);
            text += &wrapped(&format!("        {}  ", self.paint.warning("warning")), storm);
        }
        text
    }

    fn end(&self, choice: &Choice, wanted: Option<&str>) -> anyhow::Result<ExitCode> {
        if self.ran == 0 {
            let what = match wanted {
                Some(name) => format!("no case has {name:?} in its name"),
                None => "there is nothing to run: the filter has no self-tests, and no cases.toml beside it"
                    .to_owned(),
            };
            return Err(anyhow!("{}: {what}", choice.wasm.display()));
        }
        let passed = self.ran.saturating_sub(self.failed);
        let count = |n: usize, one: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {one}s"),
        };
        let mut line = format!("\n{}: {passed} ok", count(self.ran, "case"));
        if self.failed > 0 {
            line.push_str(", ");
            line.push_str(&self.paint.bad(&format!("{} failed", self.failed)));
        }
        if self.warnings > 0 {
            line.push_str(", ");
            line.push_str(&self.paint.warning(&count(self.warnings, "warning")));
        }
        print(&(line + "\n"))?;
        Ok(if self.failed > 0 {
            ExitCode::from(FAILED)
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// What the filter said, read and changed.
fn seen(decision: &Decision) -> String {
    let mut text = String::new();
    if let Some(remark) = decision.remark() {
        text += &wrapped("        remark   ", &format!("\"{remark}\""));
    }
    if let Some(why) = &decision.failure {
        text += &wrapped("        failure  ", why);
    }
    if !decision.reads.is_empty() {
        text += &wrapped("        read     ", &decision.reads.join(", "));
    }
    for change in &decision.changes {
        text += &wrapped("        changed  ", &change.to_string());
    }
    for (level, line) in &decision.lines {
        text += &wrapped("        log      ", &format!("{level}: {line}"));
    }
    text
}
