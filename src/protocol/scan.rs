//! A small reader of JSON text: as lenient as fastjson about control characters and escapes, strict about structure.
//!
//! It hands out slices of the input and builds nothing. Depth is bounded, so hostile nesting cannot exhaust the stack.
//! What fastjson 1 and 2 both accept but no client writes (single quotes, comments, trailing commas) is refused.

use std::borrow::Cow;

use super::DecodeError;

/// Nesting beyond which a header is refused.
const DEPTH_LIMIT: usize = 64;

/// A position in JSON text.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// One JSON value, not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    /// The text of the value: strings with their quotes.
    pub(super) text: &'a [u8],
    /// Where it starts, in bytes from the start of the text scanned.
    pub(super) at: usize,
}

impl<'a> Raw<'a> {
    /// Whether this is the literal `null`.
    pub(super) fn is_null(self) -> bool {
        self.text == b"null"
    }

    /// The value as text: strings decoded, everything else as it is written, as fastjson does; `None` for `null`.
    pub(super) fn scalar(self) -> Option<Cow<'a, str>> {
        match self.text.first()? {
            b'"' => Some(unescape(self.inner())),
            _ if self.is_null() => None,
            _ => Some(String::from_utf8_lossy(self.text)),
        }
    }

    /// A string without its quotes, escapes kept; other values as they are.
    pub(super) fn inner(self) -> &'a [u8] {
        match self.text {
            [b'"', inner @ .., b'"'] => inner,
            other => other,
        }
    }

    /// An integer as fastjson reads one: a number (cut at the point), a boolean, or a string of digits; an empty
    /// string and `null` are 0. `None` beyond 32 bits and for anything else.
    pub(super) fn int(self) -> Option<i32> {
        let text = std::str::from_utf8(self.inner()).ok()?;
        match self.text.first()? {
            b'"' if matches!(text, "" | "null") => Some(0),
            b'"' => text.parse().ok(),
            _ => match text {
                "null" | "false" => Some(0),
                "true" => Some(1),
                _ => text.parse().ok().or_else(|| whole(text)),
            },
        }
    }
}

/// The whole part of a number with a point or an exponent, when it has one and fits.
fn whole(number: &str) -> Option<i32> {
    if !number.contains(['.', 'e', 'E']) {
        return None;
    }
    let value = number.parse::<f64>().ok()?.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (f64::from(i32::MIN)..=f64::from(i32::MAX))
        .contains(&value)
        .then_some(value as i32)
}

/// A key of an object, as written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    /// Without quotes, escapes kept.
    pub(super) text: &'a [u8],
}

impl<'a> Key<'a> {
    /// The key with its escapes decoded: an escaped spelling must not hide a field from those who look for it.
    pub(super) fn name(self) -> Cow<'a, [u8]> {
        if self.text.contains(&b'\\') {
            Cow::Owned(unescape(self.text).into_owned().into_bytes())
        } else {
            Cow::Borrowed(self.text)
        }
    }
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn error(&self, expected: &'static str) -> DecodeError {
        DecodeError::Json {
            offset: self.at,
            expected,
        }
    }

    /// Where it stands, in bytes from the start of the text.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Goes over blanks.
    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.step();
        }
    }

    /// Goes over this byte, when it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    /// Visits every member of the object at the current position; `visit` gets the key and the value.
    pub(super) fn object(
        &mut self,
        visit: &mut dyn FnMut(Key<'a>, Raw<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.blanks();
        if !self.eat(b'{') {
            return Err(self.error("an object"));
        }
        self.blanks();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.blanks();
            let key = self.key()?;
            self.blanks();
            if !self.eat(b':') {
                return Err(self.error("':' after a key"));
            }
            let value = self.value()?;
            visit(key, value)?;
            self.blanks();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.error("',' or '}'"));
            }
        }
    }

    /// Nothing but blanks may follow.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.blanks();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.error("the end"))
        }
    }

    /// A key: a string, or the bare word that fastjson writes for integer keys.
    pub(super) fn key(&mut self) -> Result<Key<'a>, DecodeError> {
        if self.peek() == Some(b'"') {
            let at = self.at;
            let text = self.string()?;
            return Ok(Key {
                text: Raw { text, at }.inner(),
            });
        }
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'-' | b'$')
        ) {
            self.step();
        }
        match self.text.get(start..self.at) {
            Some(text) if !text.is_empty() => Ok(Key { text }),
            _ => Err(self.error("a key")),
        }
    }

    /// A string with its quotes.
    pub(super) fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.at;
        self.step();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.step();
                    return Ok(self.text.get(start..self.at).unwrap_or_default());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => self.step(),
                None => return Err(self.error("a closing quote")),
            }
        }
    }

    /// An escape: those of JSON, and those that fastjson has on top.
    fn escape(&mut self) -> Result<(), DecodeError> {
        self.step();
        let digits = match self.peek() {
            Some(b'u') => 4,
            Some(b'x') => 2,
            Some(
                b'"' | b'\\' | b'/' | b'\'' | b'b' | b'f' | b'F' | b'n' | b'r' | b't' | b'v' | b'0'..=b'7',
            ) => 0,
            _ => return Err(self.error("a known escape")),
        };
        self.step();
        for _ in 0..digits {
            if !self.peek().is_some_and(|digit| digit.is_ascii_hexdigit()) {
                return Err(self.error("a hex digit"));
            }
            self.step();
        }
        Ok(())
    }

    /// Any value, skipped as a whole.
    pub(super) fn value(&mut self) -> Result<Raw<'a>, DecodeError> {
        self.blanks();
        let start = self.at;
        let mut closers = [0_u8; DEPTH_LIMIT];
        let mut depth = 0_usize;
        loop {
            self.blanks();
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(open @ (b'{' | b'[')) => {
                    let slot = closers.get_mut(depth).ok_or_else(|| self.error("less nesting"))?;
                    *slot = if open == b'{' { b'}' } else { b']' };
                    depth = depth.saturating_add(1);
                    self.step();
                }
                Some(close @ (b'}' | b']')) => {
                    let top = depth.checked_sub(1).ok_or_else(|| self.error("a value"))?;
                    if closers.get(top) != Some(&close) {
                        return Err(self.error("a matching bracket"));
                    }
                    depth = top;
                    self.step();
                }
                Some(b',' | b':') if depth > 0 => self.step(),
                Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => self.word()?,
                _ => return Err(self.error("a value")),
            }
            if depth == 0 {
                return Ok(Raw {
                    text: self.text.get(start..self.at).unwrap_or_default(),
                    at: start,
                });
            }
        }
    }

    /// A number or a literal.
    pub(super) fn word(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while matches!(
            self.peek(),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
        ) {
            self.step();
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        let number = || {
            word.iter()
                .all(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                && word.iter().any(u8::is_ascii_digit)
                && !matches!(word.first(), Some(b'e' | b'E'))
        };
        if matches!(word, b"null" | b"true" | b"false") || number() {
            return Ok(());
        }
        self.at = start;
        Err(self.error("a value"))
    }
}

/// Decodes the inside of a JSON string that was scanned before; bad UTF-8 and lone surrogates become U+FFFD.
pub(super) fn unescape(inner: &[u8]) -> Cow<'_, str> {
    if !inner.contains(&b'\\') {
        return String::from_utf8_lossy(inner);
    }
    let text = String::from_utf8_lossy(inner);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f' | 'F') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('u') => out.push(unicode(&mut chars)),
            Some('x') => out.push(hex(&mut chars, 2).and_then(char::from_u32).unwrap_or_default()),
            Some(octal @ '0'..='7') => out.extend(octal.to_digit(8).and_then(char::from_u32)),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

/// The character of `\uXXXX`, with its low surrogate when it needs one.
fn unicode(chars: &mut std::str::Chars<'_>) -> char {
    let Some(high) = hex(chars, 4) else {
        return char::REPLACEMENT_CHARACTER;
    };
    if !(0xD800..0xDC00).contains(&high) {
        return char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let mut ahead = chars.clone();
    if ahead.next() == Some('\\')
        && ahead.next() == Some('u')
        && let Some(low) = hex(&mut ahead, 4).filter(|low| (0xDC00..0xE000).contains(low))
    {
        *chars = ahead;
        let code = 0x10000_u32.saturating_add((high & 0x3FF) << 10) | (low & 0x3FF);
        return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    char::REPLACEMENT_CHARACTER
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<u32> {
    let mut value = 0_u32;
    for _ in 0..digits {
        value = (value << 4) | chars.next()?.to_digit(16)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_every_kind_are_decoded() {
        assert_eq!(
            unescape(br#"a\u0001b\n\"\\\/\ud83d\ude00"#),
            "a\u{1}b\n\"\\/\u{1F600}"
        );
        assert_eq!(unescape(br"\ud83dx"), "\u{FFFD}x", "a lone surrogate is replaced");
    }

    #[test]
    fn hostile_nesting_is_refused_not_followed() {
        let deep = vec![b'['; 100_000];
        assert!(Scanner::new(&deep).value().is_err());
    }
}
