//! Lines of text that fit a terminal: columns, wrapped lists, sizes and times as people read them.

use std::time::Duration;

/// Columns of the widest line.
pub(super) const WIDTH: usize = 100;

/// `text` in as many lines as it takes, each begun by as many blanks as `label` takes in the first one.
pub(super) fn wrapped(label: &str, text: &str) -> String {
    let indent = columns(label);
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let length = line.chars().count();
        if length > 0 && length.saturating_add(word.chars().count()) >= room {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    let blanks = " ".repeat(indent);
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let begin = if at == 0 { label } else { &blanks };
        out.push_str(begin);
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// Columns that a text takes, escape codes not counted.
fn columns(text: &str) -> usize {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().chars().count();
    let rest = parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.chars().count()));
    rest.fold(first, usize::saturating_add)
}

/// `text`, cut to so many characters.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `12.3 µs`.
pub(super) fn time(took: Duration) -> String {
    let nanos = took.as_nanos();
    let thousandth = |per: u128, unit: &str| {
        let tenths = nanos.saturating_mul(10) / per;
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    };
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => thousandth(1_000, "µs"),
        1_000_000..1_000_000_000 => thousandth(1_000_000, "ms"),
        _ => thousandth(1_000_000_000, "s"),
    }
}

/// `12 345`, so that big numbers can be read.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `3.4 KiB`.
pub(super) fn size(bytes: usize) -> String {
    let tenths = |unit: usize| bytes.saturating_mul(10) / unit;
    let (tenths, unit) = match bytes {
        0..1_024 => return format!("{bytes} B"),
        1_024..1_048_576 => (tenths(1 << 10), "KiB"),
        _ => (tenths(1 << 20), "MiB"),
    };
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_wrapped_under_their_label() {
        let text = "alpha, ".repeat(30);
        let lines = wrapped("  read  ", &text);
        assert!(lines.lines().count() > 1, "{lines}");
        assert!(lines.lines().all(|line| line.chars().count() <= WIDTH), "{lines}");
        assert!(
            lines
                .lines()
                .skip(1)
                .all(|line| line.starts_with("        alpha")),
            "{lines}"
        );
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1 234 567");
        assert_eq!(size(100), "100 B");
        assert_eq!(size(65_536), "64.0 KiB");
        assert_eq!(size(5 << 20), "5.0 MiB");
        assert_eq!(time(Duration::from_nanos(12_340)), "12.3 µs");
        assert_eq!(time(Duration::from_nanos(340)), "340 ns");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
