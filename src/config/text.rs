//! TOML text becomes a table, and every setting in it learns its line.

use std::ops::Range;

use serde::Deserialize;
use toml::Table;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::problem::{Problems, join};

/// Reads `text`; `file` is its name in problems. Syntax errors become problems, and whatever could be
/// understood despite them is returned, so that one run shows as much as possible.
pub(super) fn read(file: &str, text: &str, problems: &mut Problems) -> Table {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let lines = Lines { file, text };
    lines.note_table(tree.get_ref(), "", problems);
    for error in &errors {
        lines.refuse(error, problems);
    }
    Table::deserialize(Deserializer::from(tree)).unwrap_or_else(|error| {
        lines.refuse(&error, problems);
        Table::new()
    })
}

struct Lines<'a> {
    file: &'a str,
    text: &'a str,
}

impl Lines<'_> {
    fn refuse(&self, error: &Error, problems: &mut Problems) {
        let place = error
            .span()
            .map_or_else(|| self.file.to_owned(), |span| self.place(&span));
        problems.set_origin(String::new(), place);
        let message = error.message().trim();
        let (what, accepted) = message.split_once(", expected ").unwrap_or((message, ""));
        let accepted = if accepted.is_empty() {
            "TOML, as described at toml.io"
        } else {
            accepted
        };
        problems.error("", what.replace('\n', ", "), accepted.replace('\n', ", "));
    }

    fn line(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        format!("{}:{}", self.file, before.matches('\n').count().saturating_add(1))
    }

    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or("")
            .chars()
            .count()
            .saturating_add(1);
        format!("{}:{column}", self.line(span))
    }

    fn note_table(&self, table: &DeTable<'_>, path: &str, problems: &mut Problems) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            problems.set_origin(path.clone(), self.line(&key.span()));
            self.note_value(value.get_ref(), &path, problems);
        }
    }

    fn note_value(&self, value: &DeValue<'_>, path: &str, problems: &mut Problems) {
        match value {
            DeValue::Table(table) => self.note_table(table, path, problems),
            DeValue::Array(list) => {
                for (i, inner) in list.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    problems.set_origin(path.clone(), self.line(&inner.span()));
                    self.note_value(inner.get_ref(), &path, problems);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_knows_its_line() {
        let mut problems = Problems::default();
        let text = "workers = 2\n\n[[listener]]\nbind = 'x'\nbrokers = { a = 1 }\n[drain]\ndelay = '1s'\n";
        let table = read("g.toml", text, &mut problems);
        assert_eq!(table.len(), 3);
        for (path, line) in [
            ("workers", 1),
            ("listener[0]", 3),
            ("listener[0].bind", 4),
            ("listener[0].brokers.a", 5),
            ("drain.delay", 7),
        ] {
            assert_eq!(
                problems.origin(path),
                Some(format!("g.toml:{line}").as_str()),
                "{path}"
            );
        }
    }

    #[test]
    fn syntax_errors_say_line_and_column_and_do_not_hide_the_rest() {
        let mut problems = Problems::default();
        let table = read(
            "g.toml",
            "workers = 2\nallow = \n[drain\ndelay = '1s'\n",
            &mut problems,
        );
        assert_eq!(table["workers"].as_integer(), Some(2));
        let places: Vec<_> = problems
            .errors
            .iter()
            .filter_map(|p| p.origin.as_deref())
            .collect();
        assert_eq!(places, ["g.toml:2:9", "g.toml:3:7"], "{problems}");
    }
}
