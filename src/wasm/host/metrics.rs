//! Numbers for monitoring.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::metrics::Host;
use super::super::ctx::Ctx;

impl Host for Ctx {
    fn count(&mut self, _name: String, _labels: Vec<(String, String)>, _by: u64) -> Result<()> {
        Ok(())
    }

    fn gauge(&mut self, _name: String, _labels: Vec<(String, String)>, _value: f64) -> Result<()> {
        Ok(())
    }

    fn observe(&mut self, _name: String, _labels: Vec<(String, String)>, _value: f64) -> Result<()> {
        Ok(())
    }
}
