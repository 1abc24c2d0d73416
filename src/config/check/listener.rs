//! What a listener and its addresses are checked for, one listener at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::config::Listener;
use crate::config::file::Listener as Written;
use crate::config::grpc::check_grpc;
use crate::config::problem::Problems;
use crate::config::proxied::check_proxy_protocol;
use crate::config::tls::check_server;
use crate::config::upstream::patience;

const BIND: &str = "an IP address and a port, such as \"0.0.0.0:9876\" or \"[::]:9876\"";
const HOST: &str = "a host name or an IP address, without a port";

/// Checks listener `index`; `None` only where problems were found.
pub(super) fn check_listener(written: &Written, index: usize, problems: &mut Problems) -> Option<Listener> {
    let at = |key: &str| format!("listener[{index}].{key}");
    let bind = check_bind(&written.bind, &at("bind"), problems);
    let advertise = check_advertise(written.advertise.as_deref(), &at("advertise"), problems);
    let is_ip = advertise
        .as_ref()
        .is_some_and(|host| host.parse::<IpAddr>().is_ok());
    if written.rewrite_store_host && !is_ip {
        let found = advertise.as_ref().map_or_else(
            || "no host is advertised".to_owned(),
            |host| format!("{host:?} is a name"),
        );
        let what = format!("needs an IP address to put into messages, but {found}");
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
        problems.advise(
            &at("brokers"),
            "fixes no broker's port: several Gimbals behind one address would give a broker different ports",
            "fixed ports, such as { broker-a = 12002 }; or nothing, if this is the only instance",
        );
    }
    let grpc = check_grpc(&written.grpc, &at("grpc"), problems);
    let tls = check_server(&written.tls, grpc.is_some(), &at("tls"), problems);
    let proxy_protocol = check_proxy_protocol(
        &written.proxy_protocol.0,
        written.proxy_protocol_required,
        index,
        problems,
    );
    Some(Listener {
        name: written.name.clone(),
        bind: bind?,
        advertise,
        addressing: written.addressing.into(),
        broker_ports,
        brokers: written.brokers.clone(),
        rewrite_store_host: written.rewrite_store_host,
        connections: (written.connections > 0).then_some(written.connections),
        keep_alive: patience(written.keep_alive, &at("keep_alive"), problems),
        user_timeout: patience(written.user_timeout, &at("user_timeout"), problems),
        tls,
        proxy_protocol,
        grpc,
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

/// Names tell listeners apart in logs and in the state folder.
pub(super) fn check_names(written: &[Written], problems: &mut Problems) {
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

/// Splits `text` into host and port, with brackets taken off an IPv6 address; `Err` says what is wrong.
pub(in crate::config) fn host_port(text: &str) -> Result<(&str, u16), String> {
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
