//! What a guest says: lines for the log, and the last words before a trap.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, trace, warn};

use super::bindings::gimbal::filter::types::Level;

/// Lines of one filter in a second.
const LINES: u32 = 100;
/// Bytes of one line.
const LINE: usize = 4096;
/// Bytes of the words that are kept for a failure.
const LAST_WORDS: usize = 2048;

/// A filter's voice in the log: bounded, with its name on every line.
#[derive(Debug, Default)]
pub(super) struct Voice(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Voice {
    /// Writes a text, line by line.
    pub(super) fn write(&self, filter: &str, level: Level, text: &str) {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match self.admit(Instant::now()) {
                Some(0) => {}
                Some(left_out) => {
                    warn!(target: "gimbal::filter", filter, left_out, "it logs more than {LINES} lines a second: lines were left out");
                }
                None => continue,
            }
            say(filter, level, &clean(line));
        }
    }

    /// Whether a line may be written now, and how many were left out before it.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |began: Instant| now.saturating_duration_since(began) >= Duration::from_secs(1);
        if second.began.is_none_or(is_over) {
            second.began = Some(now);
            second.lines = 0;
        }
        if second.lines >= LINES {
            second.left_out = second.left_out.saturating_add(1);
            return None;
        }
        second.lines = second.lines.saturating_add(1);
        Some(std::mem::take(&mut second.left_out))
    }
}

/// The name of a level.
pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

/// The level must be known when compiling.
fn say(filter: &str, level: Level, line: &str) {
    match level {
        Level::Trace => trace!(target: "gimbal::filter", filter, "{line}"),
        Level::Debug => debug!(target: "gimbal::filter", filter, "{line}"),
        Level::Info => info!(target: "gimbal::filter", filter, "{line}"),
        Level::Warn => warn!(target: "gimbal::filter", filter, "{line}"),
        Level::Error => error!(target: "gimbal::filter", filter, "{line}"),
    }
}

/// A line without what would confuse a terminal, and not longer than it may be.
fn clean(line: &str) -> String {
    let kept = line.get(..line.floor_char_boundary(LINE)).unwrap_or_default();
    let mut out: String = kept
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if kept.len() < line.len() {
        out.push_str(" [cut]");
    }
    out
}

/// What one instance said in the current call, and lines of its standard streams that are not finished.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The last text it logged as an error.
    error: String,
    /// The beginning of what it wrote to standard error.
    stderr: String,
    /// Unfinished lines of standard output and error.
    unfinished: [Vec<u8>; 2],
}

impl Words {
    /// A call begins.
    pub(super) fn begin(&mut self) {
        self.error.clear();
        self.stderr.clear();
    }

    /// It logged an error.
    pub(super) fn logged(&mut self, text: &str) {
        self.error.clear();
        push(&mut self.error, text);
    }

    /// It wrote to a standard stream; the lines that are finished now.
    pub(super) fn wrote(&mut self, stream: Stream, bytes: &[u8]) -> Option<String> {
        if stream == Stream::Error {
            push(&mut self.stderr, &String::from_utf8_lossy(bytes));
        }
        let [out, err] = &mut self.unfinished;
        let unfinished = if stream == Stream::Error { err } else { out };
        unfinished.extend_from_slice(bytes);
        let finished = match unfinished.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end.saturating_add(1),
            None if unfinished.len() > LINE => unfinished.len(),
            None => return None,
        };
        let rest = unfinished.split_off(finished);
        let lines = std::mem::replace(unfinished, rest);
        Some(String::from_utf8_lossy(&lines).into_owned())
    }

    /// What is left of lines when nothing will finish them any more.
    pub(super) fn rest(&mut self, stream: Stream) -> Option<String> {
        let [out, err] = &mut self.unfinished;
        let unfinished = std::mem::take(if stream == Stream::Error { err } else { out });
        (!unfinished.is_empty()).then(|| String::from_utf8_lossy(&unfinished).into_owned())
    }

    /// Why it stopped, in its own words.
    pub(super) fn last(&self) -> Option<String> {
        let text = if self.error.trim().is_empty() {
            &self.stderr
        } else {
            &self.error
        };
        let text = essence(text);
        (!text.is_empty()).then_some(text)
    }
}

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

/// Of a panic what it says, not where it came by: the last line of Python's, what stands before the stack of Go's.
fn essence(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if text.trim_start().starts_with("Traceback") {
        return lines.next_back().map(clean).unwrap_or_default();
    }
    let is_stack = |line: &&str| {
        line.starts_with("goroutine ") || line.starts_with("note: ") || line.starts_with("stack ")
    };
    let said: Vec<String> = lines
        .take_while(|line| !is_stack(line))
        .take(4)
        .map(clean)
        .collect();
    said.join(" ")
}

fn push(kept: &mut String, text: &str) {
    let room = LAST_WORDS.saturating_sub(kept.len());
    kept.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_lines_a_second_are_written_and_the_rest_is_counted() {
        let (voice, start) = (Voice::default(), Instant::now());
        let written = (0..150).filter(|_| voice.admit(start).is_some()).count();
        assert_eq!(written, 100);
        assert_eq!(voice.admit(start + Duration::from_secs(1)), Some(50));
        assert_eq!(voice.admit(start + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn pieces_become_lines() {
        let mut words = Words::default();
        assert_eq!(words.wrote(Stream::Error, b"panic: "), None);
        assert_eq!(words.wrote(Stream::Out, b"other"), None);
        assert_eq!(
            words.wrote(Stream::Error, b"told to\n\ngorou").as_deref(),
            Some("panic: told to\n\n")
        );
        assert_eq!(
            words.wrote(Stream::Error, b"tine 1 [running]:\n").as_deref(),
            Some("goroutine 1 [running]:\n")
        );
        assert_eq!(words.last().as_deref(), Some("panic: told to"));
        assert_eq!(words.rest(Stream::Out).as_deref(), Some("other"));
    }

    #[test]
    fn last_words_are_the_essence_of_a_panic() {
        assert_eq!(
            essence("panicked at src/lib.rs:3:5:\ntold to\nnote: run with"),
            "panicked at src/lib.rs:3:5: told to"
        );
        assert_eq!(
            essence("Traceback (most recent call last):\n  File \"app\"\nValueError: no\n"),
            "ValueError: no"
        );
    }

    #[test]
    fn a_line_is_cut_and_cleaned() {
        assert_eq!(clean("a\u{1b}[31mb"), "a [31mb");
        assert_eq!(clean(&"ä".repeat(3000)).len(), LINE + " [cut]".len());
    }
}
