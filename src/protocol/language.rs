//! The `language` field: a number in binary headers, a name in JSON ones (`LanguageCode`).

/// A client's or server's language. Numbers without a name travel unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Language(pub u8);

const NAMES: [&str; 14] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS",
    "RUST", "NODE_JS",
];

impl Language {
    /// Java, also what a missing field means.
    pub const JAVA: Self = Self(0);
    /// Go.
    pub const GO: Self = Self(9);
    /// A name that this version of Gimbal does not know; the command keeps the name itself.
    pub const UNKNOWN: Self = Self(u8::MAX);

    /// The language of a JSON name; [`Language::UNKNOWN`] when there is no such name.
    pub fn from_name(name: &[u8]) -> Self {
        NAMES
            .iter()
            .position(|known| known.as_bytes() == name)
            .and_then(|at| u8::try_from(at).ok())
            .map_or(Self::UNKNOWN, Self)
    }

    /// The language of the value in a JSON header as written: a name in quotes, in any case, or a bare number.
    pub(super) fn from_json(text: &[u8]) -> Self {
        let Some(name) = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            return number.map_or(Self::UNKNOWN, Self);
        };
        Self::from_name(&name.to_ascii_uppercase())
    }

    /// The JSON name; `OTHER` for a number without one.
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("OTHER")
    }
}
