//! `gimbal replay`: recorded commands through a filter, or through two versions of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::json;
use tokio::time::Instant;

use super::FAILED;
use super::asking::harmless;
use super::paint::print;
use crate::author::corpus::{Entry, Item, Reader};
use crate::author::replay::{Decided, Trial, TrialError};
use crate::filter::Asked;
use crate::protocol::request as rq;

/// Run recorded commands through a filter, or through two versions of it, without any broker
///
/// Prints what the filter decides about each command of a file that `gimbal record` wrote, on the engine of the proxy,
/// and how often it decided what. With --against only commands that the two versions decide differently are printed:
/// a test of the new version with the traffic of the old one.
///
/// Commands follow each other as fast as the filter takes them, while its clock is the real one: rate limits and entries
/// that expire decide differently than they did. --pace keeps the pauses of the recording. Without recorded bodies a
/// filter that reads them sees empty ones; secrets are masked, so signatures cannot be checked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each switch of the command line"
)]
pub(super) struct Args {
    /// The recording; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The filter
    ///
    /// Example: --filter tenants.wasm
    #[arg(long, value_name = "A.wasm", verbatim_doc_comment)]
    filter: PathBuf,

    /// Its settings, as in the file beside a filter
    ///
    /// Default: none
    /// Example: --config tenants.toml
    #[arg(long, value_name = "A.toml", verbatim_doc_comment)]
    config: Option<PathBuf>,

    /// Another version of it: print what differs
    ///
    /// Default: none; the same file as --filter compares two settings
    #[arg(long, value_name = "B.wasm", verbatim_doc_comment)]
    against: Option<PathBuf>,

    /// The settings of the other version
    ///
    /// Default: none
    #[arg(long, value_name = "B.toml", requires = "against", verbatim_doc_comment)]
    against_config: Option<PathBuf>,

    /// Exit with 0 also when the two differ
    ///
    /// Default: off, exit with 1
    #[arg(long, requires = "against", verbatim_doc_comment)]
    ok_differences: bool,

    /// Stop after this many commands
    ///
    /// Default: all
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    limit: Option<u64>,

    /// Keep the pauses of the recording
    ///
    /// Default: off
    #[arg(long, verbatim_doc_comment)]
    pace: bool,

    /// Print each command and the summary as lines of JSON
    ///
    /// Default: off
    #[arg(long, verbatim_doc_comment)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  gimbal replay traffic.jsonl --filter ./tenants.wasm --config tenants.toml
  gimbal replay traffic.jsonl --filter ./tenants.wasm --against ./tenants-new.wasm
  gimbal record --for 10s | gimbal replay - --filter ./tenants.wasm";

/// How often what was decided.
#[derive(Debug, Default)]
struct Summary {
    commands: u64,
    differences: u64,
    left_out: u64,
    verdicts: BTreeMap<&'static str, u64>,
    failed: u64,
    time: Duration,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let filter = load(&args.filter, args.config.as_deref())?;
    let other = match &args.against {
        Some(path) => Some(load(path, args.against_config.as_deref())?),
        None => None,
    };
    let name = args.file.display();
    let mut reader = Reader::new(open(&args.file)?).map_err(|error| anyhow!("{name}: {error}"))?;
    let mut summary = Summary::default();
    let began = Instant::now();
    for item in reader.by_ref() {
        match item.map_err(|error| anyhow!("{name}: {error}"))? {
            Item::LeftOut(count) => summary.left_out = summary.left_out.saturating_add(count),
            Item::Command(entry) => {
                if args.pace {
                    pause(entry.at.saturating_sub(began.elapsed()));
                }
                one(args, (&filter, other.as_ref()), &entry, &mut summary)?;
            }
        }
        if args.limit.is_some_and(|limit| summary.commands >= limit) {
            break;
        }
    }
    if reader.is_cut() {
        tell(&format!(
            "warning: {name}: line {} is cut short and was left away",
            reader.line()
        ));
    }
    print(&summary.told(args))?;
    let differs = summary.differences > 0 && !args.ok_differences;
    Ok(if differs {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

/// Shows one command to the filter, and to the other version.
fn one(
    args: &Args,
    (filter, other): (&Trial, Option<&Trial>),
    entry: &Entry,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let wrong = || format!("{}: line {}", args.file.display(), entry.line);
    let decided = filter.show(entry).with_context(wrong)?;
    summary.note(&decided);
    let Some(other) = other else {
        let text = if args.json {
            json(entry, &[("decided", &decided)])
        } else {
            format!("{}  {}\n", about(entry), words(&decided))
        };
        return Ok(print(&text)?);
    };
    let against = other.show(entry).with_context(wrong)?;
    if decided == against {
        return Ok(());
    }
    summary.differences = summary.differences.saturating_add(1);
    let text = if args.json {
        json(entry, &[("filter", &decided), ("against", &against)])
    } else {
        format!(
            "{}\n    filter   {}\n    against  {}\n",
            about(entry),
            words(&decided),
            words(&against)
        )
    };
    Ok(print(&text)?)
}

fn load(wasm: &Path, settings: Option<&Path>) -> anyhow::Result<Trial> {
    Trial::load(wasm, settings).map_err(|error| match error {
        TrialError::Settings(problems) => problems.into(),
        other => other.into(),
    })
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "this process does nothing else meanwhile"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What a command is about: topic and group, where ext fields hold them.
fn names(entry: &Entry) -> (Option<String>, Option<String>) {
    let Ok((head, frame)) = Entry::framed(entry.request()) else {
        return (None, None);
    };
    let asked = Asked::of(&head, &frame);
    let owned = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
    (owned(asked.topic()), owned(asked.group()))
}

fn code_name(entry: &Entry) -> String {
    let code = entry.request().code;
    rq::name(code).map_or_else(|| format!("code {code}"), str::to_owned)
}

fn about(entry: &Entry) -> String {
    let (topic, group) = names(entry);
    let subject = [topic, group].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let client = match &entry.client.client_id {
        Some(id) => id.to_string(),
        None => entry.client.peer.to_string(),
    };
    let time = entry.at.as_millis();
    format!(
        "{:>5}.{:03} {:<8} {:<26} {:<28} {:<22}",
        time / 1_000,
        time % 1_000,
        entry.way.name(),
        code_name(entry),
        harmless(&subject),
        harmless(&client)
    )
}

fn words(decided: &Decided) -> String {
    let detail = decided
        .detail
        .as_ref()
        .map(|detail| format!(" {}", harmless(detail)));
    let failure = decided.failure.as_ref();
    let failure = failure.map(|failure| format!("; the filter failed: {}", harmless(failure)));
    let changes = decided
        .changes
        .iter()
        .map(|change| format!("; {}", harmless(change)));
    let said: String = detail.into_iter().chain(failure).chain(changes).collect();
    format!("{}{said}  {} ns", decided.verdict, decided.ns)
}

fn json(entry: &Entry, decisions: &[(&str, &Decided)]) -> String {
    let (topic, group) = names(entry);
    let mut line = json!({
        "line": entry.line,
        "at_us": u64::try_from(entry.at.as_micros()).unwrap_or(u64::MAX),
        "way": entry.way,
        "code": entry.request().code.0,
        "name": rq::name(entry.request().code),
        "topic": topic,
        "group": group,
        "client": entry.client.client_id.as_deref(),
        "peer": entry.client.peer,
    });
    if let Some(line) = line.as_object_mut() {
        for (name, decided) in decisions {
            line.insert((*name).to_owned(), json!(decided));
        }
    }
    format!("{line}\n")
}

impl Summary {
    fn note(&mut self, decided: &Decided) {
        self.commands = self.commands.saturating_add(1);
        let count = self.verdicts.entry(decided.verdict).or_default();
        *count = count.saturating_add(1);
        if decided.failure.is_some() {
            self.failed = self.failed.saturating_add(1);
        }
        self.time = self.time.saturating_add(Duration::from_nanos(decided.ns));
    }

    fn told(&self, args: &Args) -> String {
        if args.json {
            let summary = json!({
                "commands": self.commands,
                "verdicts": self.verdicts,
                "failed": self.failed,
                "left_out": self.left_out,
                "differences": args.against.as_ref().map(|_| self.differences),
            });
            return format!("{}\n", json!({ "summary": summary }));
        }
        let mut parts = vec![format!("{} commands", self.commands)];
        parts.extend(
            self.verdicts
                .iter()
                .map(|(verdict, count)| format!("{count} {verdict}")),
        );
        if self.failed > 0 {
            parts.push(format!("the filter failed on {}", self.failed));
        }
        if self.left_out > 0 {
            parts.push(format!("{} are missing in the recording", self.left_out));
        }
        if args.against.is_some() {
            parts.push(format!("{} differ", self.differences));
        }
        format!("{}\n", parts.join(", "))
    }
}

/// Says it on standard error.
fn tell(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(io::stderr(), "{text}"));
}
