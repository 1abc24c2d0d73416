//! `gimbal status`: a running Gimbal at a glance.

use std::io;
use std::process::ExitCode;

use super::FAILED;
use super::asking::{Where, harmless};
use super::paint::{Paint, print};
use crate::admin::view::{Filter, Listener, Status, Upstreams};

/// Show a running Gimbal at a glance
///
/// Whether it takes new clients and why not, its listeners, brokers and filters, and how the last reload ended.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    at: Where,

    /// Print everything as JSON
    ///
    /// Default: off
    #[arg(long, verbatim_doc_comment)]
    json: bool,
}

const EXAMPLES: &str = "\
Exit code:
  0   ready for new clients
  1   not ready, or nobody answered

Examples:
  gimbal status
  gimbal status --admin http://10.0.0.5:9860 --json";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let asking = args.at.asking()?;
    let status: Status = asking.ask("/api/v1/status")?;
    let listeners: Vec<Listener> = asking.ask("/api/v1/listeners")?;
    let upstreams: Upstreams = asking.ask("/api/v1/upstreams")?;
    let filters: Vec<Filter> = asking.ask("/api/v1/filters")?;
    let text = if args.json {
        let all = serde_json::json!({
            "status": status, "listeners": listeners, "upstreams": upstreams, "filters": filters,
        });
        format!("{}\n", serde_json::to_string_pretty(&all)?)
    } else {
        let paint = Paint::on(&io::stdout());
        let mut text = of_process(&status, paint);
        text += &of_doors(&listeners, &upstreams);
        text += &of_filters(&filters, paint);
        text + &of_reload(&status, paint)
    };
    print(&text)?;
    Ok(if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn of_process(status: &Status, paint: Paint) -> String {
    let ready = if status.ready {
        paint.good("ready")
    } else {
        paint.bad(if status.draining { "leaving" } else { "not ready" })
    };
    let up = humantime::format_duration(std::time::Duration::from_secs(status.uptime_s));
    let mut text = format!("Gimbal {}  {ready}  up {up}\n", status.version);
    for reason in &status.reasons {
        line(&mut text, &format!("  because {}", harmless(reason)));
    }
    let counts = &status.counts;
    line(
        &mut text,
        &format!(
            "{} clients, {} brokers, {} routes, configuration {}, filters {}, logging {}",
            counts.sessions,
            counts.brokers,
            counts.routes,
            status.generation,
            status.chain_generation,
            status.log_level
        ),
    );
    text
}

fn of_doors(listeners: &[Listener], upstreams: &Upstreams) -> String {
    let mut text = "\n".to_owned();
    for listener in listeners {
        let ports = listener.broker_ports.len();
        line(
            &mut text,
            &format!(
                "listener {:<14} {:<22} TLS {}, {} clients, {ports} broker ports",
                listener.name, listener.bind, listener.tls, listener.sessions
            ),
        );
    }
    for server in &upstreams.nameservers {
        let state = server
            .health
            .as_ref()
            .map_or("not asked yet", |health| health.circuit.as_str());
        line(
            &mut text,
            &format!(
                "name server             {:<22} {}",
                harmless(&server.address),
                reach(state)
            ),
        );
    }
    for broker in &upstreams.brokers {
        let address = broker
            .addresses
            .values()
            .next()
            .map_or("no address", String::as_str);
        let worst = broker
            .health
            .iter()
            .find(|health| health.circuit != "closed")
            .or(broker.health.first());
        let state = worst.map_or("not dialled yet", |health| health.circuit.as_str());
        line(
            &mut text,
            &format!(
                "broker {:<16} {:<22} {}, {} links, {} in flight",
                harmless(&broker.name),
                harmless(address),
                reach(state),
                broker.links,
                broker.in_flight
            ),
        );
        if let Some(error) = worst
            .filter(|health| health.circuit != "closed")
            .and_then(|health| health.last_error.as_ref())
        {
            line(&mut text, &format!("  {}", harmless(error)));
        }
    }
    text
}

fn reach(circuit: &str) -> &str {
    match circuit {
        "closed" => "reachable",
        "open" | "half-open" => "UNREACHABLE",
        other => other,
    }
}

fn of_filters(filters: &[Filter], paint: Paint) -> String {
    let mut text = "\n".to_owned();
    if filters.is_empty() {
        line(&mut text, "no filters");
    }
    for filter in filters {
        let state = match (filter.is_disabled, filter.mode.as_str(), filter.serving.as_str()) {
            (true, ..) => paint.warning("disabled"),
            (_, "off", _) => "off".to_owned(),
            (_, _, "refusal") => paint.bad("refuses everything"),
            (_, _, "nothing") => paint.bad("not in force"),
            (_, mode, "current") => mode.to_owned(),
            (_, mode, serving) => format!("{mode}, {}", paint.warning(serving)),
        };
        let counters = &filter.counters;
        let cost = counters
            .nanos
            .checked_div(counters.calls)
            .map_or(0, |nanos| nanos / 1_000);
        let version = filter.version.as_deref().unwrap_or("-");
        line(
            &mut text,
            &format!(
                "filter {:<16} {:<8} {state}  {} calls, {cost} us each, {} answered, {} failed",
                harmless(&filter.name),
                harmless(version),
                counters.calls,
                counters.answers,
                counters.failures
            ),
        );
        if let Some(trouble) = &filter.trouble {
            line(
                &mut text,
                &format!("  {}: {}", trouble.step, harmless(&trouble.text)),
            );
        }
    }
    text
}

fn of_reload(status: &Status, paint: Paint) -> String {
    let Some(last) = status.reloads.last() else {
        return String::new();
    };
    let mut text = "\n".to_owned();
    let outcome = if last.ok {
        paint.good("in force")
    } else {
        paint.bad("refused")
    };
    line(
        &mut text,
        &format!(
            "last reading of the configuration: {} ({}), {outcome}",
            last.time, last.reason
        ),
    );
    for problem in &last.problems {
        line(&mut text, &format!("  {}", harmless(problem)));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
