//! Edits JSON where it stands: what is not masked or dropped keeps its bytes, numbers and spaces included.

use gimbal_sdk::Pattern;
use serde::de::IgnoredAny;

/// Where a value is: `card.number`, `items.*.price`. Each part is a pattern for a key, or for the number of an element.
#[derive(Debug)]
pub struct Path(Vec<Pattern>);

impl Path {
    /// A path out of its text. A dot cannot be part of a key's pattern; `?` fits one.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.split('.').any(str::is_empty) {
            return Err(format!(
                "`{text}` is no path; write keys with dots between, `*` for any key or element"
            ));
        }
        Ok(Self(text.split('.').map(Pattern::new).collect()))
    }
}

/// What becomes of a value; the stronger stands behind the weaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The mask takes its place.
    Mask,
    /// It goes, with its key.
    Drop,
}

/// The text is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct NotJson;

/// The text without what the paths lead to; none if they lead nowhere. Every key is looked at, also one that stands
/// twice in an object: readers differ in which of the two they take.
pub fn edit(text: &[u8], paths: &[(Path, Action)], mask: &str) -> Result<Option<Vec<u8>>, NotJson> {
    // From here on the text is known to be well-formed; what follows only needs to find its way.
    let checked = std::str::from_utf8(text).map_err(|_not_text| NotJson)?;
    serde_json::from_str::<IgnoredAny>(checked).map_err(|_not_json| NotJson)?;
    let mut editor = Editor {
        text,
        at: 0,
        out: Vec::with_capacity(text.len()),
        mask,
        changed: false,
    };
    let live: Vec<Live<'_>> = paths
        .iter()
        .map(|(path, action)| (path.0.as_slice(), *action))
        .collect();
    editor.spaces();
    editor.value(&live)?;
    editor.spaces();
    Ok(editor.changed.then_some(editor.out))
}

/// What is left of a path at some depth, and what to do at its end.
type Live<'a> = (&'a [Pattern], Action);

struct Editor<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    mask: &'a str,
    changed: bool,
}

impl Editor<'_> {
    /// Copies a value, edited. Goes no deeper than the longest path.
    fn value(&mut self, live: &[Live<'_>]) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'{') if !live.is_empty() => self.members(live, b'}', true),
            Some(b'[') if !live.is_empty() => self.members(live, b']', false),
            _ => {
                let from = self.at;
                self.skip_value();
                self.copy(from);
                Ok(())
            }
        }
    }

    /// Copies the members of an object or the elements of an array.
    fn members(&mut self, live: &[Live<'_>], end: u8, has_keys: bool) -> Result<(), NotJson> {
        let from = self.at;
        self.at += 1;
        self.copy(from);
        let (mut kept, mut number) = (0_usize, 0_usize);
        loop {
            let from = self.at;
            self.skip_spaces();
            if self.peek() == Some(end) {
                break self.copy(from);
            }
            let key = if has_keys { self.key()? } else { number.to_string() };
            number += 1;
            let (action, deeper) = matching(live, &key);
            if action == Some(Action::Drop) {
                self.changed = true;
                self.skip_value();
                self.skip_spaces();
            } else {
                if kept > 0 {
                    self.out.push(b',');
                }
                kept += 1;
                self.copy(from);
                if action == Some(Action::Mask) {
                    self.changed = true;
                    self.skip_value();
                    self.out
                        .extend(serde_json::to_vec(self.mask).map_err(|_cannot_be| NotJson)?);
                } else {
                    self.value(&deeper)?;
                }
                self.spaces();
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(found) if found == end => break,
                _ => return Err(NotJson),
            }
        }
        let from = self.at;
        self.at += 1;
        self.copy(from);
        Ok(())
    }

    /// The key at this place, unescaped; goes on to its value.
    fn key(&mut self) -> Result<String, NotJson> {
        let from = self.at;
        self.skip_string();
        let key = self.text.get(from..self.at).ok_or(NotJson)?;
        let key = serde_json::from_slice(key).map_err(|_lone_surrogate| NotJson)?;
        self.skip_spaces();
        if self.peek() != Some(b':') {
            return Err(NotJson);
        }
        self.at += 1;
        self.skip_spaces();
        Ok(key)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Copies what lies between `from` and here.
    fn copy(&mut self, from: usize) {
        self.out.extend(self.text.get(from..self.at).unwrap_or_default());
    }

    fn spaces(&mut self) {
        let from = self.at;
        self.skip_spaces();
        self.copy(from);
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
    }

    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => self.skip_string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.skip_scalar(),
            }
            if depth == 0 {
                break;
            }
            while self
                .peek()
                .is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b':'))
            {
                self.at += 1;
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn skip_scalar(&mut self) {
        let is_end = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b'}' | b']');
        while self.peek().is_some_and(|byte| !is_end(byte)) {
            self.at += 1;
        }
    }
}

/// What to do with the value of this key, and the paths that lead through it. Dropping is stronger than masking.
fn matching<'a>(live: &[Live<'a>], key: &str) -> (Option<Action>, Vec<Live<'a>>) {
    let (mut action, mut deeper) = (None, Vec::new());
    for (path, own) in live {
        match path.split_first() {
            Some((first, [])) if first.fits(key) => action = action.max(Some(*own)),
            Some((first, rest)) if first.fits(key) => deeper.push((rest, *own)),
            _ => {}
        }
    }
    (action, deeper)
}

#[cfg(test)]
mod tests {
    use super::{Action, NotJson, Path, edit};

    fn edited(text: &str, mask: &[&str], drop: &[&str]) -> Option<String> {
        let path = |text: &&str| Path::new(text).unwrap();
        let mut paths: Vec<_> = mask.iter().map(|text| (path(text), Action::Mask)).collect();
        paths.extend(drop.iter().map(|text| (path(text), Action::Drop)));
        edit(text.as_bytes(), &paths, "***")
            .unwrap()
            .map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn what_is_masked_keeps_its_surroundings() {
        let text =
            r#" { "id" : 1.10 , "card": {"number":"4111","cvv":123 }, "big":12345678901234567890123 }"#;
        assert_eq!(
            edited(text, &["card.number"], &[]).unwrap(),
            r#" { "id" : 1.10 , "card": {"number":"***","cvv":123 }, "big":12345678901234567890123 }"#
        );
        assert_eq!(
            edited(text, &["card"], &[]).unwrap(),
            r#" { "id" : 1.10 , "card": "***", "big":12345678901234567890123 }"#
        );
    }

    #[test]
    fn dropping_leaves_well_formed_json() {
        for (text, left) in [
            (r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2,"c":3}"#),
            (r#"{"b":2,"a":{"x":[1]},"c":3}"#, r#"{"b":2,"c":3}"#),
            (r#"{"b":2, "a":1}"#, r#"{"b":2}"#),
            (r#"{"a":1}"#, "{}"),
            (r#"{ "a" : 1 , "a" : 2 , "b" : 3 }"#, r#"{ "b" : 3 }"#),
        ] {
            assert_eq!(edited(text, &[], &["a"]).unwrap(), left);
        }
        assert_eq!(edited("[1, 2, 3]", &[], &["1"]).unwrap(), "[1, 3]");
        assert_eq!(edited("[1, 2]", &[], &["*"]).unwrap(), "[]");
    }

    #[test]
    fn a_star_is_any_key_and_any_element() {
        assert_eq!(
            edited(
                r#"{"items":[{"price":1,"n":2},{"price":[3]},4]}"#,
                &["items.*.price"],
                &[]
            )
            .unwrap(),
            r#"{"items":[{"price":"***","n":2},{"price":"***"},4]}"#
        );
        assert_eq!(
            edited(r#"{"a":{"ssn":1},"b":{"ssn":2}}"#, &[], &["*.ssn"]).unwrap(),
            r#"{"a":{},"b":{}}"#
        );
        assert_eq!(
            edited(r#"{"x_key":1,"y":2}"#, &["*_key"], &[]).unwrap(),
            r#"{"x_key":"***","y":2}"#
        );
    }

    #[test]
    fn a_key_may_be_written_in_any_way() {
        assert_eq!(
            edited(r#"{"c\u0061rd":1}"#, &["card"], &[]).unwrap(),
            r#"{"c\u0061rd":"***"}"#
        );
        assert_eq!(
            edited(r#"{"card":1,"card":2}"#, &["card"], &[]).unwrap(),
            r#"{"card":"***","card":"***"}"#
        );
        assert_eq!(
            edited(r#"{"q\"":"}","card":"\"]"}"#, &["card"], &[]).unwrap(),
            r#"{"q\"":"}","card":"***"}"#
        );
    }

    #[test]
    fn what_the_paths_do_not_reach_is_not_changed() {
        for text in [r#"{"b":1}"#, "[]", "12", "\"card\"", " null ", r#"{"card":[]}"#] {
            assert_eq!(edited(text, &["card.number", "x.y.z"], &[]), None, "{text}");
        }
    }

    #[test]
    fn dropping_is_stronger_than_masking() {
        assert_eq!(
            edited(r#"{"a":1,"b":2}"#, &["*"], &["a"]).unwrap(),
            r#"{"b":"***"}"#
        );
    }

    #[test]
    fn what_is_no_json_is_told() {
        let paths = [(Path::new("a").unwrap(), Action::Mask)];
        for text in [
            "",
            "hello",
            "{\"a\":1",
            "{\"a\":1}x",
            "\u{feff}{}",
            "{\"a\":01}",
            r#"{"\ud800":1}"#,
        ] {
            assert_eq!(edit(text.as_bytes(), &paths, ""), Err(NotJson), "{text}");
        }
        assert_eq!(edit(b"{\"a\":\"\xff\"}", &paths, ""), Err(NotJson));
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(edited(&text, &["a"], &[]).unwrap(), r#"{"a":"***"}"#);
        assert_eq!(edited(&text, &["a.b"], &[]), None);
    }

    #[test]
    fn what_is_left_is_json_that_says_the_same() {
        let text = r#"{"a":[{"s":1,"t":[true,null,-1e5]},{"s":"x\\"}],"s":{"s":[]},"u":{}}"#;
        let edited = edited(text, &["s"], &["a.*.s"]).unwrap();
        let expected = serde_json::json!({"a":[{"t":[true,null,-1e5]},{}],"s":"***","u":{}});
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&edited).unwrap(),
            expected
        );
    }
}
