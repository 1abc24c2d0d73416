//! Compiled code on disk, so that a restart does not compile again what takes seconds.
//!
//! Compiled code is run as it is: whoever can write it is as powerful as Gimbal. So the folder is made for its user alone
//! (mode 0700), and one that belongs to somebody else or that others may write to is not used. A file names in its
//! header the digest of what follows, so that a damaged one is compiled again rather than run; whether the code is for
//! this engine, machine and configuration is checked by the engine, and part of the file's name.

use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tracing::{debug, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

/// First bytes of a file of ours.
const MAGIC: &[u8] = b"gimbal-code 1\n";
/// Bytes of a digest.
const DIGEST: usize = 32;
/// Bytes of all files; beyond it those unused for longest go.
const LIMIT: u64 = 256 << 20;
const ENDING: &str = "cwasm";

/// A folder of compiled code.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    /// What the engine and this version of the room make of the same bytes.
    engine: Vec<u8>,
    limit: u64,
}

impl Cache {
    pub(super) fn new(folder: PathBuf, engine: &Engine) -> Self {
        let mut hasher = Sha(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        Self {
            folder,
            engine: hasher.0.finalize().to_vec(),
            limit: LIMIT,
        }
    }

    /// The compiled code of a file with this digest.
    pub(super) fn find(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let read = self.check_folder().and_then(|()| fs::read(&path));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(folder = %self.folder.display(), error = %error, "compiled filters are not taken from the cache");
                return None;
            }
        };
        let found = content(&bytes).and_then(|code| thaw(engine, code));
        if found.is_none() {
            warn!(file = %path.display(), "a file in the cache of compiled filters is damaged and made anew");
            return None;
        }
        // Used just now, so among the last to go.
        let touched = File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = touched {
            debug!(file = %path.display(), error = %error, "its time of use is not kept");
        }
        found
    }

    /// Keeps compiled code; what goes wrong is said and costs nothing but time at the next start.
    pub(super) fn keep(&self, component: &Component, digest: &str) {
        if let Err(error) = self.write(component, digest) {
            warn!(folder = %self.folder.display(), error = %error, "a compiled filter is not kept in the cache");
        }
    }

    fn write(&self, component: &Component, digest: &str) -> io::Result<()> {
        make_private(&self.folder)?;
        self.check_folder()?;
        let code = component
            .serialize()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let path = self.path(digest);
        let unfinished = path.with_extension(unique());
        let written = write_file(&unfinished, &code).and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            // It may not even be there.
            drop(fs::remove_file(&unfinished));
        }
        written?;
        self.trim()
    }

    fn path(&self, digest: &str) -> PathBuf {
        let mut name = Sha256::new();
        name.update(&self.engine);
        name.update(digest);
        self.folder.join(hex(&name.finalize())).with_extension(ENDING)
    }

    /// Whether nobody else can have written there.
    #[cfg(unix)]
    fn check_folder(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;

        let found = fs::symlink_metadata(&self.folder)?;
        let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        if !found.is_dir() {
            return refuse("it is not a folder");
        }
        if found.mode() & 0o022 != 0 {
            return refuse("others may write to it; accepted: mode 0700");
        }
        // A file of our own tells who we are.
        let probe = self.folder.join(unique());
        let file = File::options().write(true).create_new(true).open(&probe)?;
        let own = file.metadata().map(|own| own.uid());
        fs::remove_file(&probe)?;
        if own? != found.uid() {
            return refuse("it belongs to another user");
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn check_folder(&self) -> io::Result<()> {
        fs::metadata(&self.folder).map(|_| ())
    }

    /// Removes what was not used for longest, and what was left unfinished a day ago.
    fn trim(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file() {
                files.push((about.modified()?, about.len(), entry.path()));
            }
        }
        files.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let mut sum = 0_u64;
        for (used, length, path) in files {
            let is_ours = path.extension().is_some_and(|ending| ending == ENDING);
            if is_ours {
                sum = sum.saturating_add(length);
            }
            let is_old = used.elapsed().is_ok_and(|age| age.as_secs() > 86_400);
            let is_unfinished = path
                .extension()
                .is_some_and(|ending| ending.to_string_lossy().starts_with("new-"));
            if (is_ours && sum > self.limit) || (is_unfinished && is_old) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// A name that no other writer takes.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("new-{}-{next}-{:x}", std::process::id(), fastrand::u64(..))
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_file(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)?;
    file.sync_all()
}

/// The code in a file of ours, if it is whole.
fn content(file: &[u8]) -> Option<&[u8]> {
    let (digest, code) = file.strip_prefix(MAGIC)?.split_at_checked(DIGEST)?;
    (Sha256::digest(code).as_slice() == digest).then_some(code)
}

/// Code that the engine compiled before.
#[expect(
    unsafe_code,
    reason = "compiled code is run as it is. It was written by this program: the digest in its header fits, and the \
              folder belongs to this user and nobody else may write to it; see the head of this file"
)]
fn thaw(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `code` is what `Component::serialize` gave, unchanged, as said above. The engine itself refuses code of
    // another version or configuration.
    let thawed = unsafe { Component::deserialize(engine, code) };
    match thawed {
        Ok(component) => Some(component),
        Err(error) => {
            debug!(error = %error, "compiled code of another engine");
            None
        }
    }
}

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or('0')));
        text
    })
}

/// A digest to which hashable things can be given.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
