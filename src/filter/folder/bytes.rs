//! Reading a filter's files: bounded, with a digest, and wary of what is still being written.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::filter::LoadError;

/// Largest filter file. Guests with a whole language runtime in them take tens of MiB.
const LARGEST_MODULE: u64 = 256 << 20;
/// Largest sidecar.
const LARGEST_SIDECAR: u64 = 1 << 20;

/// Reads a `.wasm`.
pub(super) fn read_module(path: &Path) -> Result<Bytes, LoadError> {
    read(path, LARGEST_MODULE).map(Bytes::from)
}

/// Reads a sidecar.
pub(super) fn read_sidecar(path: &Path) -> Result<String, LoadError> {
    String::from_utf8(read(path, LARGEST_SIDECAR)?).map_err(|error| LoadError {
        step: "sidecar",
        what: format!("{} is not text: {}", path.display(), error.utf8_error()),
        accepted: "TOML in UTF-8".to_owned(),
    })
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, LoadError> {
    let failed = |error: std::io::Error| LoadError {
        step: "read",
        what: format!("{} cannot be read: {error}", path.display()),
        accepted: "a file that Gimbal may read".to_owned(),
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
    if u64::try_from(read.map_err(failed)?).unwrap_or(u64::MAX) > most {
        return Err(LoadError {
            step: "read",
            what: format!("{} is larger than {most} bytes", path.display()),
            accepted: format!("at most {most} bytes"),
        });
    }
    Ok(bytes)
}

/// SHA-256, lower-case hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string does not fail.
        if write!(text, "{byte:02x}").is_err() {
            break;
        }
    }
    text
}

/// Where a WebAssembly file stops too early, if it does: it may still be being written. Files of another kind are whole
/// here; what they are not is said by whoever loads them.
pub(super) fn cut_off(bytes: &[u8]) -> Option<String> {
    const MAGIC: &[u8] = b"\0asm";
    const HEADER: usize = 8;
    let start = bytes.get(..MAGIC.len().min(bytes.len())).unwrap_or_default();
    // Some copiers make room with zeros first.
    let is_blank = !bytes.is_empty() && start.iter().all(|byte| *byte == 0);
    if bytes.is_empty() || (is_blank && bytes.len() >= MAGIC.len()) {
        return Some("it is empty".to_owned());
    }
    if !MAGIC.starts_with(start) {
        return None;
    }
    let Some(mut rest) = bytes.get(HEADER..) else {
        return Some(format!("it ends after {} bytes", bytes.len()));
    };
    while let Some((_id, after)) = rest.split_first() {
        let next = section_size(after).and_then(|(size, content)| content.get(size..));
        let Some(next) = next else {
            return Some(format!("it ends in the middle, after {} bytes", bytes.len()));
        };
        rest = next;
    }
    None
}

/// The size of a section (LEB128), and what comes after it.
fn section_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut size = 0_usize;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        let bits = usize::from(byte & 0x7f);
        size |= bits.checked_shl(u32::try_from(at).ok()?.checked_mul(7)?)?;
        if byte & 0x80 == 0 {
            return Some((size, bytes.get(at.checked_add(1)?..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_of_a_module_but_those_at_section_ends_is_cut_off() {
        let module = b"\0asm\x01\0\0\0\x00\x05\x04name\x01\x01\x00";
        let whole: Vec<usize> = (0..=module.len())
            .filter(|end| cut_off(&module[..*end]).is_none())
            .collect();
        assert_eq!(whole, [8, 15, 18]);
    }

    #[test]
    fn what_was_never_wasm_is_not_waited_for() {
        assert_eq!(cut_off(b"<html>"), None);
        assert_eq!(cut_off(b"(module)"), None);
        assert!(cut_off(&[0; 4096]).is_some(), "room made for what is to come");
    }

    #[test]
    fn a_digest_is_sha_256_in_hex() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), empty);
    }
}
