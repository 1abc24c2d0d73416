//! The property string of a message: `name` U+0001 `value` U+0002, repeated (`MessageDecoder.string2messageProperties`).

use bytes::Bytes;

use super::EditError;

/// Most bytes of all properties together: their length field has 16 bits with a sign.
pub const PROPERTIES_LIMIT: usize = 32_767;
const NAME_END: char = '\u{1}';
const VALUE_END: char = '\u{2}';

/// The properties of one message. What is not edited keeps its bytes, also where they are no properties at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties {
    text: String,
    /// The bytes they came as, when these are not UTF-8 and nothing was edited.
    raw: Option<Bytes>,
    is_changed: bool,
}

impl Properties {
    /// Takes a property string as it is; the separator at its end may be missing.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            raw: None,
            is_changed: false,
        }
    }

    /// Takes the bytes of a property string. What is no UTF-8 reads as U+FFFD, as it does for clients.
    pub fn from_bytes(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::new(text),
            Err(_) => Self {
                raw: Some(bytes.clone()),
                ..Self::new(String::from_utf8_lossy(bytes))
            },
        }
    }

    /// Every pair in order, duplicates included. Parts without a name or a value are skipped, as clients do.
    pub fn pairs(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.text.split(VALUE_END).filter_map(pair)
    }

    /// The value of `name`; the last one counts when it occurs twice.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.pairs()
            .rev()
            .find(|(there, _)| *there == name)
            .map(|(_, value)| value)
    }

    /// Sets `name` in its place, or appends it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        if name.is_empty() || value.is_empty() {
            return Err(EditError::EmptyProperty);
        }
        if name.contains([NAME_END, VALUE_END]) || value.contains([NAME_END, VALUE_END]) {
            return Err(EditError::PropertySeparator);
        }
        if self.find(name) == Some(value) {
            return Ok(());
        }
        let edited = self.edited(name, Some(value));
        if edited.len() > PROPERTIES_LIMIT {
            return Err(EditError::PropertiesTooLong { bytes: edited.len() });
        }
        self.replace(edited);
        Ok(())
    }

    /// Removes every pair of this name; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        if self.find(name).is_none() {
            return false;
        }
        self.replace(self.edited(name, None));
        true
    }

    /// Whether anything was set or removed.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The property string as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The property string as it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    fn replace(&mut self, text: String) {
        self.text = text;
        self.raw = None;
        self.is_changed = true;
    }

    /// The string with `value` in the place of the first pair of this name and without the others; the separator at the
    /// end stays or stays away, as its writer had it.
    fn edited(&self, name: &str, value: Option<&str>) -> String {
        let (body, ends) = match self.text.strip_suffix(VALUE_END) {
            Some(body) => (body, true),
            None => (self.text.as_str(), self.text.is_empty()),
        };
        let mut value = value;
        let mut out = String::with_capacity(self.text.len().saturating_add(64));
        let mut put = |part: &[&str]| {
            if !out.is_empty() {
                out.push(VALUE_END);
            }
            for part in part {
                out.push_str(part);
            }
        };
        for part in body.split(VALUE_END).filter(|part| !part.is_empty()) {
            if pair(part).is_none_or(|(there, _)| there != name) {
                put(&[part]);
            } else if let Some(value) = value.take() {
                put(&[name, "\u{1}", value]);
            }
        }
        if let Some(value) = value {
            put(&[name, "\u{1}", value]);
        }
        if ends && !out.is_empty() {
            out.push(VALUE_END);
        }
        out
    }
}

/// The name and value of one part.
fn pair(part: &str) -> Option<(&str, &str)> {
    part.split_once(NAME_END)
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_duplicate_counts_and_a_value_may_hold_the_first_separator() {
        let properties = Properties::new("a\u{1}1\u{2}x\u{2}\u{1}y\u{2}a\u{1}2\u{1}3\u{2}b\u{1}");
        assert_eq!(properties.find("a"), Some("2\u{1}3"));
        assert_eq!(
            properties.pairs().count(),
            2,
            "parts that are no pair are skipped"
        );
    }

    #[test]
    fn edits_keep_the_writers_habit_at_the_end() {
        for (text, set, removed) in [
            (
                "a\u{1}1\u{2}b\u{1}2\u{2}",
                "a\u{1}9\u{2}b\u{1}2\u{2}",
                "b\u{1}2\u{2}",
            ),
            ("a\u{1}1\u{2}b\u{1}2", "a\u{1}9\u{2}b\u{1}2", "b\u{1}2"),
            ("", "a\u{1}9\u{2}", ""),
            ("a\u{1}1\u{2}a\u{1}2\u{2}", "a\u{1}9\u{2}", ""),
        ] {
            let mut properties = Properties::new(text);
            properties.set("a", "9").unwrap();
            assert_eq!(properties.as_str(), set, "{text:?}");
            let mut properties = Properties::new(text);
            assert_eq!(properties.remove("a"), !text.is_empty());
            assert_eq!(properties.as_str(), removed, "{text:?}");
        }
    }

    #[test]
    fn setting_what_is_there_changes_nothing() {
        let mut properties = Properties::new("a\u{1}1");
        properties.set("a", "1").unwrap();
        assert!(!properties.remove("b"));
        assert!(!properties.is_changed());
    }

    #[test]
    fn bytes_that_are_no_text_survive_until_an_edit() {
        let bytes = Bytes::from_static(b"a\x01\xff\x02");
        let mut properties = Properties::from_bytes(&bytes);
        assert_eq!(properties.as_bytes(), &bytes);
        assert_eq!(properties.find("a"), Some("\u{fffd}"));
        properties.set("b", "1").unwrap();
        assert_eq!(
            properties.as_bytes(),
            "a\u{1}\u{fffd}\u{2}b\u{1}1\u{2}".as_bytes()
        );
    }

    #[test]
    fn what_readers_would_not_read_back_is_refused() {
        let mut properties = Properties::new("a\u{1}1\u{2}");
        assert_eq!(properties.set("", "x"), Err(EditError::EmptyProperty));
        assert_eq!(properties.set("x", ""), Err(EditError::EmptyProperty));
        assert_eq!(properties.set("x\u{1}", "x"), Err(EditError::PropertySeparator));
        assert_eq!(properties.set("x", "\u{2}"), Err(EditError::PropertySeparator));
        let room = PROPERTIES_LIMIT - "a\u{1}1\u{2}b\u{1}\u{2}".len();
        let wide = EditError::PropertiesTooLong {
            bytes: PROPERTIES_LIMIT + 1,
        };
        assert_eq!(properties.set("b", &"x".repeat(room + 1)), Err(wide));
        assert!(!properties.is_changed());
        properties.set("b", &"x".repeat(room)).unwrap();
        assert_eq!(properties.as_bytes().len(), PROPERTIES_LIMIT);
    }
}
