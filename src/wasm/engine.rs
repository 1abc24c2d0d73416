//! The engine and its settings, each explained; where loading begins.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

use super::cache::Cache;
use super::load;
use super::ticker::Ticker;
use crate::filter::{LoadError, Loaded, Loader, Source};

/// Bytes of the stack that a guest may use; the calling thread must have more than that left.
const STACK: usize = 512 << 10;

/// What all filters share: the engine, its clock, and the compiled code kept on disk.
#[derive(Debug)]
pub struct Host {
    pub(super) engine: Engine,
    pub(super) ticker: Arc<Ticker>,
    pub(super) cache: Option<Cache>,
}

impl Host {
    /// An engine, with compiled code kept in the folder `cache` if there is one. The folder is made when it is needed; see
    /// `cache.rs` for who may write to it.
    ///
    /// # Errors
    /// When the engine or its thread cannot be made on this machine; why.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, String> {
        let engine =
            Engine::new(&settings()).map_err(|error| format!("the WebAssembly engine: {error:#}"))?;
        let ticker =
            Ticker::start(engine.clone()).map_err(|error| format!("the clock of filters: {error}"))?;
        Ok(Self {
            cache: cache.map(|folder| Cache::new(folder, &engine)),
            ticker: Arc::new(ticker),
            engine,
        })
    }
}

impl Loader for Host {
    fn load(&self, source: Source) -> Result<Loaded, LoadError> {
        load::load(self, &source)
    }
}

fn settings() -> Config {
    let mut config = Config::new();
    // Guests are components; core modules are made into components first.
    config.wasm_component_model(true);
    // No guest waits for anything, so calls need no tasks: 230 ns instead of 520 ns.
    config.concurrency_support(false);
    // Code looks at the clock in loops and functions, and stops when its budget is used up. Costs a few per cent; fuel,
    // which is exact, costs more and says nothing about time.
    config.epoch_interruption(true);
    // A filter runs for hours and is compiled once.
    config.cranelift_opt_level(OptLevel::Speed);
    // Recursion ends in a trap of the guest long before the stack of a worker thread (2 MiB) does.
    config.max_wasm_stack(STACK);
    // Names of functions for last words, but no reading of debug sections, which costs megabytes.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Memory is mapped per instance, on demand. The pooling allocator makes instances a few microseconds faster, but
    // here instances are made at load and after traps only; it would reserve room for a fixed number of instances of the
    // biggest guest there may be (Python: 60 core instances and tables), and refuse the next one.
    config
}
