//! Strings inside JSON bodies, replaced one by one while every other byte stays as it is.
//!
//! It reads what fastjson writes on top of the standard: bare keys, and whole objects as keys of maps. What fastjson
//! would read but no client writes (single quotes, comments) is an error, so that nothing hides from the reader here.

use std::borrow::Cow;
use std::ops::Range;

use crate::protocol::DecodeError;
use crate::protocol::scan::{Raw, Scanner};

/// Nesting beyond which a body is refused.
const DEPTH_LIMIT: usize = 64;

/// Where a string stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot<'a> {
    /// It is the value of the member with this key, or an element of the list that is.
    Value(&'a str),
    /// It is itself a key, in the object that is the value of the member with this key.
    KeyIn(&'a str),
}

/// Says for one string (or number, or literal) what shall stand in its place; `None` to leave it.
pub type Replace<'r, E> = dyn FnMut(Spot<'_>, &str) -> Result<Option<String>, E> + 'r;

/// Offers every key and every scalar but `null` to `replace`; the new body, or `None` when nothing was replaced.
pub fn replace_strings<E: From<DecodeError>>(
    body: &[u8],
    replace: &mut Replace<'_, E>,
) -> Result<Option<Vec<u8>>, E> {
    let mut editor = Editor {
        body,
        scanner: Scanner::new(body),
        out: Vec::new(),
        copied: 0,
        replace,
    };
    editor.value("", 0)?;
    editor.scanner.end()?;
    if editor.copied == 0 {
        return Ok(None);
    }
    let mut out = editor.out;
    out.extend_from_slice(body.get(editor.copied..).unwrap_or_default());
    Ok(Some(out))
}

struct Editor<'a, 'e, 'r, E> {
    body: &'a [u8],
    scanner: Scanner<'a>,
    out: Vec<u8>,
    /// Bytes of the body that are in `out` already, as they were or replaced.
    copied: usize,
    replace: &'e mut Replace<'r, E>,
}

impl<E: From<DecodeError>> Editor<'_, '_, '_, E> {
    /// Any value; `key` is the key it stands under.
    fn value(&mut self, key: &str, depth: usize) -> Result<(), E> {
        if depth > DEPTH_LIMIT {
            return Err(self.scanner.error("less nesting").into());
        }
        self.scanner.blanks();
        match self.scanner.peek() {
            Some(b'{') => self.object(key, depth),
            Some(b'[') => self.list(key, depth),
            _ => {
                let raw = self.scanner.value()?;
                self.offer(raw, Spot::Value(key))
            }
        }
    }

    fn object(&mut self, name: &str, depth: usize) -> Result<(), E> {
        self.scanner.eat(b'{');
        self.scanner.blanks();
        if self.scanner.eat(b'}') {
            return Ok(());
        }
        loop {
            self.scanner.blanks();
            let key = self.key(name, depth)?;
            self.scanner.blanks();
            if !self.scanner.eat(b':') {
                return Err(self.scanner.error("':' after a key").into());
            }
            self.value(&key, depth.saturating_add(1))?;
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    /// A key in the object that stands under `name`. One that is itself an object or a list has no name.
    fn key(&mut self, name: &str, depth: usize) -> Result<String, E> {
        if matches!(self.scanner.peek(), Some(b'{' | b'[')) {
            self.value("", depth.saturating_add(1))?;
            return Ok(String::new());
        }
        let at = self.scanner.at();
        let key = String::from_utf8_lossy(&self.scanner.key()?.name()).into_owned();
        let end = self.scanner.at();
        self.replace_at(at..end, Spot::KeyIn(name), &key)?;
        Ok(key)
    }

    fn list(&mut self, key: &str, depth: usize) -> Result<(), E> {
        self.scanner.eat(b'[');
        self.scanner.blanks();
        if self.scanner.eat(b']') {
            return Ok(());
        }
        loop {
            self.value(key, depth.saturating_add(1))?;
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    /// Whether the object or list ends here; otherwise a comma must follow.
    fn ends(&mut self, closer: u8) -> Result<bool, E> {
        self.scanner.blanks();
        if self.scanner.eat(closer) {
            return Ok(true);
        }
        if self.scanner.eat(b',') {
            return Ok(false);
        }
        Err(self.scanner.error("',' or a closing bracket").into())
    }

    fn offer(&mut self, raw: Raw<'_>, spot: Spot<'_>) -> Result<(), E> {
        let Some(text) = raw.scalar() else { return Ok(()) };
        let text: Cow<'_, str> = text;
        self.replace_at(raw.range(), spot, &text)
    }

    fn replace_at(&mut self, at: Range<usize>, spot: Spot<'_>, text: &str) -> Result<(), E> {
        let Some(new) = (self.replace)(spot, text)? else {
            return Ok(());
        };
        self.out
            .extend_from_slice(self.body.get(self.copied..at.start).unwrap_or_default());
        self.out
            .extend_from_slice(serde_json::Value::String(new).to_string().as_bytes());
        self.copied = at.end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shout(body: &str, wanted: Spot<'_>) -> Option<String> {
        let mut replace = |spot: Spot<'_>, text: &str| Ok((spot == wanted).then(|| text.to_uppercase()));
        let new: Result<_, DecodeError> = replace_strings(body.as_bytes(), &mut replace);
        new.unwrap().map(|new| String::from_utf8(new).unwrap())
    }

    #[test]
    fn only_the_wanted_strings_change() {
        let body = r#" { "topic" : "a" , "list":["x",{ "topic":"b\u0063"}], "n":1.50,"topics":null} "#;
        assert_eq!(
            shout(body, Spot::Value("topic")).unwrap(),
            r#" { "topic" : "A" , "list":["x",{ "topic":"BC"}], "n":1.50,"topics":null} "#
        );
        assert_eq!(
            shout(body, Spot::Value("list")).unwrap(),
            body.replace("\"x\"", "\"X\"")
        );
        assert_eq!(shout(body, Spot::Value("other")), None);
    }

    #[test]
    fn objects_as_keys_bare_keys_and_keys_themselves_are_seen() {
        let body = r#"{"offsetTable":{{"queueId":0,"topic":"t"}:5,{"topic":"u"}:6},"s":{"t":{},x:1},0:"z"}"#;
        assert_eq!(
            shout(body, Spot::Value("topic")).unwrap(),
            r#"{"offsetTable":{{"queueId":0,"topic":"T"}:5,{"topic":"U"}:6},"s":{"t":{},x:1},0:"z"}"#
        );
        assert_eq!(
            shout(body, Spot::KeyIn("s")).unwrap(),
            body.replace("\"t\":{}", "\"T\":{}").replace("x:1", "\"X\":1")
        );
        assert_eq!(
            shout(body, Spot::Value("0")).unwrap(),
            body.replace("\"z\"", "\"Z\"")
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let deep = "[".repeat(100_000);
        let nested = format!("{}1{}", "{{".repeat(5000), ":1}".repeat(5000));
        for bad in [
            "",
            "{",
            "{'topic':'x'}",
            "{\"a\":1,}",
            "[1 2]",
            "{\"a\" 1}",
            "{} x",
            "{\"a\"",
            &deep,
            &nested,
        ] {
            let new: Result<_, DecodeError> = replace_strings(bad.as_bytes(), &mut |_, _| Ok(None));
            assert!(new.is_err(), "{bad:.20}");
        }
    }
}
