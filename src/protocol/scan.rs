//! A small reader of JSON text: as lenient as fastjson about control characters and escapes, strict about structure.
//!
//! It hands out slices of the input and builds nothing. Depth is bounded, so hostile nesting cannot exhaust the stack.
//! What fastjson 1 and 2 both accept but no client writes (single quotes, comments, trailing commas) is refused.

use std::borrow::Cow;
use std::ops::Range;

use super::DecodeError;
use super::unescape::{text, unescape};

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
    /// It is a string with an escape in it.
    pub(super) is_escaped: bool,
}

impl<'a> Raw<'a> {
    /// Where it stands in the text scanned.
    pub(super) fn range(self) -> Range<usize> {
        self.at..self.at.saturating_add(self.text.len())
    }

    /// Whether this is the literal `null`.
    pub(super) fn is_null(self) -> bool {
        self.text == b"null"
    }

    /// The value as text: strings decoded, everything else as it is written, as fastjson does; `None` for `null`.
    pub(super) fn scalar(self) -> Option<Cow<'a, str>> {
        match self.text.first()? {
            b'"' if self.is_escaped => Some(unescape(self.inner())),
            b'"' => Some(text(self.inner())),
            _ if self.is_null() => None,
            _ => Some(text(self.text)),
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
        if let Some(number) = digits(self.text) {
            return Some(number);
        }
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

/// A number written in at most nine digits and nothing else, as most are.
fn digits(text: &[u8]) -> Option<i32> {
    if text.is_empty() || text.len() > 9 {
        return None;
    }
    text.iter().try_fold(0_i32, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum.wrapping_mul(10).wrapping_add(i32::from(digit)))
    })
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
    is_escaped: bool,
}

impl<'a> Key<'a> {
    /// The key with its escapes decoded: an escaped spelling must not hide a field from those who look for it.
    pub(super) fn name(self) -> Cow<'a, [u8]> {
        if self.is_escaped {
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
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Goes over blanks.
    #[inline]
    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.step();
        }
    }

    /// Goes over this byte, when it is the next one.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    /// Visits every member of the object at the current position; `visit` gets the key and the value.
    #[inline]
    pub(super) fn object(
        &mut self,
        visit: &mut impl FnMut(Key<'a>, Raw<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.members(&mut |scanner, key| {
            // Nearly all ext fields are strings without an escape.
            let value = match scanner.simple() {
                Some(string) => string,
                None => scanner.value()?,
            };
            visit(key, value)
        })
    }

    /// Visits every key of the object at the current position; `visit` stands at its value and goes over it.
    pub(super) fn members(
        &mut self,
        visit: &mut impl FnMut(&mut Self, Key<'a>) -> Result<(), DecodeError>,
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
            let key = match self.simple() {
                Some(string) => Key {
                    text: string.inner(),
                    is_escaped: false,
                },
                None => self.key()?,
            };
            self.blanks();
            if !self.eat(b':') {
                return Err(self.error("':' after a key"));
            }
            self.blanks();
            visit(self, key)?;
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
    #[inline]
    pub(super) fn key(&mut self) -> Result<Key<'a>, DecodeError> {
        if self.peek() == Some(b'"') {
            let string = self.string()?;
            return Ok(Key {
                text: string.inner(),
                is_escaped: string.is_escaped,
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
            Some(text) if !text.is_empty() => Ok(Key {
                text,
                is_escaped: false,
            }),
            _ => Err(self.error("a key")),
        }
    }

    /// A string without escapes, if that is what comes next; otherwise it stays where it is.
    #[inline]
    fn simple(&mut self) -> Option<Raw<'a>> {
        let (b'"', rest) = self.text.get(self.at..)?.split_first()? else {
            return None;
        };
        let len = plain(rest);
        if rest.get(len) != Some(&b'"') {
            return None;
        }
        let (at, end) = (self.at, self.at.saturating_add(len).saturating_add(2));
        self.at = end;
        Some(Raw {
            text: self.text.get(at..end)?,
            at,
            is_escaped: false,
        })
    }

    /// A string with its quotes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Raw<'a>, DecodeError> {
        let start = self.at;
        let mut is_escaped = false;
        self.step();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let len = plain(rest);
            self.at = self.at.saturating_add(len);
            match rest.get(len..) {
                Some([b'"', ..]) => {
                    self.step();
                    return Ok(Raw {
                        text: self.text.get(start..self.at).unwrap_or_default(),
                        at: start,
                        is_escaped,
                    });
                }
                // What separates properties, as fastjson writes it.
                Some([b'\\', b'u', b'0', b'0', b'0', b'0'..=b'9', ..]) => {
                    is_escaped = true;
                    self.at = self.at.saturating_add(6);
                }
                Some([_backslash, ..]) => {
                    is_escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.error("a closing quote")),
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
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = rest
            .iter()
            .take(digits)
            .take_while(|digit| digit.is_ascii_hexdigit())
            .count();
        self.at = self.at.saturating_add(found);
        if found < digits {
            return Err(self.error("a hex digit"));
        }
        Ok(())
    }

    /// Any value, skipped as a whole.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Raw<'a>, DecodeError> {
        self.blanks();
        let start = self.at;
        match self.peek() {
            Some(b'"') => return self.string(),
            Some(b'{' | b'[') => self.nested()?,
            _ => self.word()?,
        }
        Ok(Raw {
            text: self.text.get(start..self.at).unwrap_or_default(),
            at: start,
            is_escaped: false,
        })
    }

    /// An object or an array with all that is in it.
    fn nested(&mut self) -> Result<(), DecodeError> {
        let mut closers = [0_u8; DEPTH_LIMIT];
        let mut depth = 0_usize;
        loop {
            self.blanks();
            match self.peek() {
                Some(b'"') => drop(self.string()?),
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
                Some(b',' | b':') => self.step(),
                _ => self.word()?,
            }
            if depth == 0 {
                return Ok(());
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
        if word.is_empty() {
            return Err(self.error("a value"));
        }
        if matches!(word, b"null" | b"true" | b"false") || number() {
            return Ok(());
        }
        self.at = start;
        Err(self.error("a value"))
    }
}

/// How many bytes come before the first quote or backslash.
#[inline]
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTES: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_ne_bytes([b'\\'; 8]);
    /// The top bit of every byte that is zero; above the first one it may be set wrongly.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & TOPS
    }
    let (words, rest) = text.as_chunks::<8>();
    let mut at = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES);
        if found != 0 {
            return at.saturating_add(found.trailing_zeros() as usize / 8);
        }
        at = at.saturating_add(8);
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    at.saturating_add(rest.iter().position(is_special).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_string_is_found_wherever_it_is() {
        for len in 0..40 {
            for (stop, rest) in [("\"", ",1"), ("\\", "n\""), ("\"\"", "\\\"")] {
                let before = "\u{e9}\u{1}\u{7f}a!#[]\u{ff}"
                    .chars()
                    .cycle()
                    .take(len)
                    .collect::<String>();
                let text = format!("{before}{stop}{rest}");
                assert_eq!(plain(text.as_bytes()), before.len(), "{text:?}");
            }
        }
        assert_eq!(plain(b"0123456789"), 10, "nothing special");
    }

    #[test]
    fn hostile_nesting_is_refused_not_followed() {
        let deep = vec![b'['; 100_000];
        assert!(Scanner::new(&deep).value().is_err());
    }
}
