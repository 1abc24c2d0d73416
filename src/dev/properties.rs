//! The property string of a message: `key` U+0001 `value` U+0002, repeated (`MessageDecoder.string2messageProperties`).

/// Every pair, in order; parts without key or value are skipped as the reference does.
pub(super) fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('\u{2}')
        .filter_map(|part| part.split_once('\u{1}'))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
}

/// The value of `key`; the last one counts.
pub(super) fn find<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    entries(text)
        .filter(|(name, _)| *name == key)
        .last()
        .map(|(_, value)| value)
}

/// The value of `key` as a number.
pub(super) fn int<T: std::str::FromStr>(text: &str, key: &str) -> Option<T> {
    find(text, key)?.trim().parse().ok()
}

/// Whether `key` says `true`.
pub(super) fn is_true(text: &str, key: &str) -> bool {
    find(text, key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// Appends a pair that is known not to be there.
pub(super) fn push(text: &mut String, key: &str, value: &str) {
    if !text.is_empty() && !text.ends_with('\u{2}') {
        text.push('\u{2}');
    }
    text.push_str(key);
    text.push('\u{1}');
    text.push_str(value);
    text.push('\u{2}');
}

/// Sets `key`, replacing any earlier value.
pub(super) fn set(text: &mut String, key: &str, value: &str) {
    remove(text, &[key]);
    push(text, key, value);
}

/// Sets `key` unless it is there.
pub(super) fn set_absent(text: &mut String, key: &str, value: &str) {
    if find(text, key).is_none() {
        push(text, key, value);
    }
}

/// Removes every pair with one of these keys.
pub(super) fn remove(text: &mut String, keys: &[&str]) {
    if !entries(text).any(|(name, _)| keys.contains(&name)) {
        return;
    }
    let mut kept = String::with_capacity(text.len());
    for (name, value) in entries(text) {
        if !keys.contains(&name) {
            push(&mut kept, name, value);
        }
    }
    *text = kept;
}

/// Java's `String.hashCode`, by which brokers match tags.
pub(super) fn hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_set_and_removed() {
        let mut text = "TAGS\u{1}a\u{2}KEYS\u{1}k 1".to_owned();
        assert_eq!(find(&text, "KEYS"), Some("k 1"));
        set(&mut text, "TAGS", "b");
        set_absent(&mut text, "KEYS", "other");
        assert_eq!(text, "KEYS\u{1}k 1\u{2}TAGS\u{1}b\u{2}");
        remove(&mut text, &["KEYS", "NONE"]);
        assert_eq!(text, "TAGS\u{1}b\u{2}");
        assert_eq!(
            hash_code("TagA"),
            2_598_919,
            "as in a heartbeat of the Java client"
        );
    }
}
