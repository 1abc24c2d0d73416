//! What a filter looked at, said and used in its turn: noted only for those who try filters.

/// Things that are noted of one command, at most.
const NOTED: usize = 1_000;

/// What was noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// What it read, in the order it first did: `topic`, `field a`, `message 0 property x`.
    pub reads: Vec<String>,
    /// Lines it wrote, each with its level.
    pub lines: Vec<(&'static str, String)>,
    /// Fuel that its calls used, on an engine that counts it.
    pub fuel: Option<u64>,
    /// Linear memory and tables of the instance that was called, bytes.
    pub memory: usize,
}

impl Watch {
    pub(super) fn read(&mut self, what: &str, name: &str) {
        let read = if name.is_empty() {
            what.to_owned()
        } else {
            format!("{what} {name}")
        };
        if self.reads.len() < NOTED && !self.reads.contains(&read) {
            self.reads.push(read);
        }
    }

    pub(super) fn say(&mut self, level: &'static str, text: &str) {
        let room = NOTED.saturating_sub(self.lines.len());
        let lines = text.lines().filter(|line| !line.trim().is_empty()).take(room);
        self.lines.extend(lines.map(|line| (level, line.to_owned())));
    }

    pub(super) fn used(&mut self, fuel: Option<u64>, memory: usize) {
        self.fuel = match (self.fuel, fuel) {
            (Some(before), Some(now)) => Some(before.saturating_add(now)),
            (before, now) => before.or(now),
        };
        self.memory = memory;
    }
}
