//! What it takes to load a filter of the folder.

use std::path::Path;
use std::sync::Arc;

use super::accepted::Accepted;
use super::news::News;
use super::sidecar::{Read, Sidecar, parse};
use crate::filter::{Budget, LoadError, Loader};

/// What a slot needs to load, and where it leaves what it has to tell.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) loader: Arc<dyn Loader>,
    pub(super) copies: Option<Accepted>,
    pub(super) budget: Budget,
    pub(super) news: Vec<News>,
    /// The generation in force.
    pub(super) generation: u64,
    read: Read,
    ids: u64,
}

impl Kit {
    pub(super) fn new(loader: Arc<dyn Loader>, read: Read, budget: Budget) -> Self {
        Self {
            loader,
            copies: None,
            budget,
            news: Vec::new(),
            generation: 0,
            read,
            ids: 0,
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.ids = self.ids.saturating_add(1);
        self.ids
    }

    /// The generation that a change found in this look makes.
    pub(super) fn next_generation(&self) -> u64 {
        self.generation.saturating_add(1)
    }

    /// The settings that this text says; `file` is the filter's.
    pub(super) fn sidecar(&self, file: &str, text: Option<&str>) -> Result<Sidecar, LoadError> {
        let Some(text) = text else {
            return Ok(Sidecar::default());
        };
        let name = Path::new(file).with_extension("toml");
        parse(self.read, &name.to_string_lossy(), text)
    }
}
