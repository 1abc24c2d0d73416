//! Saving a file of a project becomes "build again": events of its folders, debounced, with polling behind them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Quiet time after an event, so that nothing is built while an editor is still writing.
const SETTLE: Duration = Duration::from_millis(100);
/// Where no events are seen (network file systems, some mounts), a change is found this much later.
const POLL: Duration = Duration::from_secs(5);
/// Files of a project that are looked at; what is beyond does not lead to a build.
const FILES: usize = 10_000;
/// Folders that builds fill, and files that they write beside the sources.
const MADE: [&str; 7] = [
    "target",
    "node_modules",
    "__pycache__",
    "Cargo.lock",
    "package-lock.json",
    "go.sum",
    "wit_world",
];

/// What is there, by path: whether it is still the same is told by a hash of its bytes.
type Content = BTreeMap<PathBuf, u64>;

/// Watches a project's sources. Hidden files, the filter itself and what builds leave do not count.
#[derive(Debug)]
pub struct Watch {
    tree: Tree,
    seen: Content,
    events: Arc<Notify>,
    // Dropping it ends the watching. `None` where the system refuses: then there is polling alone.
    watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Starts watching this folder; a change from now on counts, but for those in the folder `except`, which may not be
    /// there yet: where the built filter is put. Reads every file once.
    pub fn new(folder: &Path, except: Option<&Path>) -> Self {
        let events = Arc::new(Notify::new());
        let teller = Arc::clone(&events);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and would wake us for ever.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                teller.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::debug!(%error, "no file events here; polling instead");
        }
        let mut watch = Self {
            tree: Tree {
                root: folder.to_owned(),
                except: except.and_then(|path| path.canonicalize().ok()),
            },
            seen: Content::new(),
            events,
            watcher: watcher.ok(),
        };
        watch.arm();
        watch.seen = watch.tree.look();
        watch
    }

    /// Waits until the sources differ from those last seen.
    ///
    /// # Cancel safety
    /// Nothing is lost: a change that was not returned is found by the next call.
    pub async fn changed(&mut self) {
        loop {
            if timeout(POLL, self.events.notified()).await.is_ok() {
                while timeout(SETTLE, self.events.notified()).await.is_ok() {}
            }
            let tree = self.tree.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || tree.look()).await else {
                continue;
            };
            if now != self.seen {
                self.seen = now;
                // There may be folders that were not there.
                self.arm();
                return;
            }
        }
    }

    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        for folder in self.tree.folders() {
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, "no file events here; polling instead");
            }
        }
    }
}

/// Whether a name in a project is one that somebody writes.
fn is_source(name: &str) -> bool {
    let is_wasm = Path::new(name).extension().is_some_and(|ending| ending == "wasm");
    !name.starts_with('.') && !name.ends_with('~') && !is_wasm && !MADE.contains(&name)
}

/// What lies in a folder and counts, with whether it is a folder.
fn entries(folder: &Path) -> Vec<(PathBuf, bool)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let sources = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let is_folder = entry.file_type().ok()?.is_dir();
        is_source(&entry.file_name().to_string_lossy()).then(|| (entry.path(), is_folder))
    });
    sources.collect()
}

/// A project's folder, and the one in it that does not count.
#[derive(Debug, Clone)]
struct Tree {
    root: PathBuf,
    except: Option<PathBuf>,
}

impl Tree {
    /// The folder and those below that count.
    fn folders(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.root.clone()];
        while let Some(folder) = left.pop()
            && found.len() < FILES
        {
            let inner = entries(&folder).into_iter().filter(|(_, is_folder)| *is_folder);
            left.extend(inner.map(|(path, _)| path).filter(|path| !self.is_except(path)));
            found.push(folder);
        }
        found
    }

    fn is_except(&self, path: &Path) -> bool {
        self.except.is_some() && path.canonicalize().ok() == self.except
    }

    fn look(&self) -> Content {
        let files = self.folders().into_iter().flat_map(|folder| entries(&folder));
        let files = files.filter(|(_, is_folder)| !is_folder).take(FILES);
        let hashed = files.map(|(path, _)| {
            let mut hasher = DefaultHasher::new();
            std::fs::read(&path).ok().hash(&mut hasher);
            (path, hasher.finish())
        });
        hashed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far above what an event takes.
    const SOON: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn saved_sources_count_and_what_builds_leave_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for inner in ["src", "target", "node_modules/x", "filters.d"] {
            std::fs::create_dir_all(at(inner)).unwrap();
        }
        std::fs::write(at("src/lib.rs"), "1").unwrap();
        let mut watch = Watch::new(folder.path(), Some(&at("filters.d")));
        let before = watch.seen.clone();
        for made in [
            "target/a",
            "node_modules/x/b",
            "stamp.wasm",
            ".stamp.wasm.new",
            "Cargo.lock",
            "a.c~",
            "filters.d/50-stamp.toml",
        ] {
            std::fs::write(at(made), "x").unwrap();
        }
        assert_eq!(watch.tree.look(), before);
        std::fs::write(at("src/lib.rs"), "2").unwrap();
        timeout(SOON, watch.changed())
            .await
            .expect("a saved source is seen");
        std::fs::create_dir(at("src/inner")).unwrap();
        std::fs::write(at("src/inner/new.rs"), "1").unwrap();
        timeout(SOON, watch.changed())
            .await
            .expect("a new file in a new folder is seen");
        std::fs::remove_file(at("src/lib.rs")).unwrap();
        timeout(SOON, watch.changed())
            .await
            .expect("a removed file is seen");
    }
}
