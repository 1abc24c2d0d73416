//! `gimbal tail`: commands of a running Gimbal as they end, one line each.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::asking::{Asking, Where, encoded, harmless};
use super::paint::{Paint, print};

/// Follow the commands of a running Gimbal as they end
///
/// One line each: when, how it ended, what was asked, about which topic and group, by whom, at which broker, how long it
/// took, and what filters decided. Nothing is slowed down for it: when there are more than can be shown, it says how
/// many were left out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are the help text, printed as they are"
)]
pub(super) struct Args {
    #[command(flatten)]
    at: Where,

    /// Request codes, by name or number
    ///
    /// Default: all
    /// Example: --code SEND_MESSAGE_V2,310
    #[arg(long, value_name = "CODE[,CODE...]", verbatim_doc_comment)]
    code: Option<String>,

    /// The topic; * and ? stand for what is not known of it
    ///
    /// Default: all
    /// Example: --topic 'orders-*'
    #[arg(long, value_name = "TOPIC", verbatim_doc_comment)]
    topic: Option<String>,

    /// The producer or consumer group
    ///
    /// Default: all
    /// Example: --group billing
    #[arg(long, value_name = "GROUP", verbatim_doc_comment)]
    group: Option<String>,

    /// The client's id, address or user
    ///
    /// Default: all
    /// Example: --client '10.0.0.7*'
    #[arg(long, value_name = "WHO", verbatim_doc_comment)]
    client: Option<String>,

    /// A filter that decided something
    ///
    /// Default: any or none
    /// Example: --filter acl
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    filter: Option<String>,

    /// How they ended: forwarded, answered, denied, dropped, closed, refused, failed
    ///
    /// Default: any
    /// Example: --outcome denied,failed
    #[arg(long, value_name = "HOW[,HOW...]", verbatim_doc_comment)]
    outcome: Option<String>,

    /// Show about this part of them
    ///
    /// Default: 1
    /// Example: --sample 0.01
    #[arg(long, value_name = "PART", verbatim_doc_comment)]
    sample: Option<f64>,

    /// Leave after this many
    ///
    /// Default: never
    /// Example: --count 1
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    count: Option<u64>,

    /// Print each as a line of JSON
    ///
    /// Default: off
    #[arg(long, verbatim_doc_comment)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  gimbal tail
  gimbal tail --outcome denied,failed
  gimbal tail --topic 'orders-*' --json | jq .client";

/// Pauses between attempts to come back.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[expect(
    clippy::disallowed_methods,
    reason = "this process does nothing else meanwhile"
)]
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asking = args.at.asking()?;
    let query = query(args);
    let mut left = args.count;
    // Who is not there at all is an error; who goes later may come back.
    let mut events = Some(asking.events(&query)?);
    let mut pause = FIRST_PAUSE;
    loop {
        for event in events.take().into_iter().flatten() {
            let Ok((kind, data)) = event else { break };
            pause = FIRST_PAUSE;
            if !show(args, &kind, &data)? {
                continue;
            }
            left = left.map(|left| left.saturating_sub(1));
            if left == Some(0) {
                return Ok(ExitCode::SUCCESS);
            }
        }
        tell(&asking, pause);
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        events = asking.events(&query).ok();
    }
}

/// Says on standard error that the tail was lost.
fn tell(asking: &Asking, pause: Duration) {
    let text = format!("-- {} is gone; trying again in {pause:?}\n", asking.base());
    // Nobody is left to tell when standard error is closed.
    drop(io::Write::write_all(&mut io::stderr(), text.as_bytes()));
}

fn query(args: &Args) -> String {
    let sample = args.sample.map(|sample| sample.to_string());
    let given = [
        ("code", args.code.as_deref()),
        ("topic", args.topic.as_deref()),
        ("group", args.group.as_deref()),
        ("client", args.client.as_deref()),
        ("filter", args.filter.as_deref()),
        ("outcome", args.outcome.as_deref()),
        ("sample", sample.as_deref()),
    ];
    let pairs = given
        .into_iter()
        .filter_map(|(name, text)| Some(format!("{name}={}", encoded(text?))));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() {
        query
    } else {
        format!("?{query}")
    }
}

/// Prints an event; whether it was a command.
fn show(args: &Args, kind: &str, data: &str) -> io::Result<bool> {
    match kind {
        "command" if args.json => print(&format!("{data}\n"))?,
        "command" => {
            let record: Value = serde_json::from_str(data).unwrap_or_default();
            print(&line(&record, Paint::on(&io::stdout())))?;
        }
        "missed" if !args.json => {
            let missed: Value = serde_json::from_str(data).unwrap_or_default();
            let count = missed.get("missed").and_then(Value::as_u64).unwrap_or_default();
            print(&format!("-- {count} were left out\n"))?;
        }
        _ => {}
    }
    Ok(kind == "command")
}

/// One record as one line.
pub(super) fn line(record: &Value, paint: Paint) -> String {
    let text = |key: &str| harmless(record.get(key).and_then(Value::as_str).unwrap_or_default());
    let number = |key: &str| record.get(key).and_then(Value::as_u64).unwrap_or_default();
    let time = text("time");
    let time = time.get(11..23).unwrap_or(&time).to_owned();
    let outcome = text("outcome");
    let padded = format!("{outcome:<9}");
    let outcome = match outcome.as_str() {
        "forwarded" | "answered" => paint.good(&padded),
        "denied" | "dropped" | "closed" => paint.bad(&padded),
        _ => paint.warning(&padded),
    };
    let name = match text("name") {
        name if name.is_empty() => format!(
            "code {}",
            record.get("code").and_then(Value::as_i64).unwrap_or_default()
        ),
        name => name,
    };
    let about = [text("topic"), text("group")].join(" ");
    let who = match text("client") {
        client if client.is_empty() => text("peer"),
        client => client,
    };
    let filters = record
        .get("filters")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let decided = filters.map(|one| {
        let of = |key: &str| harmless(one.get(key).and_then(Value::as_str).unwrap_or_default());
        match of("detail") {
            detail if detail.is_empty() => format!("{} {}", of("filter"), of("verdict")),
            detail => format!("{} {} ({detail})", of("filter"), of("verdict")),
        }
    });
    let decided: Vec<String> = decided
        .chain(Some(text("remark")).filter(|remark| !remark.is_empty()))
        .collect();
    let (whole, part) = (number("total_us") / 1_000, number("total_us") % 1_000 / 100);
    let line = format!(
        "{time} {outcome} {name:<26} {:<28} {who:<24} {:<10} {whole:>5}.{part} ms  {}",
        about.trim(),
        text("broker"),
        decided.join("; ")
    );
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_whatever_is_in_it() {
        let record = serde_json::json!({
            "time": "2026-01-02T03:04:05.678Z", "outcome": "denied", "name": "SEND_MESSAGE_V2", "topic": "a\nb\u{1b}[2J",
            "client": "c@1", "total_us": 1_250, "remark": "no", "filters": [{"filter": "acl", "verdict": "answer", "detail": "16"}],
        });
        let line = line(&record, Paint::plain());
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.starts_with("03:04:05.678 denied    SEND_MESSAGE_V2"),
            "{line}"
        );
        assert!(line.ends_with("1.2 ms  acl answer (16); no\n"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}
