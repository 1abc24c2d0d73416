//! Reads the credentials file and the secret files it names, and says what is wrong with them, without their secrets.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::problem::{Origin, Problems, join};
use super::watch::Seen;
use crate::auth::Credentials;

const PATH: &str = "credentials";
const ACCEPTED: &str = "the path of a readable TOML file with the keys";
/// Bytes of a credentials file, or of a secret. Some ten thousand keys.
const LARGEST: u64 = 4 << 20;

/// Reads what `written` names, if anything; every file that was looked at goes to `files`.
pub(super) fn read(
    written: Option<&str>,
    files: &mut Vec<Seen>,
    problems: &mut Problems,
) -> Option<Arc<Credentials>> {
    let path = written?;
    // `GIMBAL_CREDENTIALS_FILE` reads a file that holds the path. Who points it at the keys must not find them in a log.
    if path.is_empty() || path.contains(['\n', '=']) {
        let what = if path.is_empty() {
            "is empty"
        } else {
            "is text of another kind, not a path"
        };
        problems.error(PATH, what, ACCEPTED);
        return None;
    }
    let file = Path::new(path);
    let text = match read_text(file, files) {
        Ok(text) => text,
        Err(why) => {
            problems.error(
                PATH,
                format!("names {path:?}, which cannot be read: {why}"),
                ACCEPTED,
            );
            return None;
        }
    };
    note_readers(file, problems);
    let outcome = Credentials::parse_with(&text, &mut |secret| {
        let secret = file.parent().unwrap_or(Path::new("")).join(secret);
        let text = read_text(&secret, files)?;
        note_readers(&secret, problems);
        Ok(text)
    });
    match outcome {
        Ok(credentials) => Some(Arc::new(credentials)),
        Err(error) => {
            for fault in error.faults {
                let place = if fault.place.is_empty() {
                    PATH.to_owned()
                } else {
                    join(PATH, &fault.place)
                };
                if let Some(line) = fault.line {
                    problems.set_origin(place.clone(), Origin::File(path.to_owned(), line, None));
                }
                problems.error(&place, fault.what, fault.accepted);
            }
            None
        }
    }
}

fn read_text(path: &Path, files: &mut Vec<Seen>) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes));
    files.push(Seen::new(path, read.is_ok().then_some(bytes.as_slice())));
    match read {
        Err(error) => Err(error.to_string()),
        Ok(count) if count as u64 > LARGEST => Err(format!("it has more than {LARGEST} bytes")),
        Ok(_) => String::from_utf8(bytes).map_err(|_bytes| "it is not UTF-8 text".to_owned()),
    }
}

/// Whoever can read the file can be any of its users.
fn note_readers(file: &Path, problems: &mut Problems) {
    let Ok(metadata) = file.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    let what = |who: &str| format!("names {}, which {who} can read (mode {mode:o})", file.display());
    let accepted = "a file that its owner alone can read (mode 600)";
    if mode & 0o004 != 0 {
        problems.warning(PATH, what("everybody"), accepted);
    } else if mode & 0o040 != 0 {
        // As Kubernetes mounts secrets for a process that is not root.
        problems.advise(PATH, what("its group"), accepted);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    const KEYS: &str = "[[key]]\naccess_key = 'a'\nsecret_key = 'tops3cret'\n\
                        [[key]]\naccess_key = 'b'\nsecret_file = 'b.secret'\n";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let this = Self(tempfile::tempdir().unwrap());
            this.write("keys.toml", KEYS, 0o600);
            this.write("b.secret", "of b\n", 0o600);
            this
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.0.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }

        fn read(&self, name: &str) -> (Option<Arc<Credentials>>, Vec<Seen>, Problems) {
            let path = self.0.path().join(name).display().to_string();
            let (mut files, mut problems) = (Vec::new(), Problems::default());
            let found = read(Some(&path), &mut files, &mut problems);
            (found, files, problems)
        }
    }

    #[test]
    fn every_file_that_was_read_is_told() {
        let folder = Folder::new();
        let (found, files, problems) = folder.read("keys.toml");
        assert_eq!(problems, Problems::default());
        assert!(found.is_some_and(|found| found.knows("a") && found.knows("b")));
        let names: Vec<_> = files.iter().filter_map(|seen| seen.path.file_name()).collect();
        assert_eq!(names, ["keys.toml", "b.secret"]);
    }

    #[test]
    fn a_fault_is_at_the_setting_and_names_file_and_line() {
        let folder = Folder::new();
        folder.write(
            "bad.toml",
            &KEYS.replace("'a'", "''").replace("b.secret", "c.secret"),
            0o600,
        );
        let (found, files, problems) = folder.read("bad.toml");
        assert_eq!((found, files.len()), (None, 2), "a missing file is watched, too");
        let said = problems
            .to_string()
            .replace(&folder.0.path().display().to_string(), "");
        let lines: Vec<&str> = said.lines().collect();
        assert!(
            lines[0].starts_with("credentials.key[0].access_key (/bad.toml:2): is empty;"),
            "{said}"
        );
        let missing =
            "credentials.key[1].secret_file (/bad.toml:6): names a file that cannot be read: No such file";
        assert!(lines[1].starts_with(missing), "{said}");
        let (found, _, problems) = folder.read("none.toml");
        assert_eq!((found, problems.errors.len()), (None, 1));
    }

    #[test]
    fn keys_in_place_of_a_path_are_not_shown() {
        let mut problems = Problems::default();
        for text in [KEYS, "key = [{ secret_key = 'tops3cret' }]", ""] {
            assert_eq!(read(Some(text), &mut Vec::new(), &mut problems), None);
        }
        assert_eq!(problems.errors.len(), 3);
        assert!(!format!("{problems:?}").contains("tops3cret"));
    }

    #[test]
    fn a_file_that_others_can_read_is_worth_a_word() {
        let folder = Folder::new();
        let told = |name: &str, mode| {
            folder.write(name, if name == "b.secret" { "s" } else { KEYS }, mode);
            let (found, _, problems) = folder.read("keys.toml");
            assert!(found.is_some() && problems.errors.is_empty());
            (problems.warnings.len(), problems.advice.len())
        };
        assert_eq!(told("keys.toml", 0o400), (0, 0));
        assert_eq!(told("keys.toml", 0o644), (1, 0));
        assert_eq!(told("keys.toml", 0o640), (0, 1));
        assert_eq!(told("b.secret", 0o604), (1, 1));
    }
}
