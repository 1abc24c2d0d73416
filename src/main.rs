//! Hands over to [`gimbal::cli`] and turns its result into an exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gimbal::cli::main()
}
