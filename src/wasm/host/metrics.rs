//! Numbers for monitoring.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::metrics::Host;
use super::super::bindings::gimbal::filter::types::Level;
use super::super::ctx::Ctx;
use crate::filter::Change;

type Labels = Vec<(String, String)>;

impl Ctx {
    fn change(&self, name: &str, labels: Labels, change: Change) {
        if let Some(complaint) = self.shared.state.numbers.change(name, labels, change) {
            self.shared
                .voice
                .write(&self.shared.name, Level::Warn, &complaint);
        }
    }
}

impl Host for Ctx {
    fn count(&mut self, name: String, labels: Labels, by: u64) -> Result<()> {
        self.change(&name, labels, Change::Count(by));
        Ok(())
    }

    fn gauge(&mut self, name: String, labels: Labels, value: f64) -> Result<()> {
        self.change(&name, labels, Change::Gauge(value));
        Ok(())
    }

    fn observe(&mut self, name: String, labels: Labels, value: f64) -> Result<()> {
        self.change(&name, labels, Change::Observe(value));
        Ok(())
    }
}
