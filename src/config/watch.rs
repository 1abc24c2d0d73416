//! Saving a file becomes "read again": events of its folder, debounced, with polling behind them.
//!
//! The folder is watched, not the file: editors replace files by renaming, and Kubernetes swaps a symbolic
//! link beside them. What counts in the end is whether the bytes differ, so touching a file does nothing.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Quiet time after an event, so that a file is not read while it is being written.
const SETTLE: Duration = Duration::from_millis(200);
/// Where no events are seen (network file systems, some mounts), a change is found this much later.
const POLL: Duration = Duration::from_secs(10);

/// A file, and what tells whether its bytes are still those that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it is.
    pub path: PathBuf,
    hash: u64,
}

impl Seen {
    /// `bytes` is what was read; `None` where the file could not be.
    pub fn new(path: &Path, bytes: Option<&[u8]>) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self {
            path: path.to_owned(),
            hash: hasher.finish(),
        }
    }

    fn again(&self) -> Self {
        Self::new(&self.path, std::fs::read(&self.path).ok().as_deref())
    }
}

/// Watches the files that a configuration was read from.
#[derive(Debug)]
pub struct Watch {
    files: Vec<Seen>,
    events: Arc<Notify>,
    // Dropping it ends the watching. `None` where the system refuses: then there is polling alone.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Starts watching. A change between the reading of `files` and now counts.
    pub fn new(files: Vec<Seen>) -> Self {
        let events = Arc::new(Notify::new());
        let watcher = watch(&files, Arc::clone(&events));
        if let Err(error) = &watcher {
            tracing::debug!(%error, "no file events here; polling instead");
        }
        // The first look needs no event.
        events.notify_one();
        Self {
            files,
            events,
            _watcher: watcher.ok(),
        }
    }

    /// The files watched, in the order given, with what was last seen of them.
    pub fn files(&self) -> &[Seen] {
        &self.files
    }

    /// Waits until a file's bytes differ from those last seen. Without files it waits for ever.
    ///
    /// # Cancel safety
    /// Nothing is lost: a change that was not returned is found by the next call.
    pub async fn changed(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            if timeout(POLL, self.events.notified()).await.is_ok() {
                while timeout(SETTLE, self.events.notified()).await.is_ok() {}
            }
            let before = self.files.clone();
            let look = move || before.iter().map(Seen::again).collect::<Vec<_>>();
            let Ok(now) = tokio::task::spawn_blocking(look).await else {
                continue;
            };
            if now != self.files {
                self.files = now;
                return;
            }
        }
    }
}

fn watch(files: &[Seen], events: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too, and would wake us for ever.
        if !matches!(
            event,
            Ok(notify::Event {
                kind: EventKind::Access(_),
                ..
            })
        ) {
            events.notify_one();
        }
    })?;
    let mut folders = BTreeSet::new();
    for Seen { path: file, .. } in files {
        folders.insert(folder(file));
        // Where the file is a link, the folder it points into counts as well.
        if let Ok(target) = file.canonicalize() {
            folders.insert(folder(&target));
        }
    }
    for folder in folders {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far above what an event takes, below [`POLL`]: so it was the event that told.
    const SOON: Duration = Duration::from_secs(8);

    #[tokio::test]
    async fn saving_renaming_and_swapping_a_link_are_all_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::create_dir(&new).unwrap();
        std::fs::write(old.join("g.toml"), "1").unwrap();
        std::fs::write(new.join("g.toml"), "4").unwrap();
        let data = folder.path().join("..data");
        std::os::unix::fs::symlink(&old, &data).unwrap();
        let file = folder.path().join("g.toml");
        std::os::unix::fs::symlink("..data/g.toml", &file).unwrap();

        let mut watch = Watch::new(vec![Seen::new(&file, Some(b"1"))]);
        std::fs::write(old.join("g.toml"), "2").unwrap();
        timeout(SOON, watch.changed())
            .await
            .expect("a write through the link is seen");

        let next = folder.path().join("next");
        std::os::unix::fs::symlink(&new, &next).unwrap();
        std::fs::rename(&next, &data).unwrap();
        timeout(SOON, watch.changed())
            .await
            .expect("a swapped link is seen");

        let written = folder.path().join(".g.toml.swp");
        std::fs::write(&written, "5").unwrap();
        std::fs::rename(&written, &file).unwrap();
        timeout(SOON, watch.changed())
            .await
            .expect("a rename over the file is seen");
    }

    #[tokio::test]
    async fn a_change_between_reading_and_watching_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("g.toml");
        std::fs::write(&file, "2").unwrap();
        let mut watch = Watch::new(vec![Seen::new(&file, Some(b"1"))]);
        timeout(SOON, watch.changed())
            .await
            .expect("what was read is not what is there");
    }

    #[tokio::test]
    async fn the_same_bytes_are_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("g.toml");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(vec![Seen::new(&file, Some(b"1"))]);
        std::fs::write(&file, "1").unwrap();
        assert!(
            timeout(SETTLE * 3, watch.changed()).await.is_err(),
            "nothing differs"
        );
    }
}
