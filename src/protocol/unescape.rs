//! Text as it was meant: JSON strings without their escapes, and bytes that should be UTF-8.

use std::borrow::Cow;

/// Bytes as text, bad UTF-8 as U+FFFD. Nearly all of it is good, and told so by the faster of two ways.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_bad) => String::from_utf8_lossy(bytes),
    }
}

/// Decodes the inside of a JSON string that was scanned before; bad UTF-8 and lone surrogates become U+FFFD.
pub(super) fn unescape(inner: &[u8]) -> Cow<'_, str> {
    let text = text(inner);
    if !text.contains('\\') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escaped.chars();
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
        rest = chars.as_str();
    }
    out.push_str(rest);
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
}
