//! Other files than the config, written by hand in TOML: read by the same rules, every problem at once.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::load::typed;
use super::problem::Problems;
use super::shape::{Shape, refuse_unknown};
use super::{sidecar, text};

/// The JSON Schema of `T`, each section spelled out where it stands.
pub fn schema<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>()
}

/// Reads `text`; `file` is its name in problems. Keys that `T` does not have are problems that name the closest one.
/// `check` makes of it what is used, and adds what is wrong with it.
///
/// # Errors
/// All problems at once, in the order of their lines. After syntax errors, those alone.
pub fn read<T, C>(file: &str, text: &str, check: impl FnOnce(T, &mut Problems) -> C) -> Result<C, Problems>
where
    T: DeserializeOwned + Default + JsonSchema,
{
    let mut problems = Problems::default();
    let mut value = Value::Table(text::read(file, text, &mut problems));
    if problems.errors.is_empty() {
        refuse_unknown(
            &mut value,
            &Shape::read(schema::<T>().as_value()),
            "",
            &mut problems,
        );
        let checked = check(typed(value, &mut problems), &mut problems);
        if problems.errors.is_empty() {
            return Ok(checked);
        }
    }
    problems.sort();
    Err(problems)
}

/// A table as JSON, for a filter's configuration; what JSON cannot say is a problem at `path`.
pub fn json(table: &Table, path: &str, problems: &mut Problems) -> Json {
    sidecar::json_table(table, path, problems)
}
