//! File, variables and flags become one checked configuration, or the list of everything wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::Value;

use super::file::{File, Log};
use super::overlay::{self, Flag};
use super::problem::{Origin, Problem, Problems, join};
use super::shape::{Shape, refuse_unknown};
use super::watch::Seen;
use super::{Config, check, credentials, effective, text};

/// Where a configuration comes from; later fields override earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The TOML file; `None` starts from the defaults.
    pub file: Option<PathBuf>,
    /// The environment of the process, whole; what is not ours is ignored.
    pub variables: Vec<(String, String)>,
    /// Settings from the command line.
    pub flags: Vec<Flag>,
}

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the proxy runs by.
    pub config: Config,
    /// What the process logs.
    pub log: Log,
    /// Every setting in force, as JSON without secrets.
    pub effective: serde_json::Value,
    /// What will probably hurt.
    pub warnings: Vec<Problem>,
    /// What is right for some and wrong for others; for `gimbal check`.
    pub advice: Vec<Problem>,
    /// Every setting that was written, by path, as it was written; two of these tell what a reload changed.
    pub written: BTreeMap<String, String>,
    /// Every file that was read, as it was then.
    pub files: Vec<Seen>,
}

impl Sources {
    /// Reads and checks everything; nothing is cached, so a second call sees what changed.
    ///
    /// # Errors
    /// All problems at once, with the warnings. After syntax errors, those alone.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let mut files = Vec::new();
        let loaded = self.load_noting(&mut files)?;
        Ok(Loaded { files, ..loaded })
    }

    /// As [`Sources::load`], with the files that were read in `files` alone, so that they are known after problems as
    /// well: a change of one may be the remedy.
    ///
    /// # Errors
    /// As [`Sources::load`].
    pub fn load_noting(&self, files: &mut Vec<Seen>) -> Result<Loaded, Problems> {
        let mut problems = Problems::default();
        let mut value = Value::Table(toml::Table::new());
        if let Some(path) = &self.file {
            let read = std::fs::read_to_string(path);
            files.push(Seen::new(path, read.as_ref().ok().map(String::as_bytes)));
            match read {
                Ok(text) => {
                    value = Value::Table(text::read(&path.display().to_string(), &text, &mut problems));
                }
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", path.display());
                    problems.error("", what, "the path of a readable TOML file");
                    return Err(problems);
                }
            }
        }
        if !problems.errors.is_empty() {
            // With broken syntax, what each line means is guesswork, and so would be everything said about it.
            problems.sort();
            return Err(problems);
        }
        self.stand_in(&mut value, &mut problems);
        refuse_unknown(&mut value, Shape::file(), "", &mut problems);
        files.extend(overlay::lay_variables(&mut value, &self.variables, &mut problems));
        overlay::lay_flags(&mut value, &self.flags, &mut problems);

        let written = flatten(&value);
        let file: File = typed(value, &mut problems);
        let config = check::check(&file, &mut problems);
        let credentials = credentials::read(file.credentials.as_deref(), files, &mut problems);
        problems.sort();
        match config {
            Some(config) if problems.errors.is_empty() => Ok(Loaded {
                config: Config {
                    credentials,
                    ..config
                },
                effective: effective::masked(&file),
                log: file.log,
                warnings: problems.warnings,
                advice: problems.advice,
                written,
                files: Vec::new(),
            }),
            _ => Err(problems),
        }
    }

    /// `NAMESRV_ADDR`, which every `RocketMQ` tool reads, counts for less than anything of ours.
    fn stand_in(&self, value: &mut Value, problems: &mut Problems) {
        const NAME: &str = "NAMESRV_ADDR";
        let variable = self
            .variables
            .iter()
            .find(|(name, text)| name == NAME && !text.trim().is_empty());
        if let (Some((_, text)), Value::Table(table)) = (variable, value)
            && !table.contains_key("nameservers")
        {
            table.insert("nameservers".into(), Value::String(text.clone()));
            problems.set_origin("nameservers".into(), Origin::Variable(NAME.to_owned()));
        }
    }
}

/// Gives every value its type. What has the wrong one becomes a problem, is cut out, and the rest is read
/// again: so each wrong value is reported, not the first only.
pub(super) fn typed<T: DeserializeOwned + Default>(mut value: Value, problems: &mut Problems) -> T {
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let segments: Vec<&Segment> = error.path().iter().collect();
        let path = spell(&segments);
        let (what, accepted) = phrase(error.inner().message());
        problems.error(&path, what, accepted);
        // A list loses the whole of itself, lest its other elements change their numbers.
        let kept = segments
            .iter()
            .rposition(|s| matches!(s, Segment::Map { .. }))
            .map_or(0, |i| i + 1);
        let cut = segments.get(..kept).unwrap_or(&[]);
        problems.settle(&spell(cut));
        if !remove(&mut value, cut) {
            return T::default();
        }
    }
}

fn spell(segments: &[&Segment]) -> String {
    segments
        .iter()
        .fold(String::new(), |path, segment| match segment {
            Segment::Seq { index } => format!("{path}[{index}]"),
            Segment::Map { key } => join(&path, key),
            Segment::Enum { .. } | Segment::Unknown => path,
        })
}

fn remove(value: &mut Value, segments: &[&Segment]) -> bool {
    match (segments, value) {
        ([Segment::Map { key }], Value::Table(table)) => table.remove(key).is_some(),
        ([Segment::Map { key }, rest @ ..], Value::Table(table)) => {
            table.get_mut(key).is_some_and(|inner| remove(inner, rest))
        }
        ([Segment::Seq { index }, rest @ ..], Value::Array(list)) => {
            list.get_mut(*index).is_some_and(|inner| remove(inner, rest))
        }
        _ => false,
    }
}

/// What serde says, in the words of somebody who has not read our types.
fn phrase(message: &str) -> (String, String) {
    let message = message.trim();
    let (what, accepted) = message.split_once(", expected ").unwrap_or((message, ""));
    let what = match what.split_once(": ") {
        Some(("invalid type" | "invalid value", found)) => format!("cannot be {}", found.replace('`', "")),
        _ => what.replace("unknown variant ", "cannot be ").replace('`', ""),
    };
    let accepted = match accepted {
        "" => "a value of another kind",
        "a boolean" => "true or false",
        "u16" => "a port, 1 to 65535",
        "usize" => "a whole number",
        "a sequence" => "a list of sections",
        "a map" => "a section",
        other if other.starts_with("struct ") => "a section",
        other => other,
    };
    (what, accepted.replace('`', ""))
}

fn flatten(value: &Value) -> BTreeMap<String, String> {
    fn walk(value: &Value, path: &str, into: &mut BTreeMap<String, String>) {
        match value {
            Value::Table(table) => {
                table
                    .iter()
                    .for_each(|(key, inner)| walk(inner, &join(path, key), into));
            }
            Value::Array(list) if list.iter().any(Value::is_table) => {
                list.iter()
                    .enumerate()
                    .for_each(|(i, inner)| walk(inner, &format!("{path}[{i}]"), into));
            }
            leaf => {
                into.insert(path.to_owned(), leaf.to_string());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk(value, "", &mut into);
    into
}

impl Loaded {
    /// The paths of the settings that are written differently in `other`, or in one of the two only.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let paths = self.written.keys().chain(other.written.keys());
        let mut changed: Vec<String> = paths
            .filter(|p| self.written.get(*p) != other.written.get(*p))
            .cloned()
            .collect();
        // Its file may have changed, or a file named there.
        if self.config.credentials != other.config.credentials {
            changed.push("credentials".to_owned());
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)], flags: Vec<Flag>) -> Result<Loaded, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("g.toml");
        std::fs::write(&file, text).unwrap();
        let variables = variables
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Sources {
            file: Some(file),
            variables,
            flags,
        }
        .load()
    }

    fn paths(problems: &Problems) -> Vec<&str> {
        problems.errors.iter().map(|p| p.path.as_str()).collect()
    }

    #[test]
    fn every_value_of_a_wrong_type_is_reported() {
        let text = "nameservers = ['a:1', true]\nworkers = 'x'\n[[listener]]\nbind = 7\naddressing = 'both'\n\
                    brokers = { a = 70000, b = 'x' }\n[limits]\nframe = '1 MB'\n[drain]\ngo_away = 'no'";
        let problems = load(text, &[], Vec::new()).unwrap_err();
        assert_eq!(
            paths(&problems),
            [
                "nameservers[1]",
                "workers",
                "listener[0].bind",
                "listener[0].addressing",
                "listener[0].brokers.a",
                "listener[0].brokers.b",
                "limits.frame",
                "drain.go_away",
            ]
        );
        let said = problems.to_string();
        for phrase in [
            "cannot be both; accepted: one of auto, shared, per-broker",
            "cannot be integer 70000; accepted: a port, 1 to 65535",
            "cannot be string \"no\"; accepted: true or false",
        ] {
            assert!(said.contains(phrase), "{phrase:?} in:\n{said}");
        }
    }

    #[test]
    fn a_section_that_is_no_section_is_reported_and_the_rest_is_read() {
        let problems = load(
            "nameservers = 'a:1'\ndrain = 5\nlistener = 5\nworkers = 0",
            &[],
            Vec::new(),
        );
        assert_eq!(paths(&problems.unwrap_err()), ["drain", "listener", "workers"]);
    }

    #[test]
    fn the_file_yields_to_variables_and_those_to_flags() {
        let text = "nameservers = 'file:1'\nworkers = 1\nallow = 'admin'";
        let variables = [
            ("GIMBAL_NAMESERVERS", "variable:1"),
            ("GIMBAL_WORKERS", "2"),
            ("NAMESRV_ADDR", "x:1"),
        ];
        let flag = Flag {
            name: "--nameserver",
            path: &["nameservers"],
            value: "flag:1".into(),
        };
        let config = load(text, &variables, vec![flag]).unwrap().config;
        assert_eq!(config.nameservers, ["flag:1"]);
        assert_eq!(config.workers, 2);
        assert!(config.allow.admin);
    }

    #[test]
    fn a_change_is_told_by_its_path() {
        let old = load(
            "nameservers = 'a:1'\nallow = 'admin'\n[drain]\ndelay = '1s'",
            &[],
            Vec::new(),
        )
        .unwrap();
        let new = load(
            "nameservers = 'a:1'\nworkers = 2\n[drain]\ndelay = '2s'",
            &[],
            Vec::new(),
        )
        .unwrap();
        assert_eq!(old.changes(&new), ["allow", "drain.delay", "workers"]);
        assert_eq!(new.changes(&new), [""; 0]);
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let sources = Sources {
            file: Some("/no/such/gimbal.toml".into()),
            ..Sources::default()
        };
        let problems = sources.load().unwrap_err();
        assert!(
            problems.errors[0]
                .what
                .starts_with("/no/such/gimbal.toml cannot be read: No such file")
        );
    }
}
