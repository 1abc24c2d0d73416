//! Waiting until a file is no longer being written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::listing::{Sighting, Stamp};

/// Files that look other than when they were read last, with the moment since which they look as they do.
#[derive(Debug, Default)]
pub(super) struct Settling {
    seen: HashMap<PathBuf, (Stamp, Instant)>,
    since: Option<Instant>,
}

impl Settling {
    /// Whether any of `changed` may still be being written. A file that changes all the time holds up the others for
    /// four times `settle` and no longer.
    pub(super) fn holds(&mut self, changed: &[&Sighting], settle: Duration, now: Instant) -> bool {
        self.seen
            .retain(|path, _| changed.iter().any(|one| one.path == *path));
        let mut unsettled = false;
        for sighting in changed {
            unsettled |= !self.is_settled(sighting, settle, now);
        }
        if !unsettled {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) < settle.saturating_mul(4)
    }

    /// Notes a sighting; whether it has looked like this for long enough.
    pub(super) fn is_settled(&mut self, sighting: &Sighting, settle: Duration, now: Instant) -> bool {
        let known = self.seen.get(&sighting.path);
        if known.is_none_or(|(stamp, _)| *stamp != sighting.stamp) {
            self.seen
                .insert(sighting.path.clone(), (sighting.stamp.clone(), now));
        }
        // What was written long ago has been moved here.
        let is_old = sighting.stamp.age().is_some_and(|age| age >= settle);
        is_old || self.quiet(&sighting.path, now) >= settle
    }

    /// For how long a file has looked as it does.
    pub(super) fn quiet(&self, path: &Path, now: Instant) -> Duration {
        let known = self.seen.get(path);
        known.map_or(Duration::ZERO, |(_, since)| now.duration_since(*since))
    }
}
