//! The written form becomes [`Config`], with every problem on the way and the path it is at.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::EnvFilter;

use super::file::{DrainSection, File, LimitsSection, Listener as Written, TimeoutsSection};
use super::problem::{Problems, nearest};
use super::{Allow, Config, Drain, Limits, Listener, Timeouts, ports};
use crate::protocol::{Code, request};

const KIB: usize = 1 << 10;
/// What clients of every age read; none answers a larger frame with anything but a closed connection.
const CLIENT_FRAME: usize = 16 << 20;
/// The frame length travels as a signed 32-bit number.
const LARGEST_FRAME: usize = 0x7fff_ffff;
/// Java clients give up on a pull after 30 s and close the connection, so an answer must be there before.
const LONGEST_WAIT: Duration = Duration::from_secs(28);
/// Clients of every kind send a heartbeat every 30 s; one may be lost.
const SHORTEST_IDLE: Duration = Duration::from_secs(60);
const MOST_WORKERS: usize = 1024;
const HOST_PORT: &str = "HOST:PORT, such as \"10.0.0.1:9876\", \"ns.example.org:9876\" or \"[::1]:9876\"";
const BIND: &str = "an IP address and a port, such as \"0.0.0.0:9876\" or \"[::]:9876\"";
const HOST: &str = "a host name or an IP address, without a port";

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
    let config = Config {
        nameservers,
        allow: check_allow(&file.allow.0, problems),
        limits: check_limits(&file.limits, problems),
        timeouts: check_timeouts(&file.timeouts, problems),
        drain: check_drain(&file.drain),
        state_dir: check_state_dir(file.state_dir.as_deref()),
        workers: check_workers(file.workers, problems),
        listeners: listeners.into_iter().collect::<Option<_>>()?,
    };
    ports::check(&config.listeners, problems);
    Some(config)
}

/// Splits `text` into host and port, with brackets taken off an IPv6 address; `Err` says what is wrong.
pub(crate) fn host_port(text: &str) -> Result<(&str, u16), String> {
    if text.contains("://") {
        return Err(format!("is {text:?}, a URL"));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("is {text:?}, which has no port"));
    };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if bracketed.is_none() && host.contains(':') {
        return Err(format!("is {text:?}, an IPv6 address without brackets"));
    }
    let host = bracketed.unwrap_or(host);
    let host_ok = if bracketed.is_some() {
        host.parse::<IpAddr>().is_ok()
    } else {
        is_host(host)
    };
    match port.parse::<u16>() {
        _ if !host_ok => Err(format!("is {text:?}, where {host:?} is not a host")),
        Err(_) => Err(format!(
            "is {text:?}, where {port:?} is not a port from 0 to 65535"
        )),
        Ok(port) => Ok((host, port)),
    }
}

fn is_host(host: &str) -> bool {
    // Underscores are no part of a host name by the book, yet container networks hand them out.
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numeric {
        host.parse::<IpAddr>().is_ok()
    } else {
        host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
    }
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

fn check_listener(written: &Written, index: usize, problems: &mut Problems) -> Option<Listener> {
    let at = |key: &str| format!("listener[{index}].{key}");
    let bind = check_bind(&written.bind, &at("bind"), problems);
    let advertise = check_advertise(written.advertise.as_deref(), &at("advertise"), problems);
    let is_ip = advertise
        .as_ref()
        .is_some_and(|host| host.parse::<IpAddr>().is_ok());
    if written.rewrite_store_host && !is_ip {
        let found = advertise.as_ref().map_or_else(
            || "no host is advertised".to_owned(),
            |host| format!("the advertised host is the name {host:?}"),
        );
        let what = format!("needs an advertised IP address, because messages hold no names; {found}");
        problems.error(
            &at("rewrite_store_host"),
            what,
            format!("an IP address in {}, or false", at("advertise")),
        );
    }
    let broker_ports = written
        .broker_ports
        .as_deref()
        .and_then(|text| check_range(text, &at("broker_ports"), problems));
    check_brokers(&written.brokers, &at("brokers"), problems);
    if advertise.is_some() && written.brokers.is_empty() {
        problems.warning(
            &at("brokers"),
            "fixes no broker's port; several instances behind the advertised address would give the same \
             broker different ports, and clients would reach the wrong broker",
            "brokers = { BROKER_NAME = PORT, ... } wherever more than one instance runs",
        );
    }
    Some(Listener {
        name: written.name.clone(),
        bind: bind?,
        advertise,
        addressing: written.addressing.into(),
        broker_ports,
        brokers: written.brokers.clone(),
        rewrite_store_host: written.rewrite_store_host,
    })
}

fn check_bind(text: &str, path: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let (host, port) = match host_port(text) {
        Ok(split) => split,
        Err(what) => {
            problems.error(path, what, BIND);
            return None;
        }
    };
    let ip = if host == "localhost" {
        Some(IpAddr::from([127, 0, 0, 1]))
    } else {
        host.parse().ok()
    };
    match ip {
        None => problems.error(
            path,
            format!("is {text:?}, where {host:?} is not an IP address"),
            BIND,
        ),
        Some(_) if matches!(port, 1 | 2) => {
            problems.error(
                path,
                format!("has port {port}, and the port two below is needed too"),
                BIND,
            );
        }
        Some(ip) => return Some(SocketAddr::new(ip, port)),
    }
    None
}

fn check_advertise(text: Option<&str>, path: &str, problems: &mut Problems) -> Option<String> {
    let text = text?;
    let host = text
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(text);
    let what = match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => format!("is {text:?}, an address nobody can connect to"),
        Ok(_) => return Some(host.to_owned()),
        Err(_) if is_host(host) => return Some(host.to_owned()),
        Err(_) if host_port(text).is_ok() => format!("is {text:?}, which has a port"),
        Err(_) => format!("is {text:?}, which is not a host"),
    };
    problems.error(path, what, HOST);
    None
}

fn check_range(text: &str, path: &str, problems: &mut Problems) -> Option<(u16, u16)> {
    const ACCEPTED: &str = "FIRST-LAST with at least 4 ports, such as \"12000-12063\"";
    let ends = text
        .split_once('-')
        .map(|(a, b)| (a.trim().parse::<u16>(), b.trim().parse::<u16>()));
    let what = match ends {
        Some((Ok(0), Ok(_))) => "starts at port 0".to_owned(),
        Some((Ok(first), Ok(last))) if first > last => {
            format!("is {text:?}, where the last port is below the first")
        }
        // One broker takes a port and the one two below it, so fewer would not hold two brokers.
        Some((Ok(first), Ok(last))) if last - first < 3 => format!("is {text:?}, too few to serve brokers"),
        Some((Ok(first), Ok(last))) => return Some((first, last)),
        _ => format!("is {text:?}, which is not a range of ports"),
    };
    problems.error(path, what, ACCEPTED);
    None
}

fn check_brokers(brokers: &BTreeMap<String, u16>, path: &str, problems: &mut Problems) {
    for (name, port) in brokers {
        let path = format!("{path}.{name}");
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-');
        if name.is_empty() || name.len() > 255 || !name.chars().all(known) {
            problems.error(
                &path,
                "is not a broker name",
                "1 to 255 letters, digits, \"-\", \"_\", \"%\" and \"|\"",
            );
        }
        if *port < 3 {
            problems.error(
                &path,
                format!("is port {port}, and the port two below is needed too"),
                "3 to 65535",
            );
        }
    }
}

fn check_names(written: &[Written], problems: &mut Problems) {
    for (i, listener) in written.iter().enumerate() {
        let path = format!("listener[{i}].name");
        let name = &listener.name;
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(valid) {
            problems.error(
                &path,
                format!("is {name:?}"),
                "1 to 64 letters, digits, \"-\" and \"_\"",
            );
        } else if let Some(other) = written.iter().take(i).position(|other| other.name == *name) {
            let what = format!("is {name:?}, like that of listener[{other}]");
            problems.error(&path, what, "a name of its own for each listener");
        }
    }
}

/// The code that `word` names or numbers.
fn code(word: &str) -> Result<Code, String> {
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

fn accepted_code(word: &str, groups: &[&'static str]) -> String {
    let names = request::ALL
        .iter()
        .map(|(_, name)| *name)
        .chain(groups.iter().copied());
    let near = nearest(word, names)
        .map(|n| format!("{n} (closest); "))
        .unwrap_or_default();
    let groups = groups.iter().map(|g| format!("{g}, ")).collect::<String>();
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

fn check_limits(written: &LimitsSection, problems: &mut Problems) -> Limits {
    let frame = written.frame.0;
    if !(KIB..=LARGEST_FRAME).contains(&frame) {
        problems.error(
            "limits.frame",
            format!("is {}", written.frame),
            "1 KiB to 2147483647 B",
        );
    } else if frame > CLIENT_FRAME {
        let what = format!(
            "is {}, more than clients read unless they are told to",
            written.frame
        );
        problems.warning(
            "limits.frame",
            what,
            "16 MiB, or the clients' own com.rocketmq.remoting.frameMaxLength",
        );
    }
    if written.queue.0 < 64 * KIB {
        problems.error("limits.queue", format!("is {}", written.queue), "64 KiB or more");
    }
    if written.connections == 0 {
        problems.error("limits.connections", "is 0, so nobody could connect", "1 or more");
    }
    Limits {
        frame,
        queue: written.queue.0,
        connections: written.connections,
    }
}

fn check_timeouts(written: &TimeoutsSection, problems: &mut Problems) -> Timeouts {
    for (key, period) in [
        ("connect", written.connect),
        ("idle", written.idle),
        ("opening", written.opening),
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
