//! The written form becomes [`Config`], with every problem on the way and the path it is at.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::EnvFilter;

use super::file::{DrainSection, File, Listener as Written, TimeoutsSection};
use super::problem::{Problems, nearest};
use super::upstream::check_upstream;
use super::{Allow, Config, Drain, Timeouts, access_log, admin, metrics, otlp, ports, tracing};
use crate::protocol::{Code, request};
use filters::check_filters;
use listener::{check_listener, check_names};

pub(super) use listener::host_port;

mod filters;
mod listener;

/// Java clients give up on a pull after 30 s and close the connection, so an answer must be there before.
const LONGEST_WAIT: Duration = Duration::from_secs(28);
/// Clients of every kind send a heartbeat every 30 s; one may be lost.
const SHORTEST_IDLE: Duration = Duration::from_mins(1);
const MOST_WORKERS: usize = 1024;
const HOST_PORT: &str = "HOST:PORT, such as \"10.0.0.1:9876\", \"ns.example.org:9876\" or \"[::1]:9876\"";

/// Checks `file`. `None` only where problems were found; found problems do not always mean `None`.
pub(super) fn check(file: &File, problems: &mut Problems) -> Option<Config> {
    check_log(&file.log.level, problems);
    let nameservers = check_nameservers(&file.nameservers.0, problems);
    let default_listener = [Written::default()];
    let written = if file.listener.is_empty() {
        &default_listener[..]
    } else {
        &file.listener
    };
    let listeners: Vec<_> = written
        .iter()
        .enumerate()
        .map(|(i, l)| check_listener(l, i, problems))
        .collect();
    check_names(written, problems);
    let state_dir = check_state_dir(file.state_dir.as_deref());
    let config = Config {
        nameservers,
        allow: check_allow(&file.allow.0, problems),
        limits: file.limits.check(problems),
        timeouts: check_timeouts(&file.timeouts, problems),
        drain: check_drain(&file.drain),
        upstream: check_upstream(&file.upstream, problems),
        filters: check_filters(file, state_dir.as_deref(), problems),
        state_dir,
        workers: check_workers(file.workers, problems),
        credentials: None,
        admin: admin::check(&file.admin, problems),
        metrics: metrics::check(file.metrics, problems),
        access_log: access_log::check(&file.access_log, problems),
        tracing: tracing::check(file.tracing, &file.otlp, problems),
        otlp: otlp::check(&file.otlp, problems),
        listeners: listeners.into_iter().collect::<Option<_>>()?,
    };
    ports::check(&config.listeners, problems);
    Some(config)
}

fn check_log(level: &str, problems: &mut Problems) {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const PATH: &str = "log.level";
    for part in level.split(',').map(str::trim) {
        let level = part
            .rsplit_once('=')
            .map_or(part, |(_, level)| level)
            .to_ascii_lowercase();
        if !LEVELS.contains(&level.as_str()) {
            let near = nearest(&level, LEVELS)
                .map(|l| format!("{l} (closest); "))
                .unwrap_or_default();
            let what = format!("has {part:?}, which names no level");
            problems.error(PATH, what, format!("{near}{}", LEVELS.join(", ")));
            return;
        }
    }
    if let Err(error) = EnvFilter::builder().parse(level) {
        problems.error(
            PATH,
            format!("is not a filter: {error}"),
            "a level, or \"info,gimbal::route=debug\"",
        );
    }
}

fn check_nameservers(written: &[String], problems: &mut Problems) -> Vec<String> {
    const PATH: &str = "nameservers";
    if written.is_empty() {
        problems.error(PATH, "names no name server", format!("at least one {HOST_PORT}"));
    }
    let mut checked: Vec<String> = Vec::new();
    for (i, text) in written.iter().enumerate() {
        let path = format!("{PATH}[{i}]");
        match host_port(text) {
            Err(what) => problems.error(&path, what, HOST_PORT),
            Ok((_, 0)) => problems.error(&path, "has port 0", HOST_PORT),
            Ok(_) if checked.contains(text) => {
                problems.warning(
                    &path,
                    format!("names {text} a second time"),
                    "each name server once",
                );
            }
            Ok(_) => checked.push(text.clone()),
        }
    }
    checked
}

/// The code that `word` names or numbers.
pub(super) fn code(word: &str) -> Result<Code, String> {
    if let Ok(number) = word.parse::<i32>() {
        return if number >= 0 {
            Ok(Code(number))
        } else {
            Err("no code is negative".to_owned())
        };
    }
    let named = request::ALL
        .iter()
        .find(|(_, name)| name.eq_ignore_ascii_case(word));
    named
        .map(|(code, _)| *code)
        .ok_or_else(|| format!("{word:?} names no request code"))
}

/// What is accepted in place of `word`.
pub(super) fn accepted_code(word: &str, groups: &[&'static str]) -> String {
    let names = request::ALL
        .iter()
        .map(|(_, name)| *name)
        .chain(groups.iter().copied());
    let near = nearest(word, names)
        .map(|n| format!("{n} (closest); "))
        .unwrap_or_default();
    let groups = groups.iter().flat_map(|group| [*group, ", "]).collect::<String>();
    format!("{near}{groups}the name of a request code, or its number")
}

fn check_allow(written: &[String], problems: &mut Problems) -> Allow {
    let mut allow = Allow::default();
    for (i, word) in written.iter().enumerate() {
        match word.as_str() {
            "admin" => allow.admin = true,
            "request-reply" => allow.request_reply = true,
            _ => match code(word) {
                Ok(code) if allow.codes.contains(&code) => {}
                Ok(code) => allow.codes.push(code),
                Err(what) => {
                    let accepted = accepted_code(word, &["admin", "request-reply"]);
                    problems.error(&format!("allow[{i}]"), what, accepted);
                }
            },
        }
    }
    allow
}

fn check_timeouts(written: &TimeoutsSection, problems: &mut Problems) -> Timeouts {
    for (key, period) in [
        ("connect", written.connect),
        ("idle", written.idle),
        ("opening", written.opening),
        ("frame", written.frame),
        ("stalled", written.stalled),
    ] {
        if period.0.is_zero() {
            problems.error(
                &format!("timeouts.{key}"),
                "is zero",
                "a longer time, such as \"1s\"",
            );
        }
    }
    if !written.idle.0.is_zero() && written.idle.0 < SHORTEST_IDLE {
        let what = "is so short that clients with nothing to do are cut off between their heartbeats";
        problems.warning("timeouts.idle", what, "60s or more");
    }
    let mut commands = BTreeMap::new();
    for (word, period) in &written.commands {
        let path = format!("timeouts.commands.{word}");
        match code(word) {
            Err(what) => problems.error(&path, what, accepted_code(word, &[])),
            Ok(_) if period.0.is_zero() => problems.error(&path, "is zero", "a longer time, such as \"1s\""),
            Ok(code) => {
                if commands.insert(code, period.0).is_some() {
                    problems.error(&path, format!("sets code {code} a second time"), "each code once");
                } else if period.0 > LONGEST_WAIT {
                    let what = "is longer than Java clients wait; they close the connection after 30 s";
                    problems.warning(&path, what, "28s or less");
                }
            }
        }
    }
    Timeouts {
        connect: written.connect.0,
        idle: written.idle.0,
        opening: written.opening.0,
        frame: written.frame.0,
        stalled: written.stalled.0,
        commands,
    }
}

fn check_drain(written: &DrainSection) -> Drain {
    Drain {
        delay: written.delay.0,
        deadline: written.deadline.0,
        go_away: written.go_away,
    }
}

fn check_state_dir(written: Option<&str>) -> Option<PathBuf> {
    match written {
        Some("") => None,
        Some(folder) => Some(folder.into()),
        None => Some("gimbal-state".into()),
    }
}

fn check_workers(written: Option<usize>, problems: &mut Problems) -> usize {
    let workers = written.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    if workers == 0 || (written.is_some() && workers > MOST_WORKERS) {
        problems.error("workers", format!("is {workers}"), format!("1 to {MOST_WORKERS}"));
    }
    workers
}

#[cfg(test)]
mod tests;
