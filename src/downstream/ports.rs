//! Which port stands for which broker: one name for good, through restarts and failovers.
//!
//! Clients of the 4.4 age send to *port − 2* of the address they are given, so every port handed out leaves that gap:
//! in each block of four, the upper two are handed out and the lower two stand two below them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// How far below a port old clients send (`MixAll.brokerVIPChannel`).
pub(super) const VIP_GAP: u16 = 2;
const BLOCK: u16 = 4;
/// Ports of a derived range: 32 brokers.
const DERIVED_LEN: u16 = 64;
/// Derived ranges lie between the registered ports of RocketMQ and the system's ephemeral ports.
const DERIVED_FROM: u16 = 11_000;
const DERIVED_SLOTS: u16 = 340;

/// The range for a listener that was given none: neighbouring listener ports get disjoint ranges.
pub(super) fn derived_range(listener_port: u16) -> (u16, u16) {
    let slot = listener_port % DERIVED_SLOTS;
    let first = DERIVED_FROM.saturating_add(slot.saturating_mul(DERIVED_LEN));
    (first, first.saturating_add(DERIVED_LEN - 1))
}

/// No port is left for a broker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RangeFull {
    range: (u16, u16),
}

impl fmt::Display for RangeFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = self.range;
        write!(
            f,
            "no port is free in broker_ports {first}-{last}: each broker takes one, and two below it another; widen the \
             range or free its ports"
        )
    }
}

/// The ports of one listener's brokers.
#[derive(Debug)]
pub(super) struct PortBook {
    range: (u16, u16),
    fixed: BTreeMap<String, u16>,
    assigned: BTreeMap<String, u16>,
}

impl PortBook {
    /// A book with ports fixed by the operator and ports assigned earlier; the former win.
    pub(super) fn new(
        range: (u16, u16),
        fixed: BTreeMap<String, u16>,
        assigned: BTreeMap<String, u16>,
    ) -> Self {
        Self {
            range,
            fixed,
            assigned,
        }
    }

    /// The port of a broker that has one.
    pub(super) fn port(&self, broker: &str) -> Option<u16> {
        self.fixed
            .get(broker)
            .or_else(|| self.assigned.get(broker))
            .copied()
    }

    /// Gives a broker the first port that is free here and that `bind` accepts.
    pub(super) fn assign<T>(
        &mut self,
        broker: &str,
        mut bind: impl FnMut(u16) -> Option<T>,
    ) -> Result<(u16, T), RangeFull> {
        let (first, last) = self.range;
        let is_upper = |port: &u16| port.saturating_sub(first) % BLOCK >= VIP_GAP;
        let free = (first..=last)
            .filter(is_upper)
            .filter(|port| !self.is_taken(*port));
        for port in free.collect::<Vec<_>>() {
            if let Some(bound) = bind(port) {
                self.assigned.insert(broker.to_owned(), port);
                return Ok((port, bound));
            }
        }
        Err(RangeFull { range: self.range })
    }

    /// Every broker with a port, retired ones included.
    pub(super) fn all(&self) -> BTreeMap<String, u16> {
        let mut all = self.assigned.clone();
        all.extend(self.fixed.clone());
        all
    }

    /// What is to be remembered.
    pub(super) fn assigned(&self) -> &BTreeMap<String, u16> {
        &self.assigned
    }

    fn is_taken(&self, port: u16) -> bool {
        let ports = || self.fixed.values().chain(self.assigned.values());
        ports().any(|taken| {
            let taken_low = taken.saturating_sub(VIP_GAP);
            let low = port.saturating_sub(VIP_GAP);
            *taken == port || taken_low == port || *taken == low || taken_low == low
        })
    }
}

/// The file in which one listener's ports are remembered: broker name to port.
///
/// The port of the listener is part of the file's name, so that two instances may share a folder.
#[derive(Debug)]
pub(super) struct PortFile {
    path: Option<PathBuf>,
}

impl PortFile {
    /// The file of a listener in `folder`; `None` remembers nothing beyond this process.
    pub(super) fn new(folder: Option<&Path>, listener: &str, port: u16) -> Self {
        Self {
            path: folder.map(|folder| folder.join(format!("ports-{listener}-{port}.json"))),
        }
    }

    /// The ports remembered. A missing file is an empty one.
    pub(super) fn load(&self) -> io::Result<BTreeMap<String, u16>> {
        let Some(path) = &self.path else {
            return Ok(BTreeMap::new());
        };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => {
                return Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", path.display()),
                ));
            }
        };
        serde_json::from_slice(&text).map_err(|error| {
            let what = format!(
                "{}: {error}; expected {{\"broker\": port}}: repair it, or remove it if clients may see other ports",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    /// Remembers these ports. The file is replaced as a whole, so a crash leaves the old or the new one.
    pub(super) fn store(&self, ports: &BTreeMap<String, u16>) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension("json.new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(ports)?)?;
        std::fs::rename(&fresh, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(range: (u16, u16), fixed: &[(&str, u16)]) -> PortBook {
        let fixed = fixed
            .iter()
            .map(|(name, port)| ((*name).to_owned(), *port))
            .collect();
        PortBook::new(range, fixed, BTreeMap::new())
    }

    #[test]
    fn no_port_is_two_below_another() {
        let mut book = book((12_000, 12_015), &[("fixed", 12_007)]);
        let mut ports: Vec<u16> = ["a", "b", "c", "d", "e", "f", "g"]
            .iter()
            .map(|name| book.assign(name, Some).unwrap().0)
            .collect();
        ports.push(12_007);
        for port in &ports {
            assert!(!ports.contains(&(port - VIP_GAP)), "{port} in {ports:?}");
        }
        assert_eq!(
            book.assign("h", Some).unwrap_err(),
            RangeFull {
                range: (12_000, 12_015)
            }
        );
    }

    #[test]
    fn occupied_ports_are_passed_over_and_names_keep_theirs() {
        let mut book = book((12_000, 12_007), &[]);
        let (port, ()) = book.assign("a", |port| (port != 12_002).then_some(())).unwrap();
        assert_eq!(
            (port, book.port("a"), book.port("b")),
            (12_003, Some(12_003), None)
        );
    }

    #[test]
    fn neighbouring_listeners_get_disjoint_ranges() {
        let (first, last) = derived_range(9_876);
        let (next, _) = derived_range(9_877);
        assert!(last < next && first > 10_911, "{first}-{last}, {next}");
    }

    #[test]
    fn ports_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let file = PortFile::new(Some(&state), "main", 9_876);
        let ports = BTreeMap::from([("broker-a".to_owned(), 12_002)]);
        file.store(&ports).unwrap();
        assert_eq!(PortFile::new(Some(&state), "main", 9_876).load().unwrap(), ports);
        let other = PortFile::new(Some(&state), "main", 9_877);
        assert_eq!(
            other.load().unwrap(),
            BTreeMap::new(),
            "another instance has its own"
        );
        std::fs::write(state.join("ports-main-9876.json"), "[]").unwrap();
        let error = file.load().unwrap_err().to_string();
        assert!(
            error.contains("ports-main-9876.json") && error.contains("repair it"),
            "{error}"
        );
    }
}
