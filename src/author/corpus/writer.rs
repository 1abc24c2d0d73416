//! Writing a recording within bounds: whole lines only, so that the file is valid whenever it ends.

use std::io::{self, Write};

/// When a recording is long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Commands at most.
    pub commands: u64,
    /// Bytes of the file at most.
    pub bytes: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commands.
    pub commands: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Commands that are missing, since whoever records was too slow.
    pub left_out: u64,
}

/// Writes lines as they come from a running Gimbal.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    bounds: Bounds,
    summary: Summary,
}

impl<W: Write> Writer<W> {
    /// Into `sink`, within `bounds`.
    pub fn new(sink: W, bounds: Bounds) -> Self {
        Self {
            sink,
            bounds,
            summary: Summary::default(),
        }
    }

    /// Writes a line with its end; whether more may come. An empty line and one that is cut short are left away; one that
    /// would be too much is not written.
    pub fn put(&mut self, line: &str) -> io::Result<bool> {
        if !line.ends_with('\n') || line.trim().is_empty() {
            return Ok(true);
        }
        let len = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let bytes = self.summary.bytes.saturating_add(len);
        if bytes > self.bounds.bytes {
            return Ok(false);
        }
        self.sink.write_all(line.as_bytes())?;
        self.summary.bytes = bytes;
        if let Some(count) = line.strip_prefix("{\"left_out\":") {
            let count: u64 = count.trim_end().trim_end_matches('}').parse().unwrap_or_default();
            self.summary.left_out = self.summary.left_out.saturating_add(count);
        } else if !line.starts_with("{\"gimbal\":") {
            self.summary.commands = self.summary.commands.saturating_add(1);
        }
        Ok(self.summary.commands < self.bounds.commands)
    }

    /// Writes out what waits; what was written in all.
    pub fn finish(mut self) -> io::Result<Summary> {
        self.sink.flush()?;
        Ok(self.summary)
    }

    /// Writes out what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
