//! What overrides the file: `GIMBAL_*` variables, secret files, and flags, laid over its table.
//!
//! A variable is named after its setting: `GIMBAL_`, then the path in capitals with `__` between levels and
//! the number of a listener where there are several. `GIMBAL_DRAIN__DELAY=5s`,
//! `GIMBAL_LISTENER__0__ADVERTISE=mq.example.org`, `GIMBAL_TIMEOUTS__COMMANDS__LOCK_BATCH_MQ=1s`.
//! With `_FILE` at its end the value is the path of a file that holds the value. What is not a plain string
//! is written as in TOML: `GIMBAL_LISTENER__0__BROKERS='{ broker-a = 12002 }'`.

use std::path::Path;

use toml::{Table, Value};

use super::problem::{Origin, Problems, join, nearest};
use super::shape::Shape;
use super::watch::Seen;

const PREFIX: &str = "GIMBAL_";
/// Names the config file, so it is read before this module has a say.
const CONFIG: &str = "GIMBAL_CONFIG";
/// Say which running Gimbal the terminal views ask.
const VIEWS: [&str; 3] = ["GIMBAL_ADMIN", "GIMBAL_ADMIN_TOKEN", "GIMBAL_ADMIN_TOKEN_FILE"];

/// A setting given on the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    /// The flag as typed, such as `--listen`.
    pub name: &'static str,
    /// The keys that lead to the setting; the first listener is meant where one is.
    pub path: &'static [&'static str],
    /// What it is set to.
    pub value: Value,
}

/// Lays every `GIMBAL_*` variable over `table`. Returns the secret files that were read.
pub(super) fn lay_variables(
    table: &mut Value,
    variables: &[(String, String)],
    problems: &mut Problems,
) -> Vec<Seen> {
    let mut secrets = Vec::new();
    // In order of their names, so that listener 0 comes before listener 1 whatever the system's order is.
    let mut variables: Vec<_> = variables
        .iter()
        .filter(|(name, value)| is_ours(name, value))
        .collect();
    variables.sort();
    for (name, value) in variables {
        let trimmed = name.strip_prefix(PREFIX).unwrap_or(name);
        let (keys, from_file) = match trimmed.strip_suffix("_FILE") {
            Some(keys) => (keys, true),
            None => (trimmed, false),
        };
        let segments: Vec<&str> = keys.split("__").collect();
        let Some(place) = resolve(Shape::file(), &segments) else {
            refuse_name(name, problems);
            continue;
        };
        let mut text = value.clone();
        if from_file {
            let read = std::fs::read_to_string(value);
            secrets.push(Seen::new(
                Path::new(value),
                read.as_ref().ok().map(String::as_bytes),
            ));
            match read {
                Ok(secret) => secret.trim_end_matches(['\r', '\n']).clone_into(&mut text),
                Err(error) => {
                    let what = format!("{name} names a file that cannot be read, {value}: {error}");
                    problems.error(&place.path(), what, "the path of a readable text file");
                    problems.settle(&place.path());
                    continue;
                }
            }
        }
        set(
            table,
            &place,
            place.value(&text),
            Origin::Variable(name.clone()),
            problems,
        );
    }
    secrets
}

/// Lays flags over `table`; what a flag sets, no file and no variable can change.
pub(super) fn lay_flags(table: &mut Value, flags: &[Flag], problems: &mut Problems) {
    for flag in flags {
        if let Some(place) = resolve(Shape::file(), flag.path) {
            set(
                table,
                &place,
                flag.value.clone(),
                Origin::Flag(flag.name),
                problems,
            );
        }
    }
}

/// A setting found in the shape of the file.
struct Place {
    steps: Vec<Step>,
    text: bool,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    fn path(&self) -> String {
        self.steps.iter().fold(String::new(), |path, step| match step {
            Step::Key(key) => join(&path, key),
            Step::Index(i) => format!("{path}[{i}]"),
        })
    }

    /// What `text` means here: a string where only a string will do, else TOML if it is that.
    fn value(&self, text: &str) -> Value {
        let parsed = (!self.text)
            .then(|| format!("v = {text}").parse::<Table>().ok())
            .flatten();
        parsed
            .and_then(|mut table| table.remove("v"))
            .unwrap_or_else(|| Value::String(text.to_owned()))
    }
}

fn resolve(shape: &Shape, segments: &[&str]) -> Option<Place> {
    let Some((first, rest)) = segments.split_first() else {
        return Some(Place {
            steps: Vec::new(),
            text: matches!(shape, Shape::Leaf { text: true }),
        });
    };
    let (step, inner) = match shape {
        Shape::Section(keys) => {
            let key = first.to_ascii_lowercase();
            let inner = keys.get(&key)?;
            (Step::Key(key), inner)
        }
        Shape::Named(inner) => (Step::Key((*first).to_owned()), &**inner),
        Shape::List(inner) => (Step::Index(first.parse().ok()?), &**inner),
        Shape::Leaf { .. } => return None,
    };
    let mut place = resolve(inner, rest)?;
    place.steps.insert(0, step);
    Some(place)
}

fn set(table: &mut Value, place: &Place, value: Value, origin: Origin, problems: &mut Problems) {
    let path = place.path();
    match slot(table, &place.steps) {
        Ok(slot) => {
            *slot = value;
            problems.set_origin(path, origin);
        }
        Err(known) => {
            problems.set_origin(path.clone(), origin);
            let what = format!("skips a listener: there are {known} before it");
            problems.error(&path, what, format!("a number from 0 to {known}"));
        }
    }
}

/// The value at `steps`, made on the way where it was missing; `Err` says how long the list is whose
/// element would leave a gap.
fn slot<'a>(value: &'a mut Value, steps: &[Step]) -> Result<&'a mut Value, usize> {
    let Some((first, rest)) = steps.split_first() else {
        return Ok(value);
    };
    match first {
        Step::Key(key) => {
            if !value.is_table() {
                *value = Value::Table(Table::new());
            }
            let Value::Table(table) = value else { return Err(0) };
            slot(
                table
                    .entry(key.clone())
                    .or_insert_with(|| Value::Table(Table::new())),
                rest,
            )
        }
        Step::Index(index) => {
            if !value.is_array() {
                *value = Value::Array(Vec::new());
            }
            let Value::Array(list) = value else { return Err(0) };
            let len = list.len();
            if *index == len {
                list.push(Value::Table(Table::new()));
            }
            slot(list.get_mut(*index).ok_or(len)?, rest)
        }
    }
}

fn refuse_name(name: &str, problems: &mut Problems) {
    let mut known = Vec::new();
    names(Shape::file(), "GIMBAL", "_", &mut known);
    let accepted = nearest(name, known.iter().map(String::as_str)).map_or_else(
        || "GIMBAL_ and the path of a setting, as in GIMBAL_DRAIN__DELAY".to_owned(),
        |meant| format!("{meant} (closest)"),
    );
    problems.set_origin(String::new(), Origin::Variable(name.to_owned()));
    problems.error("", "names no setting", accepted);
}

/// Every variable there is, with the first listener and without names that the operator chooses.
fn names(shape: &Shape, prefix: &str, between: &str, known: &mut Vec<String>) {
    match shape {
        Shape::Section(keys) => {
            for (key, inner) in keys {
                let name = format!("{prefix}{between}{}", key.to_ascii_uppercase());
                names(inner, &name, "__", known);
            }
        }
        Shape::List(inner) => names(inner, &format!("{prefix}{between}0"), "__", known),
        Shape::Named(_) | Shape::Leaf { .. } => known.push(prefix.to_owned()),
    }
}

/// Whether a variable is meant for us. Kubernetes and container links announce a service called "gimbal" with
/// variables of the same prefix, and those must not keep it from starting.
fn is_ours(name: &str, value: &str) -> bool {
    let announced = name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|p| name.contains("_PORT_") && name.contains(p))
        || (name.ends_with("_PORT") && value.contains("://"));
    name.starts_with(PREFIX) && name != CONFIG && !VIEWS.contains(&name) && !announced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(file: &str, variables: &[(&str, &str)]) -> (Value, Problems) {
        let mut table = Value::Table(file.parse().unwrap());
        let mut problems = Problems::default();
        let variables: Vec<_> = variables
            .iter()
            .map(|(n, v)| ((*n).into(), (*v).into()))
            .collect();
        lay_variables(&mut table, &variables, &mut problems);
        (table, problems)
    }

    #[test]
    fn variables_reach_every_kind_of_setting() {
        let (table, problems) = lay(
            "[[listener]]\nname = 'a'\n",
            &[
                ("GIMBAL_NAMESERVERS", "a:1;b:2"),
                ("GIMBAL_WORKERS", "3"),
                ("GIMBAL_STATE_DIR", "7"),
                ("GIMBAL_LISTENER__0__ADVERTISE", "mq"),
                ("GIMBAL_LISTENER__0__BROKERS", "{ broker-a = 12002 }"),
                ("GIMBAL_LISTENER__1__REWRITE_STORE_HOST", "true"),
                ("GIMBAL_TIMEOUTS__COMMANDS__LOCK_BATCH_MQ", "1s"),
                ("GIMBAL_CONFIG", "/ignored/here"),
                ("PATH", "/bin"),
            ],
        );
        assert_eq!(problems.errors, []);
        let expected = "nameservers = 'a:1;b:2'\nworkers = 3\nstate_dir = '7'\n[timeouts.commands]\nLOCK_BATCH_MQ = '1s'\n\
             [[listener]]\nname = 'a'\nadvertise = 'mq'\nbrokers = { broker-a = 12002 }\n\
             [[listener]]\nrewrite_store_host = true";
        assert_eq!(table, Value::Table(expected.parse().unwrap()));
        assert_eq!(
            problems.origin("workers"),
            Some(&Origin::Variable("GIMBAL_WORKERS".into()))
        );
    }

    #[test]
    fn an_unknown_variable_is_a_problem_that_names_the_closest() {
        let (_, problems) = lay("", &[("GIMBAL_DRAIN_DELAY", "5s"), ("GIMBAL_QUUX", "1")]);
        let found: Vec<_> = problems.errors.iter().map(ToString::to_string).collect();
        let named = "GIMBAL_DRAIN_DELAY: names no setting; accepted: GIMBAL_DRAIN__DELAY (closest)";
        assert_eq!(found[0], named);
        assert!(found[1].starts_with("GIMBAL_QUUX: names no setting"), "{found:?}");
    }

    #[test]
    fn what_kubernetes_announces_about_a_service_called_gimbal_is_not_ours() {
        let (table, problems) = lay(
            "",
            &[
                ("GIMBAL_SERVICE_HOST", "10.0.0.7"),
                ("GIMBAL_SERVICE_PORT", "9876"),
                ("GIMBAL_SERVICE_PORT_REMOTING", "9876"),
                ("GIMBAL_PORT", "tcp://10.0.0.7:9876"),
                ("GIMBAL_PORT_9876_TCP_ADDR", "10.0.0.7"),
                ("GIMBAL_EAST_SERVICE_HOST", "10.0.0.8"),
            ],
        );
        assert_eq!((table, problems.errors), (Value::Table(Table::new()), Vec::new()));
    }

    #[test]
    fn a_listener_cannot_be_skipped() {
        let (_, problems) = lay("", &[("GIMBAL_LISTENER__2__NAME", "x")]);
        assert_eq!(problems.errors[0].path, "listener[2].name");
        assert_eq!(problems.errors[0].accepted, "a number from 0 to 0");
    }

    #[test]
    fn a_secret_file_gives_its_text_without_the_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "mq.example.org\r\n").unwrap();
        let name = "GIMBAL_LISTENER__0__ADVERTISE_FILE";
        let (table, problems) = lay("", &[(name, path.to_str().unwrap())]);
        assert_eq!(problems.errors, []);
        assert_eq!(table["listener"][0]["advertise"].as_str(), Some("mq.example.org"));

        let (_, problems) = lay("", &[(name, "/no/such/file")]);
        assert_eq!(problems.errors[0].path, "listener[0].advertise");
    }

    #[test]
    fn no_setting_ends_in_what_marks_a_secret_file() {
        let mut known = Vec::new();
        names(Shape::file(), "GIMBAL", "_", &mut known);
        assert!(known.iter().all(|name| !name.ends_with("_FILE")), "{known:?}");
    }
}
