//! The filters that come with Gimbal, carried inside the binary.

use serde_json::Value;

/// A filter that comes with Gimbal.
#[derive(Debug)]
pub(super) struct Shipped {
    /// Its name, which becomes its file's.
    pub(super) name: &'static str,
    /// The filter.
    pub(super) wasm: &'static [u8],
    /// Settings to begin with, commented.
    pub(super) sidecar: &'static str,
    manifest: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Shipped {
            name: $name,
            wasm: include_bytes!(concat!("../../filters/", $name, "/", $name, ".wasm")),
            sidecar: include_str!(concat!("../../filters/", $name, "/sidecar.toml")),
            manifest: include_str!(concat!("../../filters/", $name, "/manifest.json")),
        }),*]
    };
}

/// All of them, by name.
pub(super) const SHIPPED: &[Shipped] = shipped!["acl", "chaos", "guard", "rate-limit", "redact", "rewrite"];

impl Shipped {
    /// The one of this name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        SHIPPED.iter().find(|shipped| shipped.name == name)
    }

    /// Its version.
    pub(super) fn version(&self) -> String {
        self.says("version")
    }

    /// What it does, one line.
    pub(super) fn description(&self) -> String {
        self.says("description")
    }

    fn says(&self, key: &str) -> String {
        let manifest: Value = serde_json::from_str(self.manifest).unwrap_or_default();
        manifest
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sidecar;

    #[test]
    fn every_filter_that_was_built_is_shipped() {
        let filters = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("filters");
        let folders = std::fs::read_dir(&filters).unwrap().map(|entry| entry.unwrap());
        let names = folders.filter_map(|folder| folder.file_name().into_string().ok());
        let mut built: Vec<String> = names
            .filter(|name| filters.join(name).join(format!("{name}.wasm")).is_file())
            .collect();
        built.sort();
        let shipped: Vec<_> = SHIPPED.iter().map(|shipped| shipped.name).collect();
        assert_eq!(shipped, built);
    }

    #[test]
    fn every_shipped_filter_is_whole_and_says_what_it_is() {
        let names: Vec<_> = SHIPPED.iter().map(|shipped| shipped.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for shipped in SHIPPED {
            let name = shipped.name;
            assert!(shipped.wasm.starts_with(b"\0asm"), "{name}");
            assert!(
                !shipped.version().is_empty() && !shipped.description().is_empty(),
                "{name}"
            );
            let settings = sidecar::check("sidecar.toml", shipped.sidecar);
            assert!(settings.is_ok(), "{name}: {settings:?}");
            assert!(shipped.sidecar.starts_with('#'), "{name} explains its settings");
        }
    }
}
