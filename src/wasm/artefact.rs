//! What an author's tools made becomes what is deployed: a component with its manifest outermost.

use wasm_encoder::{CustomSection, Encode, ProducersField, ProducersSection, Section};
use wasmparser::{BinaryReader, BinaryReaderError};

use super::componentize::{self, EXPORTS, Form, PACKAGE, VERSION};
use super::manifest::{Manifest, SECTION};
use crate::filter::LoadError;

/// Bytes before the first section of a module or component.
const HEADER: usize = 8;

/// A filter as it is deployed.
#[derive(Debug, Clone)]
pub struct Artefact {
    /// The component.
    pub bytes: Vec<u8>,
    /// What it says of itself, if it says something.
    pub manifest: Option<Manifest>,
    /// Interfaces that Gimbal calls, `lifecycle` not counted.
    pub hooks: Vec<&'static str>,
}

impl Artefact {
    /// Writes into it which language it was written in, where [`super::Anatomy`] finds it: the runtimes of some languages
    /// are written in another one, and tools strip what they were.
    pub fn mark(&mut self, language: &str) {
        let mut languages = ProducersField::new();
        languages.value(language, "");
        let mut tools = ProducersField::new();
        tools.value("gimbal", env!("CARGO_PKG_VERSION"));
        let mut section = ProducersSection::new();
        section
            .field("language", &languages)
            .field("processed-by", &tools);
        self.bytes.push(section.id());
        section.encode(&mut self.bytes);
    }
}

/// Makes an artefact of a core module or a component. The manifest is `manifest` if there is one, else the outermost in
/// the file; in the artefact it is outside of every module. Nothing is compiled.
///
/// # Errors
/// With the step `read`, `imports`, `exports` or `componentize`: when it is no filter, or the manifest is none.
pub fn package(bytes: &[u8], manifest: Option<&[u8]>) -> Result<Artefact, LoadError> {
    let form = componentize::inspect(bytes)?;
    let wrong = |what: String, accepted: String| LoadError {
        step: "read",
        what,
        accepted,
    };
    let found = Manifest::outermost(bytes).map_err(|error| wrong(error.what, error.accepted))?;
    let json = manifest.or(found);
    let manifest = json
        .map(Manifest::read)
        .transpose()
        .map_err(|error| wrong(error.what, error.accepted))?;
    let bare = without_manifest(bytes).map_err(|error| {
        wrong(
            format!("the file is damaged: {error}"),
            "a WebAssembly component or core module".to_owned(),
        )
    })?;
    let mut component = match form {
        Form::Component => bare,
        Form::Module => componentize::componentize(&bare)?,
    };
    let exports = componentize::exports(&component)?;
    componentize::check_exports(&exports)?;
    let has = |hook: &&str| exports.contains(&format!("{PACKAGE}/{hook}@{VERSION}"));
    if let Some(json) = json {
        let section = CustomSection {
            name: SECTION.into(),
            data: json.into(),
        };
        component.push(section.id());
        section.encode(&mut component);
    }
    Ok(Artefact {
        bytes: component,
        manifest,
        hooks: EXPORTS.into_iter().skip(1).filter(has).collect(),
    })
}

/// The same file without the manifests that lie at its surface.
fn without_manifest(bytes: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = BinaryReader::new(bytes, 0);
    let mut kept = reader.read_bytes(HEADER)?.to_vec();
    while !reader.eof() {
        let start = reader.original_position();
        let id = reader.read_u8()?;
        let length = usize::try_from(reader.read_var_u32()?).unwrap_or(usize::MAX);
        let content = reader.read_bytes(length)?;
        let is_custom = id == 0;
        if is_custom && BinaryReader::new(content, 0).read_string()? == SECTION {
            continue;
        }
        let whole = bytes.get(start..reader.original_position());
        kept.extend_from_slice(whole.unwrap_or_default());
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::tests::{wasm, with_section};

    fn with_manifest(json: &str) -> Vec<u8> {
        let guest = wasm(include_str!("../../tests/fixtures/guests/hook.wat"));
        with_section(guest, SECTION, json.as_bytes())
    }

    const OLD: &str = r#"{"name":"old","version":"1"}"#;
    const NEW: &str = r#"{"name":"new","version":"2"}"#;

    #[test]
    fn a_modules_manifest_is_lifted_out_of_it() {
        let made = package(&with_manifest(OLD), None).unwrap();
        assert_eq!(made.manifest.unwrap().name, "old");
        assert_eq!(made.bytes.get(6), Some(&1), "a component");
        assert_eq!(
            Manifest::all(&made.bytes),
            [(0, OLD.as_bytes())],
            "and none is left inside"
        );
    }

    #[test]
    fn a_given_manifest_takes_the_place_of_the_one_inside() {
        let old = package(&with_manifest(OLD), None).unwrap();
        let made = package(&old.bytes, Some(NEW.as_bytes())).unwrap();
        assert_eq!(Manifest::all(&made.bytes), [(0, NEW.as_bytes())]);
        assert_eq!(made.hooks, old.hooks);
        assert!(!made.hooks.is_empty());
    }

    #[test]
    fn a_component_with_the_manifest_inside_gets_it_outside() {
        let module = with_manifest(OLD);
        let nested = componentize::componentize(&module).unwrap();
        assert_eq!(Manifest::all(&nested), [(1, OLD.as_bytes())]);
        let made = package(&nested, None).unwrap();
        assert_eq!(
            Manifest::all(&made.bytes).first(),
            Some(&(1, OLD.as_bytes())),
            "what the language's tools made stays whole"
        );
        assert_eq!(Manifest::all(&made.bytes).last(), Some(&(0, OLD.as_bytes())));
        assert_eq!(Manifest::find(&made.bytes).unwrap().unwrap().name, "old");
    }

    #[test]
    fn the_language_that_a_build_names_is_found() {
        let mut made = package(&with_manifest(OLD), None).unwrap();
        assert_eq!(crate::wasm::Anatomy::of(&made.bytes).language, None);
        made.mark("JavaScript");
        let found = crate::wasm::Anatomy::of(&made.bytes);
        assert_eq!(found.language.as_deref(), Some("JavaScript"));
        assert!(
            found.producers.iter().any(|tool| tool.starts_with("gimbal ")),
            "{:?}",
            found.producers
        );
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let error = package(&with_manifest(OLD), Some(b"{}")).unwrap_err();
        assert!(error.what.contains("missing field `name`"), "{error}");
    }
}
