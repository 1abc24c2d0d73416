//! What the operating system asks of the process.

use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// One request from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// All signals the process listens to, from the moment this exists.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Stream,
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// No signal is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::Reload,
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }

    /// The next signal that asks the process to end.
    ///
    /// # Cancel safety
    /// As for [`Self::next`].
    pub(super) async fn stop(&mut self) -> Signal {
        loop {
            match self.next().await {
                Signal::Reload => {}
                stop => return stop,
            }
        }
    }
}

impl Signal {
    /// The exit code of a process that this signal ended at once: 128 and its number.
    pub(super) fn exit_code(self) -> ExitCode {
        match self {
            Self::Reload => ExitCode::from(129),
            Self::Interrupt => ExitCode::from(130),
            Self::Terminate => ExitCode::from(143),
        }
    }
}
