//! Token buckets.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::limit::Host;
use super::super::ctx::Ctx;
use crate::filter::Rate;

impl Host for Ctx {
    fn acquire(
        &mut self,
        key: String,
        permits: u64,
        rate: f64,
        burst: u64,
    ) -> Result<std::result::Result<(), u64>> {
        let rate = Rate {
            per_second: rate,
            burst,
        };
        Ok(self.shared.state.limits.acquire(&key, permits, rate))
    }

    fn charge(&mut self, key: String, permits: u64, rate: f64, burst: u64) -> Result<u64> {
        let rate = Rate {
            per_second: rate,
            burst,
        };
        Ok(self.shared.state.limits.charge(&key, permits, rate))
    }
}
