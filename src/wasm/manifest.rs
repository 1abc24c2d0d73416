//! What an artefact says of itself: the custom section `gimbal:manifest`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use wasmparser::{Parser, Payload};

use super::grants;
use crate::filter::Policy;

/// Name of the section.
pub(super) const SECTION: &str = "gimbal:manifest";
/// Bytes of the longest manifest.
const LIMIT: usize = 1 << 20;
/// Self-tests of one filter.
const TESTS: usize = 100;

/// A manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name of the filter.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in one line.
    #[serde(default)]
    pub description: Option<String>,
    /// JSON Schema of its configuration.
    #[serde(default)]
    pub config: Option<Value>,
    /// Interfaces that it needs, by name; without it, those that the component imports.
    #[serde(default)]
    pub imports: Option<Vec<String>>,
    /// What its failures do, unless the operator says otherwise.
    #[serde(default)]
    pub on_error: Option<OnError>,
    /// Commands and the verdicts that it must give.
    #[serde(default)]
    pub self_tests: Vec<SelfTest>,
}

/// A failure policy as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The command is answered with an error.
    Closed,
    /// The command goes on.
    Open,
}

impl From<OnError> for Policy {
    fn from(written: OnError) -> Self {
        match written {
            OnError::Closed => Self::Closed,
            OnError::Open => Self::Open,
        }
    }
}

/// A command and the verdict expected for it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// What it shows.
    pub name: String,
    /// The configuration to show it with.
    #[serde(default)]
    pub config: Value,
    /// The command.
    pub request: Shown,
    /// The verdict.
    pub expect: Expected,
}

/// A request to show.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Request code.
    pub code: i32,
    /// Ext fields.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// The body, as text.
    #[serde(default)]
    pub body: Option<String>,
    /// Whether nobody waits for an answer.
    #[serde(default)]
    pub oneway: bool,
    /// Who sends it.
    #[serde(default)]
    pub client: Sender,
}

/// Who sends a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sender {
    /// Address; 127.0.0.1 otherwise.
    pub ip: Option<String>,
    /// Verified user.
    pub user: Option<String>,
    /// Client id.
    pub id: Option<String>,
    /// Name of the listener.
    pub listener: Option<String>,
}

/// A verdict: `"forward"`, `"delay"`, `"drop"`, `"close"`, or `{"answer": code}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// It goes on.
    Forward,
    /// It is answered with this code.
    Answer(i32),
    /// It is held.
    Delay,
    /// It is forgotten.
    Drop,
    /// The connection is closed.
    Close,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward => f.write_str("forward"),
            Self::Answer(code) => write!(f, "answer {code}"),
            Self::Delay => f.write_str("delay"),
            Self::Drop => f.write_str("drop"),
            Self::Close => f.write_str("close"),
        }
    }
}

/// What is wrong with a manifest, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// What is wrong.
    pub what: String,
    /// What would be accepted.
    pub accepted: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; accepted: {}", self.what, self.accepted)
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// The manifest in a module or component, if there is one: of several, the one that lies outermost.
    ///
    /// # Errors
    /// When two lie at the same depth, or what is there is no manifest.
    pub fn find(wasm: &[u8]) -> Result<Option<Self>, ManifestError> {
        Self::outermost(wasm)?.map(Self::read).transpose()
    }

    /// The text of that manifest.
    pub(super) fn outermost(wasm: &[u8]) -> Result<Option<&[u8]>, ManifestError> {
        let mut sections = sections(wasm);
        let Some(outermost) = sections.iter().map(|(depth, _)| *depth).min() else {
            return Ok(None);
        };
        sections.retain(|(depth, _)| *depth == outermost);
        match sections.as_slice() {
            [(_, json)] => Ok(Some(json)),
            several => Err(ManifestError {
                what: format!(
                    "the file has {} sections `{SECTION}` beside each other",
                    several.len()
                ),
                accepted: "one".to_owned(),
            }),
        }
    }

    /// Reads the text of a manifest.
    pub(super) fn read(json: &[u8]) -> Result<Self, ManifestError> {
        let accepted = "a JSON object with name, version, and if you like description, config (a JSON Schema), imports, on_error, self_tests";
        let wrong = |what: String| ManifestError {
            what,
            accepted: accepted.to_owned(),
        };
        if json.len() > LIMIT {
            return Err(wrong(format!(
                "the manifest has {} bytes, more than {LIMIT}",
                json.len()
            )));
        }
        let deserializer = &mut serde_json::Deserializer::from_slice(json);
        let manifest: Self = serde_path_to_error::deserialize(deserializer)
            .map_err(|error| wrong(format!("the manifest: {}: {}", error.path(), error.inner())))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Every such section, with how deep it lies.
    #[cfg(test)]
    pub(super) fn all(wasm: &[u8]) -> Vec<(usize, &[u8])> {
        sections(wasm)
    }

    fn check(&self) -> Result<(), ManifestError> {
        for import in self.imports.iter().flatten() {
            if !grants::ALL.contains(&import.as_str()) {
                return Err(ManifestError {
                    what: format!("the manifest: imports: there is no interface `{import}`"),
                    accepted: grants::ALL.join(", "),
                });
            }
        }
        if self.self_tests.len() > TESTS {
            return Err(ManifestError {
                what: format!("the manifest has {} self-tests", self.self_tests.len()),
                accepted: format!("at most {TESTS}"),
            });
        }
        Ok(())
    }
}

/// Every such section, with how deep it lies: a Rust guest has it in the module inside the component.
fn sections(wasm: &[u8]) -> Vec<(usize, &[u8])> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    // What cannot be parsed is said by those who need the rest of the file.
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == SECTION => {
                found.push((depth, section.data()));
            }
            _ => {}
        }
    }
    found
}
