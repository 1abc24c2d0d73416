//! `gimbal filter bench`: what a filter costs, call by call.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::chosen::{Choice, Chosen};
use super::lines::{cut, number, size, time};
use super::progress::Progress;
use crate::author::bench::{self, Cost, Sample};
use crate::author::build::compiled;
use crate::author::corpus::Reader;
use crate::cli::FAILED;
use crate::cli::paint::{Paint, print};
use crate::wasm::{Host, Metering};

/// Columns of a case's name.
const NAME: usize = 40;

/// Measure what a filter costs: time and fuel of each call, memory, size
///
/// Times are those of the production engine on this machine: the call alone, without the proxy around it. Fuel is counted
/// by a second engine and is the same on every machine: it is what a build should be held to.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Measure with the commands of a recording (gimbal record) in place of the cases
    #[arg(long, value_name = "FILE", conflicts_with = "cases")]
    corpus: Option<PathBuf>,
    /// Fail when the middle call of anything takes longer, such as 500ns or 20us
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    budget: Option<Duration>,
    /// Fail when any call uses more fuel; this does not depend on the machine
    #[arg(long, value_name = "N")]
    fuel_budget: Option<u64>,
}

const EXAMPLES: &str = "\
Exit code:
  0   measured, and within the budgets
  1   over a budget, or the filter cannot be loaded
  2   this command line could not be understood

Examples:
  gimbal filter bench
  gimbal filter bench 20-acl.wasm --cases acl-cases.toml --budget 5us
  gimbal filter bench --corpus monday.jsonl --config 20-acl.toml
  gimbal filter bench --fuel-budget 20000";

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let choice = self.chosen.read()?;
        // How long it takes to compile is measured: this engine takes nothing from the cache.
        let host = Host::for_trials(None, Metering::Off).map_err(|why| anyhow!(why))?;
        let meter = Host::for_trials(compiled(), Metering::Fuel).map_err(|why| anyhow!(why))?;
        let samples = self.samples(&choice)?;
        let mut setup = choice.setup.clone();
        if let Some(config) = &choice.config {
            setup = setup.with_config(config.clone());
        }
        print(&format!("{}\n\n", choice.title()?))?;
        let first = samples.first().and_then(|sample| sample.config.clone());
        let first = match (&choice.config, first) {
            (None, Some(config)) => setup.clone().with_config(config),
            _ => setup.clone(),
        };
        let progress = Progress::compiling(&choice.setup);
        let stand = first.load_on(&host)?;
        drop(progress);
        let steps = &stand.about().steps;
        let step = |name: &str| {
            steps
                .iter()
                .find(|(step, _)| *step == name)
                .map(|(_, took)| *took)
        };
        print(&format!(
            "{} compiled in {}, started in {}\n\n{:NAME$}  {:>9}  {:>9}  {:>11}  {:>10}  verdict\n",
            size(choice.setup.bytes().len()),
            time(step("compile").unwrap_or_default()),
            time(step("init").unwrap_or_default()),
            "for each call",
            "p50",
            "p99",
            "fuel",
            "memory",
        ))?;
        let progress = Progress::compiling(&choice.setup);
        first.load_on(&meter)?;
        drop(progress);
        let mut over = Vec::new();
        for sample in &samples {
            let cost = bench::measure(&setup, sample, &host, &meter)
                .with_context(|| format!("\"{}\" cannot be measured", sample.name))?;
            print(&line(sample, &cost))?;
            over.extend(self.over(sample, &cost));
        }
        Self::end(&over)
    }

    fn samples(&self, choice: &Choice) -> anyhow::Result<Vec<Sample>> {
        let mut samples = match &self.corpus {
            Some(path) => {
                let place = || path.display().to_string();
                let file = File::open(path).with_context(place)?;
                let reader = Reader::new(BufReader::new(file)).with_context(place)?;
                bench::of_recording(reader).with_context(place)?
            }
            None if choice.cases.is_empty() => bench::usual(),
            None => bench::of_cases(&choice.cases),
        };
        if samples.is_empty() {
            return Err(anyhow!("there are no commands to measure with"));
        }
        if choice.config.is_some() {
            for sample in &mut samples {
                sample.config = None;
            }
        }
        Ok(samples)
    }

    /// The budgets that are not kept.
    fn over(&self, sample: &Sample, cost: &Cost) -> Vec<String> {
        let slow = self.budget.filter(|budget| cost.p50 > *budget).map(|budget| {
            let (took, budget) = (time(cost.p50), time(budget));
            format!(
                "\"{}\" takes {took} in the middle, more than the budget of {budget}",
                sample.name
            )
        });
        let thirsty = self
            .fuel_budget
            .filter(|budget| cost.fuel > *budget)
            .map(|budget| {
                let (fuel, budget) = (number(cost.fuel), number(budget));
                format!(
                    "\"{}\" uses {fuel} fuel, more than the budget of {budget}",
                    sample.name
                )
            });
        slow.into_iter().chain(thirsty).collect()
    }

    fn end(over: &[String]) -> anyhow::Result<ExitCode> {
        if over.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        let bad = Paint::on(&io::stdout()).bad("over budget");
        let lines = over.iter().map(|what| format!("{bad}: {what}\n"));
        print(&format!("\n{}", lines.collect::<String>()))?;
        Ok(ExitCode::from(FAILED))
    }
}

fn line(sample: &Sample, cost: &Cost) -> String {
    format!(
        "{:NAME$}  {:>9}  {:>9}  {:>11}  {:>10}  {}\n",
        cut(&sample.name, NAME),
        time(cost.p50),
        time(cost.p99),
        number(cost.fuel),
        size(cost.memory),
        cut(&cost.verdict, 12),
    )
}
