//! TOML text becomes a table, and every setting in it learns its line.

use std::ops::Range;

use serde::Deserialize;
use toml::Table;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::problem::{Origin, Problems, join};

/// Reads `text`; `file` is its name in problems. Every syntax error becomes a problem.
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
        let place = match error.span() {
            Some(span) => self.place(&span),
            None => Origin::File(self.file.to_owned(), 1, None),
        };
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

    fn line(&self, span: &Range<usize>) -> Origin {
        let line = self.before(span).matches('\n').count().saturating_add(1);
        Origin::File(self.file.to_owned(), line, None)
    }

    fn place(&self, span: &Range<usize>) -> Origin {
        let before = self.before(span);
        let line = before.matches('\n').count().saturating_add(1);
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or("")
            .chars()
            .count()
            .saturating_add(1);
        Origin::File(self.file.to_owned(), line, Some(column))
    }

    fn before(&self, span: &Range<usize>) -> &str {
        self.text.get(..span.start).unwrap_or(self.text)
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
                Some(&Origin::File("g.toml".into(), line, None)),
                "{path}"
            );
        }
    }

    #[test]
    fn every_syntax_error_says_its_line_and_column() {
        let mut problems = Problems::default();
        read(
            "g.toml",
            "workers = 2\nallow = \n[drain\ndelay = '1s'\n",
            &mut problems,
        );
        problems.sort();
        let places: Vec<_> = problems
            .errors
            .iter()
            .flat_map(|p| &p.origin)
            .map(ToString::to_string)
            .collect();
        assert_eq!(places, ["g.toml:2:9", "g.toml:3:7"], "{problems}");
    }
}
