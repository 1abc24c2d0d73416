//! What is inside a file, looked at without running it: also of files that cannot be loaded.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use wasmparser::{ComponentExternalKind, KnownCustom, Parser, Payload};

use super::cache::hex;
use super::componentize::{self, EXPORTS};
use super::grants;
use crate::filter::LoadError;

/// Tools that are named.
const TOOLS: usize = 8;
/// Module of the functions of WASI preview 1.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// SHA-256 of the file, lower-case hex.
    pub digest: String,
    /// Bytes of the file.
    pub size: usize,
    /// `component`, `core module` or `core module for WASI preview 1`; none when it is no WebAssembly.
    pub form: Option<&'static str>,
    /// Functions it has: `lifecycle`, `requests`, `responses`, `connections`.
    pub hooks: Vec<String>,
    /// Interfaces of the host that it imports.
    pub imports: Vec<String>,
    /// What else it imports.
    pub foreign: Vec<String>,
    /// What it was written in and made with, as the tools say: `Rust`, `C11`, `clang 18` …
    pub producers: Vec<String>,
    /// The language, as good as can be told.
    pub language: Option<String>,
    /// Bytes of code, data, and of sections with names and debug information.
    pub parts: Parts,
}

/// What takes how many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// Functions.
    pub code: usize,
    /// Constants and initial memory.
    pub data: usize,
    /// Names and debug information, which could be stripped.
    pub names: usize,
}

impl Anatomy {
    /// What is inside these bytes; what cannot be parsed is left out.
    pub fn of(bytes: &[u8]) -> Self {
        let mut found = Self {
            digest: hex(&Sha256::digest(bytes)),
            size: bytes.len(),
            ..Self::default()
        };
        let mut seen = Seen::default();
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            seen.payload(&payload, &mut found);
        }
        let is_wasm = bytes.get(..4) == Some(b"\0asm");
        found.form = match bytes.get(6) {
            Some(1) if is_wasm => Some("component"),
            Some(0) if is_wasm && seen.imports.contains(PREVIEW1) => Some("core module for WASI preview 1"),
            Some(0) if is_wasm => Some("core module"),
            _ => None,
        };
        let is_hook = |name: &&str| {
            seen.exports
                .iter()
                .any(|export| grants::short(export) == Some(name))
        };
        found.hooks = EXPORTS
            .iter()
            .copied()
            .filter(is_hook)
            .map(str::to_owned)
            .collect();
        let is_import = |name: &&str| {
            seen.imports
                .iter()
                .any(|import| grants::short(import) == Some(name))
        };
        found.imports = grants::ALL
            .iter()
            .copied()
            .filter(is_import)
            .map(str::to_owned)
            .collect();
        let foreign = seen
            .imports
            .iter()
            .filter(|import| grants::short(import).is_none());
        // Names of the tools, which stand for what is looked at inside.
        let foreign = foreign.filter(|import| !import.starts_with("cm32p2") && *import != "[export]$root");
        // What stands in for WASI is Gimbal's own.
        let foreign = foreign.filter(|import| *import != componentize::STDIO);
        found.foreign = foreign.cloned().collect();
        let guessed = || language(&found.producers).map(str::to_owned);
        found.language = seen.language.or_else(guessed);
        found
    }
}

/// Whether a file has the form of a filter: why not, and what would be accepted.
///
/// # Errors
/// What is wrong, at the step `read`, `imports` or `exports`.
pub fn check(bytes: &[u8]) -> Result<(), LoadError> {
    componentize::inspect(bytes).map(|_form| ())
}

#[derive(Debug, Default)]
struct Seen {
    depth: usize,
    /// The language that the file itself names, not the modules in it.
    language: Option<String>,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

impl Seen {
    fn payload(&mut self, payload: &Payload<'_>, found: &mut Anatomy) {
        let length = |range: &std::ops::Range<usize>| range.end.saturating_sub(range.start);
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.depth = self.depth.saturating_add(1);
            }
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::CodeSectionStart { range, .. } => {
                found.parts.code = found.parts.code.saturating_add(length(range));
            }
            Payload::DataSection(section) => {
                found.parts.data = found.parts.data.saturating_add(length(&section.range()));
            }
            Payload::CustomSection(section) => {
                let name = section.name();
                if name == "name" || name.starts_with(".debug") || name == "component-name" {
                    found.parts.names = found.parts.names.saturating_add(section.data().len());
                }
                // So the bindings for Rust name what they leave, also where marks of compilers were stripped.
                if let Some(rest) = name.strip_prefix("component-type:wit-bindgen:") {
                    let version = rest.split(':').next().unwrap_or_default();
                    tool(&mut found.producers, "wit-bindgen-rust", version);
                }
                if let KnownCustom::Producers(fields) = section.as_known() {
                    for field in fields.into_iter().flatten() {
                        for value in field.values.into_iter().flatten() {
                            if field.name == "language" && self.depth == 0 {
                                self.language = Some(value.name.to_owned());
                            }
                            tool(&mut found.producers, value.name, value.version);
                        }
                    }
                }
            }
            _ if self.depth > 0 => {}
            other => self.outside(other),
        }
    }

    fn outside(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::ImportSection(section) => {
                let imports = section.clone().into_imports().flatten();
                self.imports
                    .extend(imports.map(|import| import.module.to_owned()));
            }
            Payload::ExportSection(section) => {
                for export in section.clone().into_iter().flatten() {
                    if let Some((interface, _)) = export.name.split_once('#') {
                        self.exports.insert(interface.to_owned());
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                let imports = section.clone().into_iter().flatten();
                self.imports
                    .extend(imports.map(|import| import.name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone().into_iter().flatten() {
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.insert(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
}

fn tool(tools: &mut Vec<String>, name: &str, version: &str) {
    let version = version.split(" (").next().unwrap_or_default();
    let tool = format!("{name} {version}").trim_end().to_owned();
    if tools.len() < TOOLS && !tools.contains(&tool) {
        tools.push(tool);
    }
}

/// The language that the tools say, the most telling first: Python and JavaScript runtimes are C inside.
fn language(producers: &[String]) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 10] = [
        ("componentize-py", "Python"),
        // What prepares the interpreter of componentize-py; it leaves no name of its own.
        ("component-init-transform", "Python"),
        ("ComponentizeJS", "JavaScript"),
        ("componentize-js", "JavaScript"),
        ("componentize-qjs", "JavaScript"),
        ("Go ", "Go"),
        ("TinyGo", "Go"),
        ("Rust", "Rust"),
        // Where the compiler's own mark was stripped.
        ("wit-bindgen-rust", "Rust"),
        ("clang", "C"),
    ];
    let says = |sign: &str| {
        let mut tools = producers.iter();
        tools.any(|tool| tool.starts_with(sign) || tool.trim() == sign.trim())
    };
    let found = SIGNS.iter().find(|(sign, _)| says(sign));
    found.map(|(_, language)| *language)
}
