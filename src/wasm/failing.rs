//! What the engine says of a call that went wrong becomes a [`Failure`].

use std::fmt;
use std::time::Duration;

use wasmtime::{Trap, WasmBacktrace};

use super::ctx::Ctx;
use crate::filter::Failure;

/// Functions named in a failure, at most.
const FRAMES: usize = 5;

/// A guest called what it was not granted.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it called {}, which its grants do not include", self.0)
    }
}

impl std::error::Error for Refused {}

/// A guest called `exit`, as runtimes do at the end of a panic.
#[derive(Debug)]
pub(super) struct Exited(pub(super) u32);

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it called exit({})", self.0)
    }
}

impl std::error::Error for Exited {}

/// Why a call went wrong that had this much time.
pub(super) fn failure(error: &wasmtime::Error, ctx: &Ctx, time: Duration, memory: usize) -> Failure {
    if let Some(Refused(what)) = error.downcast_ref() {
        return Failure::NotGranted(what.clone());
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::Interrupt) {
        return Failure::OverTime(time);
    }
    if ctx.meter.refused {
        return Failure::OverMemory(memory);
    }
    let words = ctx.words.last();
    let ends_a_panic =
        trap == Some(&Trap::UnreachableCodeReached) || error.downcast_ref::<Exited>().is_some();
    if let (Some(words), true) = (&words, ends_a_panic) {
        return Failure::Trap(words.clone());
    }
    let why = match trap {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let why = match stack(error) {
        Some(stack) => format!("{why}, in {stack}"),
        None => why,
    };
    // What ends otherwise may have another reason than what was said before.
    Failure::Trap(match words {
        Some(words) => format!("{why}, after it said: {words}"),
        None => why,
    })
}

/// Names of the innermost functions, if the file has names.
fn stack(error: &wasmtime::Error) -> Option<String> {
    let trace = error.downcast_ref::<WasmBacktrace>()?;
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let names: Vec<&str> = names.take(FRAMES).collect();
    (!names.is_empty()).then(|| names.join(" < "))
}
