//! The engine and its settings, each explained; where loading begins.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Component;
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
    /// What only those have who try filters.
    pub(super) bench: Option<Bench>,
}

/// What makers of filters need beside the engine: the same file is loaded many times.
#[derive(Debug)]
pub(super) struct Bench {
    /// Whether fuel is counted.
    pub(super) is_metered: bool,
    /// The file compiled last, by its digest.
    last: Mutex<Option<(String, Component)>>,
}

impl Bench {
    /// What was compiled of the file with this digest.
    pub(super) fn find(&self, digest: &str) -> Option<Component> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, component) = last.as_ref()?;
        (known == digest).then(|| component.clone())
    }
}

/// Whether an engine for makers of filters counts fuel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metering {
    /// It does not: calls cost what they cost in a proxy.
    #[default]
    Off,
    /// It counts what a call executes, the same on every machine; calls are slower.
    Fuel,
}

impl Host {
    /// An engine, with compiled code kept in the folder `cache` if there is one. The folder is made when it is needed; see
    /// `cache.rs` for who may write to it.
    ///
    /// # Errors
    /// When the engine or its thread cannot be made on this machine; why.
    pub fn new(cache: Option<PathBuf>) -> Result<Self, String> {
        Self::start(cache, &settings())
    }

    /// The same for makers of filters: what a filter is compiled to stays in memory, so that loading it again with another
    /// configuration takes no time, and its self-tests are not run, since they are shown one by one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_trials(cache: Option<PathBuf>, metering: Metering) -> Result<Self, String> {
        let is_metered = metering == Metering::Fuel;
        let mut settings = settings();
        settings.consume_fuel(is_metered);
        let mut host = Self::start(cache, &settings)?;
        host.bench = Some(Bench {
            is_metered,
            last: Mutex::default(),
        });
        Ok(host)
    }

    /// Keeps what was compiled in memory, for those who load it again and again.
    pub(super) fn keep(&self, digest: &str, component: &Component) {
        if let Some(bench) = &self.bench {
            let mut last = bench.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some((digest.to_owned(), component.clone()));
        }
    }

    fn start(cache: Option<PathBuf>, settings: &Config) -> Result<Self, String> {
        let engine = Engine::new(settings).map_err(|error| format!("the WebAssembly engine: {error:#}"))?;
        let ticker =
            Ticker::start(engine.clone()).map_err(|error| format!("the clock of filters: {error}"))?;
        Ok(Self {
            cache: cache.map(|folder| Cache::new(folder, &engine)),
            ticker: Arc::new(ticker),
            engine,
            bench: None,
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
