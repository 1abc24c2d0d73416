//! How problems look on a terminal and in a pipe.

use std::io::{self, IsTerminal, Write};

use crate::config::problem::{Problem, Problems};

/// Escape codes, or nothing where they would end up in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    colour: bool,
}

impl Paint {
    /// For something that goes to `stream`.
    pub(super) fn on(stream: &impl IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self {
            colour: wanted && stream.is_terminal(),
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// No colour.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { colour: false }
    }

    /// As it should be.
    pub(super) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Worth a look.
    pub(super) fn warning(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// Not as it should be.
    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Of less weight.
    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Every problem as a block of three lines, errors first.
    pub(super) fn report(self, errors: &[Problem], warnings: &[Problem]) -> String {
        let error = self.wrap("1;31", "error");
        let warning = self.wrap("1;33", "warning");
        let labelled = errors
            .iter()
            .map(|p| (&error, p))
            .chain(warnings.iter().map(|p| (&warning, p)));
        labelled.fold(String::new(), |text, (label, problem)| {
            text + &self.block(label, problem)
        })
    }

    fn block(self, label: &str, problem: &Problem) -> String {
        let Problem {
            path,
            origin,
            what,
            accepted,
        } = problem;
        let heading = match (path.as_str(), origin) {
            ("", None) => self.bold("config"),
            ("", Some(origin)) => self.bold(&origin.to_string()),
            (path, None) => self.bold(path),
            (path, Some(origin)) => format!("{}  {}", self.bold(path), self.dim(&format!("({origin})"))),
        };
        format!(
            "{label}: {heading}\n  {what}\n  {} {accepted}\n\n",
            self.dim("accepted:")
        )
    }
}

/// "2 errors, 1 warning", or what of it there is.
pub(super) fn tally(errors: &[Problem], warnings: &[Problem]) -> String {
    let count = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let counts = [count(errors.len(), "error"), count(warnings.len(), "warning")];
    counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Writes `text` to standard output.
///
/// # Errors
/// Whoever was to read it is gone.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes why a command failed to standard error.
pub(super) fn failure(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    let paint = Paint::on(&stderr);
    let text = match error.downcast_ref::<Problems>() {
        Some(problems) => {
            paint.report(&problems.errors, &problems.warnings) + &tally(&problems.errors, &problems.warnings)
        }
        None => format!("{}: {error:#}", paint.wrap("1;31", "error")),
    };
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(stderr, "{text}"));
}
