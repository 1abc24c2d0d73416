//! The settings in force, to be looked at: every section with its defaults, and secrets masked.

use serde_json::{Map, Value};

use super::file::File;

/// What stands in a secret's place.
pub const MASK: &str = "***";
/// A setting whose name contains one of these is a secret, unless it names a file.
const SECRET: &[&str] = &[
    "secret",
    "password",
    "token",
    "authorization",
    "passphrase",
    "credential",
    "headers",
];

/// `file` as JSON, without its secrets.
pub(super) fn masked(file: &File) -> Value {
    let mut value = serde_json::to_value(file).unwrap_or_default();
    mask(&mut value, false);
    value
}

fn mask(value: &mut Value, is_secret: bool) {
    match value {
        Value::Object(section) => mask_section(section, is_secret),
        Value::Array(list) => list.iter_mut().for_each(|inner| mask(inner, is_secret)),
        Value::String(text) if is_secret && !text.is_empty() => MASK.clone_into(text),
        // A key put where its path belongs.
        Value::String(text) if text.contains("-----BEGIN") || text.contains('\n') => MASK.clone_into(text),
        Value::String(text) => {
            if let Some(without) = without_user(text) {
                *text = without;
            }
        }
        Value::Number(_) if is_secret => *value = MASK.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn mask_section(section: &mut Map<String, Value>, is_secret: bool) {
    for (key, inner) in section {
        let key = key.to_ascii_lowercase();
        let names_a_file = key.ends_with("_file") || key.ends_with("_path") || key == "credentials";
        let is_one = SECRET.iter().any(|word| key.contains(word)) && !names_a_file;
        mask(inner, is_secret || is_one);
    }
}

/// A URL without the user and password in it.
fn without_user(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.find('/').map_or(rest.len(), |end| end);
    let (user, _host) = rest.get(..authority)?.rsplit_once('@')?;
    let tail = rest.get(user.len()..)?;
    Some(format!("{scheme}://{MASK}{tail}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_are_and_paths_are_not() {
        let mut value = json!({
            "token_file": "/run/token",
            "credentials": "/etc/keys.toml",
            "key": "/etc/tls.key",
            "otlp": {
                "headers": { "authorization": "Bearer abc", "x-scope": "t" },
                "endpoint": "https://me:hunter2@collector:4318/v1",
            },
            "list": [{ "secret_key": "s" }, { "password": 17, "empty_secret": "" }],
            "mistake": "-----BEGIN PRIVATE KEY-----\nabc",
        });
        mask(&mut value, false);
        let expected = json!({
            "token_file": "/run/token",
            "credentials": "/etc/keys.toml",
            "key": "/etc/tls.key",
            "otlp": {
                "headers": { "authorization": "***", "x-scope": "***" },
                "endpoint": "https://***@collector:4318/v1",
            },
            "list": [{ "secret_key": "***" }, { "password": "***", "empty_secret": "" }],
            "mistake": "***",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn every_section_is_there_with_its_defaults() {
        let value = masked(&File::default());
        assert_eq!(value["drain"]["deadline"], "35s");
        assert_eq!(value["admin"]["bind"], "127.0.0.1:9860");
        assert_eq!(value["admin"]["token_path"], Value::Null);
    }
}
