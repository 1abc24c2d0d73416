//! Time.

use std::sync::LazyLock;
use std::time::SystemTime;

use tokio::time::Instant;
use wasmtime::Result;

use super::super::bindings::gimbal::filter::clock::Host;
use super::super::ctx::Ctx;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Host for Ctx {
    fn now(&mut self) -> Result<u64> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn monotonic(&mut self) -> Result<u64> {
        // Never 0, which some runtimes take for "no clock".
        let nanos = START.elapsed().as_nanos().saturating_add(1);
        Ok(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
