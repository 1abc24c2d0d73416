//! What is in the folder: which files are filters, in which order, and what tells whether one has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Endings of files that are on their way to another name, or left behind by editors.
const PASSING: &[&str] = &[
    "~",
    ".swp",
    ".swx",
    ".tmp",
    ".part",
    ".crdownload",
    ".new",
    ".bak",
];
/// File systems that count whole seconds (or two) show no difference between two writes within them.
const COARSE: Duration = Duration::from_secs(2);

/// A file without its bytes: two equal ones hold the same, unless [`Stamp::is_racy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stamp {
    /// It can be looked at.
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
        changed: (i64, i64),
    },
    /// It cannot, and why.
    Unreadable(String),
}

/// A file and its stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// One filter as the folder shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Name without order number and ending.
    pub(super) name: String,
    /// File name, which is its place in the order.
    pub(super) file: String,
    pub(super) wasm: Sighting,
    pub(super) sidecar: Option<Sighting>,
}

/// The whole folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In order of file names; names are unique.
    pub(super) entries: Vec<Entry>,
    /// What is there and is not used, and why.
    pub(super) remarks: BTreeSet<String>,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => Some(Self::new(&found)),
            Ok(_folder_or_device) => None,
            Err(error) => Some(Self::Unreadable(error.to_string())),
        }
    }

    fn new(found: &Metadata) -> Self {
        Self::File {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// Time since the bytes were written last; `None` where clocks disagree.
    pub(super) fn age(&self) -> Option<Duration> {
        let Self::File { modified, .. } = self else {
            return None;
        };
        let seconds = Duration::from_secs(u64::try_from(modified.0).ok()?);
        let nanos = Duration::from_nanos(u64::try_from(modified.1).ok()?);
        let written = SystemTime::UNIX_EPOCH.checked_add(seconds.saturating_add(nanos))?;
        SystemTime::now().duration_since(written).ok()
    }

    /// Whether a later write might leave the same stamp.
    pub(super) fn is_racy(&self) -> bool {
        self.age().is_some_and(|age| age < COARSE)
    }
}

/// Looks at `folder` without opening a file in it.
pub(super) fn look(folder: &Path) -> io::Result<Listing> {
    let mut modules = BTreeMap::new();
    let mut sidecars = BTreeMap::new();
    for found in std::fs::read_dir(folder)? {
        let found = found?;
        let file = found.file_name().to_string_lossy().into_owned();
        if file.starts_with('.') || PASSING.iter().any(|ending| file.ends_with(ending)) {
            continue;
        }
        let (files, stem) = match file.rsplit_once('.') {
            Some((stem, "wasm")) => (&mut modules, stem),
            Some((stem, "toml")) => (&mut sidecars, stem),
            _ => continue,
        };
        let path = found.path();
        if let Some(stamp) = Stamp::of(&path) {
            files.insert(stem.to_owned(), (file.clone(), Sighting { path, stamp }));
        }
    }
    Ok(pair_up(modules, sidecars))
}

type Files = BTreeMap<String, (String, Sighting)>;

fn pair_up(modules: Files, mut sidecars: Files) -> Listing {
    let mut listing = Listing::default();
    let stems: BTreeSet<String> = modules.keys().cloned().collect();
    let mut modules: Vec<_> = modules.into_iter().collect();
    modules.sort_by(|(_, (a, _)), (_, (b, _))| a.cmp(b));
    for (stem, (file, wasm)) in modules {
        let name = name(&stem);
        if let Some(first) = listing.entries.iter().find(|entry| entry.name == name) {
            listing.remarks.insert(format!(
                "{} and {file} are both called {name:?}: {} serves, {file} does not; accepted: one file of each name",
                first.file, first.file
            ));
            sidecars.remove(&stem);
            continue;
        }
        let own = sidecars
            .remove(&stem)
            .or_else(|| borrow(name, &file, &stems, &mut sidecars, &mut listing.remarks));
        listing.entries.push(Entry {
            name: name.to_owned(),
            file,
            wasm,
            sidecar: own.map(|(_, sighting)| sighting),
        });
    }
    for (file, _) in sidecars.into_values() {
        let module = Path::new(&file).with_extension("wasm");
        listing.remarks.insert(format!(
            "{file} has no filter beside it; accepted: {}",
            module.display()
        ));
    }
    listing
}

/// A sidecar of the same name whose number differs: renaming one of two files must not take a filter's settings away.
fn borrow(
    name: &str,
    file: &str,
    stems: &BTreeSet<String>,
    sidecars: &mut Files,
    remarks: &mut BTreeSet<String>,
) -> Option<(String, Sighting)> {
    let stem = sidecars
        .keys()
        .find(|stem| self::name(stem) == name && !stems.contains(*stem))?
        .clone();
    let own = sidecars.remove(&stem)?;
    let number = Path::new(file).with_extension("toml");
    remarks.insert(format!(
        "{} is used for {file}, which has another number; accepted: {}",
        own.0,
        number.display()
    ));
    Some(own)
}

/// A file's name without its order number: of `20-acl` and `20_acl` it is `acl`.
pub(super) fn name(stem: &str) -> &str {
    let rest = stem.trim_start_matches(|c: char| c.is_ascii_digit());
    let bare = rest.strip_prefix(['-', '_']).unwrap_or_default();
    if rest.len() == stem.len() || bare.is_empty() {
        stem
    } else {
        bare
    }
}

/// The name of the filter that a file of this name holds: `acl` of `20-acl.wasm`.
pub fn name_of(file: &str) -> &str {
    name(file.strip_suffix(".wasm").unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        folder
    }

    fn names(listing: &Listing) -> Vec<(&str, bool)> {
        let each = listing.entries.iter();
        each.map(|entry| (entry.name.as_str(), entry.sidecar.is_some()))
            .collect()
    }

    #[test]
    fn a_name_is_what_stands_after_the_number() {
        for (stem, expected) in [
            ("20-rate-limit", "rate-limit"),
            ("020_acl", "acl"),
            ("acl", "acl"),
            ("9lives", "9lives"),
            ("20-", "20-"),
            ("-x", "-x"),
        ] {
            assert_eq!(name(stem), expected);
        }
    }

    #[test]
    fn the_order_is_that_of_file_names_and_passing_files_are_left_alone() {
        let folder = folder(&[
            "30-a.wasm",
            "20-b.wasm",
            "20-b.toml",
            ".20-b.wasm.swp",
            "40-c.wasm~",
            "x.wasm.tmp",
            "y.wasm.part",
            "z.wasm.crdownload",
            ".hidden.wasm",
            "README.md",
        ]);
        std::fs::create_dir(folder.path().join("50-folder.wasm")).unwrap();
        let listing = look(folder.path()).unwrap();
        assert_eq!(names(&listing), [("b", true), ("a", false)]);
        assert!(listing.remarks.is_empty(), "{:?}", listing.remarks);
    }

    #[test]
    fn of_two_files_of_one_name_the_first_serves_and_both_are_named() {
        let listing = look(folder(&["20-a.wasm", "30-a.wasm", "30-a.toml"]).path()).unwrap();
        assert_eq!(listing.entries[0].file, "20-a.wasm");
        let remark = listing.remarks.first().unwrap();
        assert!(remark.contains("20-a.wasm and 30-a.wasm"), "{remark}");
        assert_eq!((listing.entries.len(), listing.remarks.len()), (1, 1));
    }

    #[test]
    fn a_sidecar_follows_the_name_when_the_number_is_another() {
        let listing = look(folder(&["30-a.wasm", "20-a.toml", "10-b.toml"]).path()).unwrap();
        assert_eq!(names(&listing), [("a", true)]);
        let remarks: Vec<_> = listing.remarks.iter().map(String::as_str).collect();
        assert_eq!(
            remarks,
            [
                "10-b.toml has no filter beside it; accepted: 10-b.wasm",
                "20-a.toml is used for 30-a.wasm, which has another number; accepted: 30-a.toml",
            ]
        );
    }
}
