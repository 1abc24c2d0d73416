//! Lines in Gimbal's log.

use wasmtime::Result;

use super::super::bindings::gimbal::filter::log::Host;
use super::super::bindings::gimbal::filter::types::Level;
use super::super::ctx::Ctx;

impl Host for Ctx {
    fn write(&mut self, level: Level, text: String) -> Result<()> {
        if level == Level::Error {
            self.words.logged(&text);
        }
        self.say(level, &text);
        Ok(())
    }
}
