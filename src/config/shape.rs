//! Which keys the written form has, read off its JSON Schema, so that there is one list of them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::file;
use super::problem::{Problems, join, nearest};

/// What may stand at one place of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A section with these keys and no others.
    Section(BTreeMap<String, Self>),
    /// A section whose keys are names the operator chose.
    Named(Box<Self>),
    /// A list of sections.
    List(Box<Self>),
    /// A value; `text` says that nothing but a string will do.
    Leaf { text: bool },
}

impl Shape {
    /// The shape of the whole file.
    pub(super) fn file() -> &'static Self {
        static SHAPE: OnceLock<Shape> = OnceLock::new();
        SHAPE.get_or_init(|| Self::read(file::schema().as_value()))
    }

    /// The shape that a JSON Schema describes.
    pub(super) fn read(schema: &Json) -> Self {
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
            _ => vec!["string"],
        };
        if let Some(Json::Object(keys)) = schema.get("properties") {
            Self::Section(
                keys.iter()
                    .map(|(key, inner)| (key.clone(), Self::read(inner)))
                    .collect(),
            )
        } else if let Some(inner @ Json::Object(_)) = schema.get("additionalProperties") {
            Self::Named(Box::new(Self::read(inner)))
        } else if let (["array"], Some(items)) = (types.as_slice(), schema.get("items")) {
            Self::List(Box::new(Self::read(items)))
        } else {
            Self::Leaf {
                text: types.iter().all(|t| matches!(*t, "string" | "null")),
            }
        }
    }
}

/// Cuts every unknown key out of `value`, with a problem for each that names the closest known one.
pub(super) fn refuse_unknown(value: &mut Value, shape: &Shape, path: &str, problems: &mut Problems) {
    match (shape, value) {
        (Shape::Section(keys), Value::Table(table)) => {
            let unknown: Vec<String> = table
                .keys()
                .filter(|key| !keys.contains_key(*key))
                .cloned()
                .collect();
            for key in unknown {
                table.remove(&key);
                refuse(&key, keys, path, problems, table);
            }
            for (key, inner) in table {
                if let Some(shape) = keys.get(key) {
                    refuse_unknown(inner, shape, &join(path, key), problems);
                }
            }
        }
        (Shape::Named(shape), Value::Table(table)) => {
            for (key, inner) in table {
                refuse_unknown(inner, shape, &join(path, key), problems);
            }
        }
        (Shape::List(shape), Value::Array(list)) => {
            for (i, inner) in list.iter_mut().enumerate() {
                refuse_unknown(inner, shape, &format!("{path}[{i}]"), problems);
            }
        }
        _ => {}
    }
}

fn refuse(key: &str, keys: &BTreeMap<String, Shape>, path: &str, problems: &mut Problems, rest: &Table) {
    let known = keys.keys().map(String::as_str);
    let accepted = match nearest(key, known.clone()) {
        Some(meant) => {
            // What was meant is known, so its absence is not worth a second problem.
            if !rest.contains_key(meant) {
                problems.settle(&join(path, meant));
            }
            format!("{meant} (closest)")
        }
        None => known.collect::<Vec<_>>().join(", "),
    };
    problems.error(&join(path, key), "is not a setting", accepted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_follows_the_types() {
        let Shape::Section(file) = Shape::file() else {
            panic!("the file is a section")
        };
        assert_eq!(file["state_dir"], Shape::Leaf { text: true });
        assert_eq!(file["nameservers"], Shape::Leaf { text: false });
        assert_eq!(file["workers"], Shape::Leaf { text: false });
        let Shape::List(listener) = &file["listener"] else {
            panic!("listeners are a list")
        };
        let Shape::Section(listener) = &**listener else {
            panic!("a listener is a section")
        };
        assert_eq!(listener["addressing"], Shape::Leaf { text: true });
        assert!(
            matches!(listener["brokers"], Shape::Named(_)),
            "broker names are free"
        );
        let Shape::Section(timeouts) = &file["timeouts"] else {
            panic!("timeouts are a section")
        };
        assert!(
            matches!(timeouts["commands"], Shape::Named(_)),
            "codes are not keys of ours"
        );
    }

    #[test]
    fn every_unknown_key_is_refused_with_the_closest_known_one() {
        let text = "nameserver = 'a:1'\n[[listener]]\nbnid = 'x'\n[drain]\ncolour = 1\ndelay = '1s'";
        let mut value = Value::Table(text.parse().unwrap());
        let mut problems = Problems::default();
        refuse_unknown(&mut value, Shape::file(), "", &mut problems);
        let mut found: Vec<_> = problems
            .errors
            .iter()
            .map(|p| (p.path.as_str(), p.accepted.as_str()))
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("drain.colour", "deadline, delay, go_away"),
                ("listener[0].bnid", "bind (closest)"),
                ("nameserver", "nameservers (closest)"),
            ]
        );
        assert_eq!(value["drain"].as_table().unwrap().len(), 1, "what is known stays");
    }
}
