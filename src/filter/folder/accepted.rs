//! Copies of what was accepted last, so that a restart with a broken file does not open a door.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::bytes::digest;

/// Versions kept of each filter: the one accepted last, and the one before.
const KEPT: usize = 2;
const INDEX: &str = "accepted.json";

/// A folder of copies, each file named by its digest, and a list of which are whose.
#[derive(Debug)]
pub(super) struct Accepted {
    folder: PathBuf,
    index: Index,
}

/// What the list says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    /// The filter folder that the copies came from: those of another folder are not for this one.
    folder: PathBuf,
    /// Copies by filter, newest first.
    filters: BTreeMap<String, Vec<Copy>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Copy {
    /// File name, which is its place in the order.
    file: String,
    /// Digest of the filter.
    wasm: String,
    /// Digest of its sidecar, if it had one.
    sidecar: Option<String>,
}

/// A filter that was accepted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) file: String,
    pub(super) bytes: Bytes,
    pub(super) sidecar: Option<String>,
}

impl Accepted {
    /// Opens the copies in `folder` of what stood in the filter folder `of`. A missing folder has none; a list that
    /// cannot be read is an error, and what it says is forgotten.
    pub(super) fn open(folder: &Path, of: &Path) -> (Self, io::Result<()>) {
        let read = match std::fs::read(folder.join(INDEX)) {
            Ok(text) => serde_json::from_slice::<Index>(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index::default()),
            Err(error) => Err(error),
        };
        let (index, opened) = match read {
            Ok(index) => (index, Ok(())),
            Err(error) => (Index::default(), Err(error)),
        };
        let index = if index.folder == of {
            index
        } else {
            Index {
                folder: of.to_owned(),
                filters: BTreeMap::new(),
            }
        };
        let folder = folder.to_owned();
        (Self { folder, index }, opened)
    }

    /// Names of filters that there are copies of.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.filters.keys().map(String::as_str)
    }

    /// What was accepted of this filter, newest first; copies that are gone or damaged are left out.
    pub(super) fn of(&self, name: &str) -> Vec<Past> {
        let copies = self.index.filters.get(name).map_or(&[][..], Vec::as_slice);
        copies.iter().filter_map(|copy| self.read(copy)).collect()
    }

    fn read(&self, copy: &Copy) -> Option<Past> {
        let bytes = self.read_file(&copy.wasm)?;
        let sidecar = match &copy.sidecar {
            Some(digest) => Some(String::from_utf8(self.read_file(digest)?).ok()?),
            None => None,
        };
        Some(Past {
            file: copy.file.clone(),
            bytes: bytes.into(),
            sidecar,
        })
    }

    fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = std::fs::read(self.folder.join(name)).ok()?;
        (digest(&bytes) == name).then_some(bytes)
    }

    /// Keeps a copy of what has been accepted.
    pub(super) fn keep(&mut self, name: &str, past: &Past) -> io::Result<()> {
        let copy = Copy {
            file: past.file.clone(),
            wasm: digest(&past.bytes),
            sidecar: past.sidecar.as_ref().map(|text| digest(text.as_bytes())),
        };
        let copies = self.index.filters.entry(name.to_owned()).or_default();
        if copies.first() == Some(&copy) {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        self.write(&copy.wasm, &past.bytes)?;
        if let (Some(digest), Some(text)) = (&copy.sidecar, &past.sidecar) {
            self.write(digest, text.as_bytes())?;
        }
        let copies = self.index.filters.entry(name.to_owned()).or_default();
        // Another order or an old version again is not one more version.
        copies.retain(|old| (&old.wasm, &old.sidecar) != (&copy.wasm, &copy.sidecar));
        copies.insert(0, copy);
        copies.truncate(KEPT);
        self.write_index()
    }

    /// Forgets every filter but these.
    pub(super) fn retain(&mut self, keeps: impl Fn(&str) -> bool) -> io::Result<()> {
        let before = self.index.filters.len();
        self.index.filters.retain(|name, _| keeps(name));
        if self.index.filters.len() == before {
            return Ok(());
        }
        self.write_index()
    }

    /// Writes the list, then removes what it no longer names.
    fn write_index(&self) -> io::Result<()> {
        self.write(INDEX, &serde_json::to_vec_pretty(&self.index)?)?;
        let copies = self.index.filters.values().flatten();
        let mut named: BTreeSet<&str> = copies
            .flat_map(|copy| std::iter::once(&copy.wasm).chain(&copy.sidecar))
            .map(String::as_str)
            .collect();
        named.insert(INDEX);
        for found in std::fs::read_dir(&self.folder)? {
            let found = found?;
            let name = found.file_name();
            if name
                .to_str()
                .is_some_and(|name| is_ours(name) && !named.contains(name))
            {
                std::fs::remove_file(found.path())?;
            }
        }
        Ok(())
    }

    /// A crash leaves the old file or the new one.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.folder.join(format!("{name}.new"));
        // Settings of filters may hold secrets, and whoever may write here says what serves after a restart.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.folder.join(name))
    }
}

/// Whether a file is a copy: the folder may hold things of others.
fn is_ours(name: &str) -> bool {
    let stem = name.strip_suffix(".new").unwrap_or(name);
    stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(bytes: &'static str, sidecar: Option<&str>) -> Past {
        Past {
            file: "20-a.wasm".to_owned(),
            bytes: bytes.into(),
            sidecar: sidecar.map(str::to_owned),
        }
    }

    fn open(folder: &Path) -> Accepted {
        let (accepted, opened) = Accepted::open(folder, Path::new("/filters.d"));
        opened.unwrap();
        accepted
    }

    #[test]
    fn the_last_two_versions_survive_a_restart_and_older_ones_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut accepted = open(folder.path());
        for version in [past("1", Some("x")), past("2", None), past("3", Some("y"))] {
            accepted.keep("a", &version).unwrap();
        }
        assert_eq!(
            open(folder.path()).of("a"),
            [past("3", Some("y")), past("2", None)]
        );
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 4, "two filters, one sidecar, the list");

        accepted.retain(|_| false).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn copies_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let copies = folder.path().join("filters");
        open(&copies).keep("a", &past("1", Some("secret"))).unwrap();
        let files = std::fs::read_dir(&copies).unwrap();
        let modes = files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!(modes.collect::<BTreeSet<_>>(), BTreeSet::from([0o600]));
    }

    #[test]
    fn a_damaged_copy_is_no_copy_and_the_one_before_is_still_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut accepted = open(folder.path());
        accepted.keep("a", &past("1", None)).unwrap();
        accepted.keep("a", &past("2", None)).unwrap();
        std::fs::write(folder.path().join(digest(b"2")), "2 and more").unwrap();
        assert_eq!(open(folder.path()).of("a"), [past("1", None)]);
    }

    #[test]
    fn copies_of_another_folder_are_not_for_this_one() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).keep("a", &past("1", None)).unwrap();
        let (other, _) = Accepted::open(folder.path(), Path::new("/other.d"));
        assert_eq!(other.of("a"), []);
    }
}
