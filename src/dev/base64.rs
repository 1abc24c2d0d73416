//! Base64 in both alphabets: recall handles use the URL one, bit sets of acks the standard one.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes with the URL alphabet and padding, as Java's encoder does.
pub(super) fn encode_url(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = 0_u32;
        for at in 0..3 {
            word = word << 8 | chunk.get(at).map_or(0, |byte| u32::from(*byte));
        }
        for at in 0..4_u32 {
            let digit = usize::try_from(word >> (18 - 6 * at) & 63).unwrap_or_default();
            out.push(match STANDARD.get(digit) {
                _ if usize::try_from(at).is_ok_and(|at| at > chunk.len()) => '=',
                Some(b'+') => '-',
                Some(b'/') => '_',
                Some(byte) => char::from(*byte),
                None => '=',
            });
        }
    }
    out
}

/// Reads either alphabet, padded or not; `None` for anything else.
pub(super) fn decode_url(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(digits.len());
    let mut word = 0_u32;
    let mut bits = 0_u32;
    for byte in digits.bytes() {
        let byte = match byte {
            b'-' => b'+',
            b'_' => b'/',
            byte => byte,
        };
        let digit = STANDARD.iter().position(|known| *known == byte)?;
        word = word << 6 | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(word >> bits & 0xFF).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recall_handle_is_what_java_makes() {
        let handle = "djEgVDEgYnJva2VyLWEgMTcwMDAwMDAwMDAwMSAwQTAwMDAwMQ==";
        let text = b"v1 T1 broker-a 1700000000001 0A000001";
        assert_eq!(encode_url(text), handle);
        assert_eq!(decode_url(handle).unwrap(), text);
        assert_eq!(decode_url("_-8").unwrap(), [0xFF, 0xEF]);
        assert_eq!(decode_url("a b"), None);
    }
}
