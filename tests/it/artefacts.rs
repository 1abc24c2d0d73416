//! The shipped filters: that each artefact belongs to its sources, and says of itself what is true.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimbal::config::sidecar;
use gimbal::filter::{Budget, Loader, Source};
use gimbal::wasm::Host;
use serde_json::Value;
use sha2::{Digest, Sha256};

const SHIPPED: [&str; 6] = ["rate-limit", "acl", "rewrite", "guard", "redact", "chaos"];

fn filters() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("filters")
}

fn text(filter: &str, file: &str) -> String {
    let path = filters().join(filter).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn artefact(filter: &str) -> Vec<u8> {
    std::fs::read(filters().join(filter).join(format!("{filter}.wasm"))).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Every source under `dir`, as paths from the repository's root.
fn sources(dir: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join(dir)).unwrap() {
        let name = format!("{dir}/{}", entry.unwrap().file_name().into_string().unwrap());
        if root.join(&name).is_dir() {
            found.extend(sources(&name));
        } else if Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "rs" || ending == "wit")
        {
            found.push(name);
        }
    }
    found
}

/// The digest of the list of digests that `filters/build.sh` makes.
fn sources_digest(filter: &str) -> String {
    let mut files = vec![
        format!("filters/{filter}/Cargo.toml"),
        format!("filters/{filter}/manifest.json"),
    ];
    for dir in [&format!("filters/{filter}/src"), "filters/sdk/src", "wit"] {
        files.extend(sources(dir));
    }
    files.sort();
    let mut list = String::new();
    for file in files {
        let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
        writeln!(list, "{}  {file}", digest(&bytes)).unwrap();
    }
    digest(list.as_bytes())
}

#[test]
fn every_artefact_is_built_of_the_sources_beside_it() {
    for filter in SHIPPED {
        let written = text(filter, &format!("{filter}.digest"));
        let recorded = |key: &str| -> String {
            let line = written.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim().to_owned()
        };
        assert_eq!(
            recorded("artefact "),
            digest(&artefact(filter)),
            "filters/{filter}/{filter}.wasm is not what was built: run filters/build.sh {filter}"
        );
        assert_eq!(
            recorded("sources "),
            sources_digest(filter),
            "the sources of {filter} (its own, the SDK's or wit/) have changed: run filters/build.sh {filter}"
        );
    }
}

/// Sections of a core module by name; the manifest lies in one of them.
fn custom_section(wasm: &[u8], name: &str) -> Vec<u8> {
    let found: Vec<_> = wasmparser::Parser::new(0)
        .parse_all(wasm)
        .filter_map(|part| match part.unwrap() {
            wasmparser::Payload::CustomSection(section) if section.name() == name => {
                Some(section.data().to_vec())
            }
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), 1, "sections `{name}`");
    found[0].clone()
}

#[test]
fn every_artefact_carries_its_manifest() {
    for filter in SHIPPED {
        let manifest = text(filter, "manifest.json");
        assert_eq!(
            custom_section(&artefact(filter), "gimbal:manifest"),
            manifest.as_bytes()
        );
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["name"], filter);
        let cargo: toml::Table = text(filter, "Cargo.toml").parse().unwrap();
        assert_eq!(manifest["version"].as_str(), cargo["package"]["version"].as_str());
        assert_eq!(
            manifest["description"].as_str(),
            cargo["package"]["description"].as_str()
        );
    }
}

#[test]
fn every_artefact_becomes_a_component_that_imports_what_its_manifest_wants() {
    for filter in SHIPPED {
        let component = wit_component::ComponentEncoder::default()
            .module(&artefact(filter))
            .unwrap()
            .validate(true)
            .encode()
            .unwrap_or_else(|error| panic!("{filter}: {error:#}"));
        let manifest: Value = serde_json::from_str(&text(filter, "manifest.json")).unwrap();
        let wanted: Vec<_> = manifest["imports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        let (imports, exports) = interfaces(&component);
        for import in imports.iter().filter(|import| *import != "types") {
            assert!(
                wanted.contains(&import.as_str()),
                "{filter} imports {import}, its manifest does not say so"
            );
        }
        for wanted in wanted {
            assert!(
                imports.iter().any(|import| import == wanted),
                "{filter} has no use for {wanted}"
            );
        }
        assert!(exports.iter().any(|export| export == "lifecycle"), "{filter}");
    }
}

/// The names of `gimbal:filter` interfaces that a component imports and exports, without package and version.
fn interfaces(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let short = |name: &str| {
        let name = name
            .strip_prefix("gimbal:filter/")
            .expect("only interfaces of the contract");
        name.split('@').next().unwrap().to_owned()
    };
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0);
    for part in wasmparser::Parser::new(0).parse_all(component) {
        match part.unwrap() {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => {
                depth += 1;
            }
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| short(import.unwrap().name.name)));
            }
            wasmparser::Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| short(export.unwrap().name.name)));
            }
            _ => {}
        }
    }
    (imports, exports)
}

/// Loading ends with the self-tests of the manifest.
#[test]
fn every_artefact_loads_with_the_sidecar_that_comes_with_it() {
    let host = Host::new(None).unwrap();
    for filter in SHIPPED {
        let sidecar = sidecar::read("sidecar.toml", &text(filter, "sidecar.toml")).unwrap();
        let loaded = host.load(Source {
            name: filter.into(),
            bytes: artefact(filter).into(),
            config: sidecar.config,
            budget: Budget::default(),
            grants: None,
            state: Arc::default(),
        });
        let about = loaded.unwrap_or_else(|error| panic!("{filter}: {error}")).about;
        assert_eq!(about.title.as_deref(), Some(filter));
        assert_eq!(
            about.policy, sidecar.on_error,
            "{filter}: manifest and sidecar differ"
        );
    }
}

#[test]
fn every_example_configuration_fits_its_schema() {
    for filter in SHIPPED {
        let manifest: Value = serde_json::from_str(&text(filter, "manifest.json")).unwrap();
        let schema = jsonschema::validator_for(&manifest["config"])
            .unwrap_or_else(|error| panic!("{filter}: {error}"));
        let fits = |config: &Value, whose: &str| {
            let wrong: Vec<_> = schema
                .iter_errors(config)
                .map(|error| error.to_string())
                .collect();
            assert!(wrong.is_empty(), "{filter}, {whose}: {wrong:?}");
        };
        let sidecar: toml::Table = text(filter, "sidecar.toml").parse().unwrap();
        fits(&serde_json::to_value(&sidecar["config"]).unwrap(), "sidecar.toml");
        for test in manifest["self_tests"].as_array().unwrap() {
            fits(&test["config"], test["name"].as_str().unwrap());
        }
        let readme = text(filter, "README.md");
        for example in readme
            .split("```toml\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap())
        {
            let example: toml::Table = example.parse().unwrap();
            fits(&serde_json::to_value(&example["config"]).unwrap(), "README.md");
        }
        let mut misspelt = serde_json::to_value(&sidecar["config"]).unwrap();
        misspelt["no such key"] = Value::Bool(true);
        assert!(!schema.is_valid(&misspelt), "{filter} takes unknown keys");
    }
}
