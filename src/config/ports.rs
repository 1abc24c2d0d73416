//! Ports that two settings would both take, found before the sockets are opened.
//!
//! Clients of the 4.4 age send to the port two below the one they were given, so whoever takes port P also
//! takes P − 2. The ports of a range include those.

use std::net::IpAddr;

use super::Listener;
use super::problem::Problems;

/// Ports taken by one setting of one listener.
struct Claim {
    listener: usize,
    ip: IpAddr,
    path: String,
    is_bind: bool,
    first: u16,
    last: u16,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Port,
    /// Two below the port that was written.
    Below,
    Range,
}

/// Reports every pair of settings that claim the same port on addresses that overlap, once per pair.
pub(super) fn check(listeners: &[Listener], problems: &mut Problems) {
    let claims: Vec<Claim> = listeners
        .iter()
        .enumerate()
        .flat_map(|(i, l)| claims(i, l))
        .collect();
    let mut reported: Vec<(&str, &str)> = Vec::new();
    for (i, later) in claims.iter().enumerate() {
        for earlier in claims.iter().take(i) {
            let pair = (earlier.path.as_str(), later.path.as_str());
            if earlier.collides_with(later) && !reported.contains(&pair) {
                reported.push(pair);
                problems.error(&later.path, later.against(earlier), accepted(later));
            }
        }
    }
}

fn claims(listener: usize, l: &Listener) -> Vec<Claim> {
    let ip = l.bind.ip();
    let at = |key: &str| format!("listener[{listener}].{key}");
    let mut claims = Vec::new();
    let mut claim = |path: &str, first: u16, last: u16, kind: Kind| {
        claims.push(Claim {
            listener,
            ip,
            path: path.to_owned(),
            is_bind: path == at("bind"),
            first,
            last,
            kind,
        });
    };
    let fixed = l
        .brokers
        .iter()
        .map(|(name, port)| (at(&format!("brokers.{name}")), *port));
    // The range comes before the fixed ports, so that those are blamed for meeting another listener's range.
    let bind = (at("bind"), l.bind.port());
    if let Some((first, last)) = l.broker_ports {
        claim(&at("broker_ports"), first, last, Kind::Range);
    }
    for (path, port) in std::iter::once(bind).chain(fixed) {
        // Port 0 is whatever the system finds free; 1 and 2 are refused elsewhere.
        if let Some(below) = port.checked_sub(2).filter(|below| *below > 0) {
            claim(&path, port, port, Kind::Port);
            claim(&path, below, below, Kind::Below);
        }
    }
    claims
}

fn accepted(claim: &Claim) -> &'static str {
    match claim.kind {
        Kind::Range => "a range that holds no other port of these addresses",
        Kind::Port | Kind::Below => "a port that is free, and free two below",
    }
}

impl Claim {
    fn collides_with(&self, other: &Self) -> bool {
        let same_setting = self.path == other.path;
        // Fixed ports may lie in their own listener's range: the range gives them to nobody else.
        let own_range = self.listener == other.listener
            && (self.kind == Kind::Range || other.kind == Kind::Range)
            && !self.is_bind
            && !other.is_bind;
        let overlap = self.first <= other.last && other.first <= self.last;
        !same_setting && !own_range && overlap && ips_overlap(self.ip, other.ip)
    }

    fn against(&self, other: &Self) -> String {
        let mine = match self.kind {
            Kind::Port => format!("takes port {}", self.first),
            Kind::Below => format!("takes port {} too (two below {})", self.first, self.first + 2),
            Kind::Range => format!("takes ports {}-{}", self.first, self.last),
        };
        let theirs = match other.kind {
            Kind::Port => format!("{} takes port {}", other.path, other.first),
            Kind::Below => format!(
                "{} takes port {} (two below {})",
                other.path,
                other.first,
                other.first + 2
            ),
            Kind::Range => format!("{} takes {}-{}", other.path, other.first, other.last),
        };
        if self.kind == Kind::Port && other.kind == Kind::Port {
            format!("{mine}, as does {}", other.path)
        } else {
            format!("{mine}, but {theirs}")
        }
    }
}

fn ips_overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}
