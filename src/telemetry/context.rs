//! Which trace a command belongs to, as W3C trace context writes it into messages.

use std::fmt;

/// The property of a message that names its trace.
pub const TRACE_PARENT: &str = "traceparent";
/// The property with what tracing systems add to it.
pub const TRACE_STATE: &str = "tracestate";
/// Bytes of the latter that are carried; longer ones are left away, as the standard allows.
const STATE_LIMIT: usize = 512;

/// The place of one command in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: u128,
    /// The span of the command.
    pub span: u64,
    /// The span it belongs to, of whoever sent it.
    pub parent: Option<u64>,
    /// What tracing systems add.
    pub state: Option<String>,
}

/// What a message says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    trace: u128,
    span: u64,
    /// Whether its sender records this trace.
    pub is_sampled: bool,
}

impl Parent {
    /// Reads `00-<32 hex>-<16 hex>-<2 hex>`; later versions may add to it.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
        let ends = version != "00" || parts.next().is_none();
        if !is_well_formed || version == "ff" || !ends {
            return None;
        }
        let parent = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        };
        (parent.trace != 0 && parent.span != 0).then_some(parent)
    }
}

impl Context {
    /// A span of its own trace, or of its parent's.
    pub fn new(parent: Option<Parent>, state: Option<&str>) -> Self {
        Self {
            trace: parent.map_or_else(|| fastrand::u128(1..), |parent| parent.trace),
            span: fastrand::u64(1..),
            parent: parent.map(|parent| parent.span),
            state: state
                .filter(|state| parent.is_some() && state.len() <= STATE_LIMIT)
                .map(str::to_owned),
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_is_read_as_the_standard_writes_it() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::read(text).unwrap();
        assert!(parent.is_sampled);
        let context = Context::new(Some(parent), Some("a=1"));
        let written = context.to_string();
        assert!(written.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && written.ends_with("-01"));
        assert_eq!(context.parent, Some(0x00f0_67aa_0ba9_02b7));
        assert_eq!(
            Parent::read(&written).map(|parent| parent.span),
            Some(context.span)
        );
        for wrong in [
            "",
            "00-0-0-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Parent::read(wrong), None, "{wrong}");
        }
    }
}
