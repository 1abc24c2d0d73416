//! Events of the folder: something in it may have changed.
//!
//! Watched are the folder, the place it stands in (it may be replaced, or not be there yet), and the folders that links
//! in it point into. Where the system gives no events there is polling alone.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::listing::Listing;

/// What is watched, and what the watcher calls.
#[derive(Debug)]
pub(super) struct Events {
    folder: PathBuf,
    watcher: Option<RecommendedWatcher>,
    /// Watched folders, with what tells that another one has taken the place.
    armed: BTreeMap<PathBuf, Identity>,
    /// Folders of which every entry counts.
    inside: Arc<Mutex<BTreeSet<PathBuf>>>,
    wake: Arc<Notify>,
}

/// Device, inode, and the time it was made: inodes are used again.
type Identity = (u64, u64, Option<SystemTime>);

impl Events {
    /// Events of `folder`, an absolute path, which wake `wake`.
    pub(super) fn new(folder: &Path, wake: Arc<Notify>) -> Self {
        let inside = Arc::new(Mutex::new(BTreeSet::from([folder.to_owned()])));
        let (name, seen, waken) = (folder.to_owned(), Arc::clone(&inside), Arc::clone(&wake));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let inside = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if event.is_ok_and(|event| matters(&event, &name, &inside)) {
                waken.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::debug!(%error, "no file events here; polling instead");
        }
        Self {
            folder: folder.to_owned(),
            watcher: watcher.ok(),
            armed: BTreeMap::new(),
            inside,
            wake,
        }
    }

    /// Watches whatever is to be watched now. Something watched anew wakes once, since it may have changed before.
    pub(super) fn arm(&mut self, listing: Option<&Listing>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut inside = BTreeSet::from([self.folder.clone()]);
        let files = listing.into_iter().flat_map(|listing| &listing.entries);
        let files = files.flat_map(|entry| std::iter::once(&entry.wasm).chain(&entry.sidecar));
        let targets = files.filter_map(|file| file.path.canonicalize().ok());
        inside.extend(targets.filter_map(|target| target.parent().map(Path::to_owned)));
        let wanted = inside.iter().map(PathBuf::as_path).chain(self.folder.parent());
        let wanted: BTreeMap<PathBuf, Identity> = wanted
            .filter_map(|path| {
                let found = std::fs::metadata(path).ok()?;
                let identity = (found.dev(), found.ino(), found.created().ok());
                Some((path.to_owned(), identity))
            })
            .collect();
        if wanted == self.armed {
            return;
        }
        *self.inside.lock().unwrap_or_else(PoisonError::into_inner) = inside;
        for (path, identity) in &self.armed {
            if wanted.get(path) != Some(identity)
                && let Err(error) = watcher.unwatch(path)
            {
                tracing::trace!(%error, path = %path.display(), "was no longer watched");
            }
        }
        for (path, identity) in &wanted {
            if self.armed.get(path) != Some(identity)
                && let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive)
            {
                tracing::debug!(%error, path = %path.display(), "no file events here; polling instead");
            }
        }
        self.armed = wanted;
        self.wake.notify_one();
    }
}

/// Whether an event may be about a filter. Reading a file is an event too, and the folder's neighbours are none of ours.
fn matters(event: &Event, folder: &Path, inside: &BTreeSet<PathBuf>) -> bool {
    let is_reading = matches!(event.kind, EventKind::Access(_));
    let is_ours = |path: &PathBuf| {
        path == folder || inside.contains(path) || path.parent().is_some_and(|parent| inside.contains(parent))
    };
    !is_reading && (event.paths.is_empty() || event.paths.iter().any(is_ours))
}
