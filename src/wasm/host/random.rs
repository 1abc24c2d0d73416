//! Random numbers, not for secrets.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::random::Host;
use super::super::ctx::Ctx;

impl Host for Ctx {
    fn next(&mut self) -> Result<u64> {
        Ok(fastrand::u64(..))
    }
}
