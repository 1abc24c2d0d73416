//! A file becomes a component, or is refused for what it imports.

use std::collections::BTreeSet;

use wasmparser::{ComponentExternalKind, Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::grants;
use crate::filter::LoadError;

/// The package that guests and host speak.
pub(super) const PACKAGE: &str = "gimbal:filter";
/// Its version.
pub(super) const VERSION: &str = "0.1.0";
/// What our preview1 adapter imports beside interfaces of the package.
pub(super) const STDIO: &str = "gimbal:wasip1/stdio@0.1.0";
/// The module of WASI functions that the adapter stands in for.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The package, file by file.
const WIT: [(&str, &str); 3] = [
    ("types.wit", include_str!("../../wit/types.wit")),
    ("host.wit", include_str!("../../wit/host.wit")),
    ("filter.wit", include_str!("../../wit/filter.wit")),
];
/// `wasi_snapshot_preview1` in terms of the package.
const ADAPTER: &str = include_str!("adapter.wat");
/// The world of the adapter.
const ADAPTER_WIT: &str = include_str!("adapter.wit");
/// Interfaces that a filter may export.
pub(super) const EXPORTS: [&str; 4] = ["lifecycle", "requests", "responses", "connections"];

fn refuse(step: &'static str, what: impl Into<String>, accepted: impl Into<String>) -> LoadError {
    LoadError {
        step,
        what: what.into(),
        accepted: accepted.into(),
    }
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A component.
    Component,
    /// A core module, to be made into one.
    Module,
}

/// Looks at the first bytes, and at what the file imports and exports; nothing is compiled for what is refused here.
pub(super) fn inspect(bytes: &[u8]) -> Result<Form, LoadError> {
    let accepted = "a WebAssembly component or core module";
    if bytes.get(..4) != Some(b"\0asm") {
        let what = if bytes.is_empty() {
            "the file is empty"
        } else {
            "the file is not WebAssembly"
        };
        return Err(refuse("read", what, accepted));
    }
    let form = match bytes.get(6) {
        Some(0) => Form::Module,
        Some(1) => Form::Component,
        _ => return Err(refuse("read", "the file ends after its first bytes", accepted)),
    };
    let outside =
        outside(bytes).map_err(|error| refuse("read", format!("the file is damaged: {error}"), accepted))?;
    check_imports(form, &outside.imports)?;
    if form == Form::Module && !outside.is_described {
        check_exports(&outside.exports)?;
    }
    Ok(form)
}

/// What a file shows to the outside.
#[derive(Debug, Default)]
struct Outside {
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
    /// It says in a section which world it implements.
    is_described: bool,
}

fn outside(bytes: &[u8]) -> Result<Outside, wasmparser::BinaryReaderError> {
    let mut found = Outside::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    found.imports.insert(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let name = export?.name;
                    if let Some((interface, _)) = name.split_once('#') {
                        found.exports.insert(interface.to_owned());
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    found.imports.insert(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        found.exports.insert(export.name.name.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                found.is_described = true;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The interfaces that a file exports, by their full names.
pub(super) fn exports(bytes: &[u8]) -> Result<BTreeSet<String>, LoadError> {
    let accepted = "a WebAssembly component or core module";
    let outside =
        outside(bytes).map_err(|error| refuse("read", format!("the file is damaged: {error}"), accepted))?;
    Ok(outside.exports)
}

fn check_imports(form: Form, imports: &BTreeSet<String>) -> Result<(), LoadError> {
    let ours = format!("imports of {PACKAGE}@{VERSION} alone: {}", grants::ALL.join(", "));
    for import in imports {
        let is_ours =
            grants::short(import).is_some_and(|name| name == "types" || grants::ALL.contains(&name));
        let is_fine = match form {
            Form::Component => is_ours || import == STDIO,
            // `cm32p2` and `$root` are names of the tools; what they hide is seen in the component.
            Form::Module => {
                is_ours || import == PREVIEW1 || import.starts_with("cm32p2") || import == "[export]$root"
            }
        };
        if is_fine {
            continue;
        }
        if import.starts_with("wasi:") {
            return Err(refuse(
                "imports",
                format!("it imports `{import}`, and filters get no WASI"),
                WASI_REMEDY,
            ));
        }
        if let Some(rest) = import.strip_prefix(PACKAGE) {
            let what = match rest.split_once('@') {
                Some((_, version)) if version != VERSION => {
                    format!("it imports `{import}`, and this Gimbal speaks version {VERSION}")
                }
                _ => format!("it imports `{import}`, and there is no such interface"),
            };
            return Err(refuse("imports", what, ours));
        }
        return Err(refuse(
            "imports",
            format!("it imports `{import}`, which filters do not get"),
            ours,
        ));
    }
    Ok(())
}

const WASI_REMEDY: &str = "a component without WASI: componentize-py and componentize-qjs with --stub-wasi, componentize-js with \
     disableFeatures [stdio, random, clocks, http, fetch-event]; of Rust (wasm32-unknown-unknown), C and Go (GOOS=wasip1 \
     -buildmode=c-shared) the core module itself";

/// What a file must export, by interface.
pub(super) fn check_exports(exports: &BTreeSet<String>) -> Result<(), LoadError> {
    let accepted = format!(
        "exports of {PACKAGE}@{VERSION}: lifecycle, and at least one of requests, responses, connections"
    );
    let of_package = |name: &&String| name.starts_with(PACKAGE);
    if let Some(foreign) = exports
        .iter()
        .filter(of_package)
        .find(|name| !grants::short(name).is_some_and(|name| EXPORTS.contains(&name)))
    {
        let what = match foreign.split_once('@') {
            Some((_, version)) if version != VERSION => {
                format!("it exports `{foreign}`, and this Gimbal speaks version {VERSION}")
            }
            _ => format!("it exports `{foreign}`, and there is no such interface to export"),
        };
        return Err(refuse("exports", what, accepted));
    }
    let has = |name: &str| exports.contains(&format!("{PACKAGE}/{name}@{VERSION}"));
    if !has("lifecycle") {
        let others: Vec<&str> = exports.iter().take(10).map(String::as_str).collect();
        let what = if others.is_empty() {
            "it exports nothing that makes a filter".to_owned()
        } else {
            format!("it does not export `lifecycle`; it exports {}", others.join(", "))
        };
        return Err(refuse("exports", what, accepted));
    }
    if !EXPORTS.iter().skip(1).any(|name| has(name)) {
        return Err(refuse(
            "exports",
            "it exports `lifecycle` alone and would never be called",
            accepted,
        ));
    }
    Ok(())
}

/// The component of a core module.
pub(super) fn componentize(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let accepted = "a core module with the canonical ABI of the package, as its language's tools make it";
    encode(module).map_err(|error| {
        refuse(
            "componentize",
            format!("it cannot be made a component: {error:#}"),
            accepted,
        )
    })
}

fn encode(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let outside = outside(module)?;
    let mut module = module.to_vec();
    if !outside.is_described {
        let mut resolve = package()?;
        let exports: Vec<String> = outside
            .exports
            .iter()
            .map(|interface| format!("export {interface};"))
            .collect();
        let exports = exports.join(
            "
",
        );
        let text = format!(
            "package gimbal:assembled;\nworld assembled {{\ninclude {PACKAGE}/imports@{VERSION};\n{exports}\n}}\n"
        );
        describe(&mut module, &mut resolve, &text)?;
    }
    let encoder = ComponentEncoder::default().module(&module)?.validate(true);
    let mut encoder = if outside.imports.contains(PREVIEW1) {
        encoder.adapter(PREVIEW1, &adapter()?)?
    } else {
        encoder
    };
    encoder.encode()
}

/// The stand-in for preview1, described as the module of its world.
fn adapter() -> anyhow::Result<Vec<u8>> {
    let mut adapter = wat::parse_str(ADAPTER)?;
    describe(&mut adapter, &mut package()?, ADAPTER_WIT)?;
    Ok(adapter)
}

/// Says in the module which world it implements: the only one of this package.
fn describe(module: &mut Vec<u8>, resolve: &mut Resolve, text: &str) -> anyhow::Result<()> {
    let package = resolve.push_source("world.wit", text)?;
    let world = resolve.select_world(&[package], None)?;
    embed_component_metadata(module, resolve, world, StringEncoding::UTF8)
}

/// Our package.
fn package() -> anyhow::Result<Resolve> {
    let mut files = SourceMap::new();
    for (name, text) in WIT {
        files.push_str(name, text);
    }
    let mut resolve = Resolve::default();
    let group = files
        .parse()
        .map_err(|(files, error)| anyhow::anyhow!(error.render(&files)))?;
    resolve.push_group(group)?;
    Ok(resolve)
}
