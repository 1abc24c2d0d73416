//! What a recording never holds: keys, signatures, tokens and passwords, wherever a command may carry them.

use crate::protocol::Code;
use crate::protocol::request as rq;

/// Names of ext fields and of properties of messages whose values are masked, in any case; `*` stands for anything.
pub const MASKED: &[&str] = &[
    "*AccessKey*",
    "*Signature*",
    "*Token*",
    "*Secret*",
    "*Password*",
    "*Credential*",
    "OnsChannel",
    "Authorization",
];

/// What stands in place of a secret.
const MASK: &str = "***";

/// Requests whose bodies, and those of their answers, are never recorded: they hold passwords, or whole files of settings
/// in which such may stand.
const SECRET_BODIES: [Code; 11] = [
    Code(50),
    Code(54),
    rq::UPDATE_BROKER_CONFIG,
    rq::GET_BROKER_CONFIG,
    rq::UPDATE_NAMESRV_CONFIG,
    rq::GET_NAMESRV_CONFIG,
    rq::AUTH_CREATE_USER,
    rq::AUTH_UPDATE_USER,
    rq::AUTH_DELETE_USER,
    rq::AUTH_GET_USER,
    rq::AUTH_LIST_USER,
];

/// Between name and value of a property, and after it (`MessageDecoder`).
const NAME_END: char = '\u{1}';
const PROPERTY_END: char = '\u{2}';

/// Whether values under this name are masked.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    MASKED.iter().any(|masked| {
        let masked = masked.to_ascii_lowercase();
        match masked.strip_prefix('*').and_then(|rest| rest.strip_suffix('*')) {
            Some(part) => name.contains(part),
            None => name == masked,
        }
    })
}

/// Whether bodies of this request and of its answer are left away.
pub(super) fn has_secret_body(code: Code) -> bool {
    SECRET_BODIES.contains(&code)
}

/// The value of a field as it may be written down.
pub(super) fn shown(name: &str, value: &str) -> String {
    if is_secret(name) && !value.is_empty() {
        return MASK.to_owned();
    }
    // Properties of a message in a send, long and short name.
    if matches!(name, "properties" | "i") && value.contains(NAME_END) {
        return properties(value);
    }
    value.to_owned()
}

fn properties(text: &str) -> String {
    let shown = text.split_inclusive(PROPERTY_END).map(|property| {
        let (pair, end) = match property.strip_suffix(PROPERTY_END) {
            Some(pair) => (pair, "\u{2}"),
            None => (property, ""),
        };
        match pair.split_once(NAME_END) {
            Some((name, value)) if is_secret(name) && !value.is_empty() => {
                format!("{name}{NAME_END}{MASK}{end}")
            }
            _ => property.to_owned(),
        }
    });
    shown.collect()
}
