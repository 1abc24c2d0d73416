//! The written form of the credentials: a TOML file, with every fault found in it. No fault ever shows a secret.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Credentials, UnknownKeys};

const KEYS: &str = "at least one [[key]] with access_key and secret_key";
const SECRET: &str = "secret_key = \"...\", or secret_file with the path of a file that holds it";

/// Reads the file that holds a secret; `Err` says why it cannot be read. Relative paths are relative to the credentials.
pub type ReadSecret<'r> = dyn FnMut(&str) -> Result<String, String> + 'r;

/// One thing wrong with a credentials file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The setting, as in `key[0].secret_key`; empty when the whole file is meant.
    pub place: String,
    /// The line, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong, a phrase.
    pub what: String,
    /// What would be accepted instead, a phrase.
    pub accepted: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place.as_str(), self.line) {
            ("", None) => {}
            ("", Some(line)) => write!(f, "line {line}: ")?,
            (place, None) => write!(f, "{place}: ")?,
            (place, Some(line)) => write!(f, "{place} (line {line}): ")?,
        }
        write!(f, "{}; accepted: {}", self.what, self.accepted)
    }
}

/// Everything wrong with a credentials file, down the file; after faults of syntax, those alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsError {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    /// Reads a credentials file that has no `secret_file` in it.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        Self::parse_with(text, &mut |_path| Err("no other file is read here".to_owned()))
    }

    /// Reads a credentials file; `read` is asked for each `secret_file`.
    pub fn parse_with(text: &str, read: &mut ReadSecret<'_>) -> Result<Self, CredentialsError> {
        let mut reader = Reader {
            text,
            faults: Vec::new(),
            read,
        };
        let (tree, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                // Its message only: its display form shows the line.
                let span = error.span().unwrap_or(0..0);
                let message = error.message().trim().replace('\n', ", ");
                let (what, accepted) = message.split_once(", expected ").unwrap_or((&message, ""));
                let accepted = if accepted.is_empty() {
                    "TOML, as described at toml.io"
                } else {
                    accepted
                };
                reader.fault("", &span, what, accepted);
            }
            return Err(CredentialsError {
                faults: reader.faults,
            });
        }
        let credentials = reader.file(tree.get_ref());
        if reader.faults.is_empty() {
            Ok(credentials)
        } else {
            let mut faults = reader.faults;
            faults.sort_by_key(|fault| fault.line);
            Err(CredentialsError { faults })
        }
    }
}

struct Reader<'t, 'r> {
    text: &'t str,
    faults: Vec<Fault>,
    read: &'t mut ReadSecret<'r>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl Reader<'_, '_> {
    fn fault(
        &mut self,
        place: &str,
        at: &Range<usize>,
        what: impl Into<String>,
        accepted: impl Into<String>,
    ) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        self.faults.push(Fault {
            place: place.to_owned(),
            line: Some(before.matches('\n').count().saturating_add(1)),
            what: what.into(),
            accepted: accepted.into(),
        });
    }

    fn file(&mut self, file: &DeTable<'_>) -> Credentials {
        let mut keys = Keys::default();
        let mut unknown = UnknownKeys::default();
        let mut own = None;
        for (name, value) in file {
            match &**name.get_ref() {
                "unknown" => match self.text_of("unknown", value).as_deref() {
                    None | Some("pass") => {}
                    Some("refuse") => unknown = UnknownKeys::Refuse,
                    Some(other) => {
                        let what = format!("cannot be {other:?}");
                        self.fault("unknown", &value.span(), what, "\"pass\" or \"refuse\"");
                    }
                },
                "own" => own = self.text_of("own", value).map(|own| (own, value.span())),
                "key" => self.keys(value, &mut keys),
                other => self.fault(other, &name.span(), "is not a setting", "unknown, own, [[key]]"),
            }
        }
        if !file.contains_key("key") {
            self.faults.push(Fault {
                place: "key".to_owned(),
                line: None,
                what: "is missing".to_owned(),
                accepted: KEYS.to_owned(),
            });
        } else if let Some((own, at)) = own.as_ref().filter(|(own, _)| !keys.places.contains_key(own)) {
            let what = format!("is {own:?}, which is not the access_key of any [[key]]");
            self.fault("own", at, what, "the access_key of one of them");
        }
        Credentials::new(keys.found, own.map(|(own, _)| own), unknown)
    }

    fn keys(&mut self, value: &Value<'_>, keys: &mut Keys) {
        let DeValue::Array(list) = value.get_ref() else {
            return self.fault("key", &value.span(), format!("is {}", kind(value)), "[[key]]");
        };
        if list.is_empty() {
            self.fault("key", &value.span(), "is empty", KEYS);
        }
        for (i, value) in list.iter().enumerate() {
            let place = format!("key[{i}]");
            match value.get_ref() {
                DeValue::Table(table) => self.key(&place, &value.span(), table, keys),
                _ => self.fault(&place, &value.span(), format!("is {}", kind(value)), "a section"),
            }
        }
    }

    fn key(&mut self, place: &str, at: &Range<usize>, table: &DeTable<'_>, keys: &mut Keys) {
        let (mut access_key, mut secret) = (None, None);
        if table.contains_key("secret_key") && table.contains_key("secret_file") {
            self.fault(place, at, "has secret_key and secret_file", "one of the two");
        }
        for (name, value) in table {
            let at = format!("{place}.{}", name.get_ref());
            match &**name.get_ref() {
                "access_key" => {
                    access_key = self.text_of(&at, value);
                    if let Some(taken) = access_key.as_ref().and_then(|key| keys.places.get(key)) {
                        let what = format!("is that of {taken} too");
                        self.fault(&at, &value.span(), what, "each access key once");
                    }
                }
                "secret_key" => secret = Some(self.text_of(&at, value)),
                "secret_file" => secret = Some(self.secret(&at, value)),
                _ => {
                    let accepted = "access_key, secret_key, secret_file";
                    self.fault(&at, &name.span(), "is not a setting", accepted);
                }
            }
        }
        if !table.contains_key("access_key") {
            let place = format!("{place}.access_key");
            self.fault(&place, at, "is missing", "the name that the client signs with");
        }
        if secret.is_none() {
            self.fault(&format!("{place}.secret_key"), at, "is missing", SECRET);
        }
        if let Some(access_key) = access_key {
            keys.places.insert(access_key.clone(), place.to_owned());
            keys.found
                .extend(secret.flatten().map(|secret| (access_key, secret)));
        }
    }

    /// Text that is not empty.
    fn text_of(&mut self, place: &str, value: &Value<'_>) -> Option<String> {
        let what = match value.get_ref() {
            DeValue::String(text) if text.is_empty() => "is empty".to_owned(),
            DeValue::String(text) => return Some(text.clone().into_owned()),
            _ => format!("is {}", kind(value)),
        };
        self.fault(place, &value.span(), what, "a text that is not empty");
        None
    }

    fn secret(&mut self, place: &str, value: &Value<'_>) -> Option<String> {
        let path = self.text_of(place, value)?;
        // The path is not shown: a secret may stand there by mistake.
        let what = match (self.read)(&path) {
            Err(why) => format!("names a file that cannot be read: {why}"),
            // Editors end files with a line break, which nobody means to be part of a secret.
            Ok(secret) => match secret.trim_end_matches(['\r', '\n']) {
                "" => "names a file that is empty".to_owned(),
                secret => return Some(secret.to_owned()),
            },
        };
        let accepted = "the path of a readable text file that holds the secret and nothing else";
        self.fault(place, &value.span(), what, accepted);
        None
    }
}

#[derive(Default)]
struct Keys {
    /// Access keys with their secrets.
    found: Vec<(String, String)>,
    /// Every access key there is, with or without a good secret, and where it stands.
    places: HashMap<String, String>,
}

/// What a value is, without showing it.
fn kind(value: &Value<'_>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[[key]]\naccess_key = 'a'\nsecret_key = 'tops3cret'\n\
                       [[key]]\naccess_key = 'b'\nsecret_key = 's'\n";

    #[track_caller]
    fn faults(text: &str) -> Vec<String> {
        let error = Credentials::parse(text).unwrap_err();
        let said = format!("{error}{error:?}");
        assert!(!said.contains("tops3cret"), "a secret is shown: {said}");
        error
            .faults
            .iter()
            .map(|f| format!("{}:{}: {}", f.place, f.line.unwrap_or(0), f.what))
            .collect()
    }

    #[test]
    fn keys_and_settings_are_read() {
        let plain = Credentials::parse(TWO).unwrap();
        assert!(plain.knows("a") && plain.knows("b") && !plain.knows("c"));
        assert_eq!((plain.unknown(), plain.has_own()), (UnknownKeys::Pass, false));
        let strict = Credentials::parse(&format!("own = 'b'\nunknown = 'refuse'\n{TWO}")).unwrap();
        assert_eq!((strict.unknown(), strict.has_own()), (UnknownKeys::Refuse, true));
    }

    #[test]
    fn every_fault_is_told_with_its_place_and_line() {
        assert_eq!(
            faults(
                "unknwon = 'pass'\nunknown = 'deny'\nown = 'z'\n[[key]]\naccess_key = 'a'\nsecret_key = ''\n\
                 [[key]]\naccess_key = 'a'\nsecret_key = 'tops3cret'\nsecret_file = 'x'\n[[key]]\nsecert = 'tops3cret'\n\
                 [[key]]\naccess_key = 7\nsecret_key = 7"
            ),
            [
                "unknwon:1: is not a setting",
                "unknown:2: cannot be \"deny\"",
                "own:3: is \"z\", which is not the access_key of any [[key]]",
                "key[0].secret_key:6: is empty",
                "key[1]:7: has secret_key and secret_file",
                "key[1].access_key:8: is that of key[0] too",
                "key[1].secret_file:10: names a file that cannot be read: no other file is read here",
                "key[2].access_key:11: is missing",
                "key[2].secret_key:11: is missing",
                "key[2].secert:12: is not a setting",
                "key[3].access_key:14: is a number",
                "key[3].secret_key:15: is a number",
            ]
        );
        assert_eq!(faults(""), ["key:0: is missing"]);
        assert_eq!(faults("key = []"), ["key:1: is empty"]);
        assert_eq!(faults("key = 'tops3cret'"), ["key:1: is a text"]);
        assert_eq!(faults("key = ['tops3cret']"), ["key[0]:1: is a text"]);
    }

    #[test]
    fn faults_of_syntax_show_no_secret() {
        for text in [
            "[[key]]\nsecret_key = tops3cret",
            "[[key]]\nsecret_key = 'tops3cret",
            "[[key]]\nsecret_key = \"tops3cret\\q\"",
            "[[key]]\nsecret_key = 'tops3cret' tops3cret",
            "[[key]]\nsecret_key = 'a'\nsecret_key = 'tops3cret'",
            "[[key]]\nsecret_key tops3cret",
            "secret_key = \"\"\"tops3cret",
        ] {
            assert!(!faults(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_secret_may_stand_in_a_file_of_its_own() {
        let text = "[[key]]\naccess_key = 'a'\nsecret_file = 'a.secret'\n";
        let mut read = |path: &str| match path {
            "a.secret" => Ok("tops3cret\r\n".to_owned()),
            _ => Err("it is missing".to_owned()),
        };
        let here = "[[key]]\naccess_key = 'a'\nsecret_key = 'tops3cret'\n";
        let found = Credentials::parse_with(text, &mut read).unwrap();
        assert_eq!(found, Credentials::parse(here).unwrap());
        assert_ne!(found, Credentials::parse(&here.replace("tops", "flops")).unwrap());
        let error = Credentials::parse_with(text, &mut |_| Ok("\n".to_owned())).unwrap_err();
        assert_eq!(error.faults[0].what, "names a file that is empty");
        assert!(faults(text)[0].ends_with("cannot be read: no other file is read here"));
    }
}
