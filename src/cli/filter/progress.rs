//! What is being done while somebody waits: a line that turns on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::author::Setup;

/// Bytes of a filter that takes seconds to compile.
const BIG: usize = 1 << 20;

/// A line that turns; it goes when this goes.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// For commands that tell what they do: where there is no terminal, each thing is a line.
    pub(super) fn new() -> Self {
        Self(io::stderr().is_terminal().then(spinner))
    }

    /// The same without the line that turns, for when others write to the terminal too.
    pub(super) fn plain() -> Self {
        Self(None)
    }

    /// While a filter is compiled, if that takes so long that somebody asks what is going on. Says nothing elsewhere.
    pub(super) fn compiling(setup: &Setup) -> Self {
        let length = setup.bytes().len();
        let is_shown = length >= BIG && io::stderr().is_terminal();
        let bar = is_shown.then(spinner);
        if let Some(bar) = &bar {
            let (name, size) = (setup.name(), super::lines::size(length));
            bar.set_message(format!("compiling {name}, {size}"));
        }
        Self(bar)
    }

    pub(super) fn tell(&self, does: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(does.to_owned()),
            // Nobody is left to tell when standard error is closed.
            None => drop(io::stderr().write_all(format!("{does}\n").as_bytes())),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
