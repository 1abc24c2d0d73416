//! What the binary says about filters: their settings, their folder, those it carries, and the contract.

use crate::cli::{gimbal, output};

#[test]
fn the_schema_of_a_filters_settings_describes_every_one() {
    let (code, stdout, _) = output(&mut gimbal(&["schema", "filter"]));
    assert_eq!(code, Some(0));
    let schema: serde_json::Value = serde_json::from_str(&stdout).expect("the schema is JSON");
    let sections = schema["properties"].as_object().unwrap();
    assert_eq!(sections.len(), 6, "{sections:?}");
    for (name, section) in sections {
        assert!(section["description"].is_string(), "{name}");
        let keys = section["properties"].as_object().into_iter().flatten();
        keys.for_each(|(key, inner)| assert!(inner["description"].is_string(), "{name}.{key}"));
    }
}

#[test]
fn check_tries_every_filter() {
    let folder = tempfile::tempdir().unwrap();
    let filters = folder.path().join("filters.d");
    std::fs::create_dir(&filters).unwrap();
    for (file, text) in [
        ("10-a.wasm", "not loaded while it is off"),
        ("10-a.toml", "mode = 'off'"),
        ("20-b.wasm", "text"),
        ("30-c.wasm", "text"),
        ("30-c.toml", "mod = 'off'"),
        ("40-d.toml", ""),
    ] {
        std::fs::write(filters.join(file), text).unwrap();
    }
    let args = ["check", "--nameserver", "ns:9876", "--filters", "filters.d"];
    let mut check = gimbal(&args);
    let (code, stdout, _) = output(
        check
            .env("GIMBAL_FILTER__REQUIRED", "a,acl")
            .current_dir(folder.path()),
    );
    let expected = r#"error: 20-b.wasm
  read: the file is not WebAssembly
  accepted: a WebAssembly component or core module

error: mod  (30-c.toml:1)
  is not a setting
  accepted: mode (closest)

error: filter.required[1]
  names "acl", and no such file is in filters.d
  accepted: acl.wasm there, with or without a number, as in 20-acl.wasm

warning: filters.d
  40-d.toml has no filter beside it
  accepted: 40-d.wasm

10-a.wasm  off

flags cannot be used: 3 errors, 1 warning
"#;
    assert_eq!((code, stdout.as_str()), (Some(1), expected));
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing is written");
}

#[test]
fn filters_come_out_of_the_binary_and_the_contract_too() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = output(&mut gimbal(&["filter", "list"]));
    assert_eq!(code, Some(0));
    assert!(
        stdout.lines().any(|line| line.starts_with("rate-limit  0.")),
        "{stdout}"
    );

    let install = || gimbal(&["filter", "install", "acl", "--to", "filters.d"]);
    let (code, stdout, stderr) = output(install().current_dir(folder.path()));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("filters.d/20-acl.wasm  acl 0."), "{stdout}");
    let (code, _, stderr) = output(install().current_dir(folder.path()));
    assert_eq!(code, Some(1));
    let again = "error: filters.d/20-acl.wasm is there; --force replaces it and keeps its settings\n";
    assert_eq!(stderr, again);

    let (code, stdout, _) = output(&mut gimbal(&["wit"]));
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("package gimbal:filter@"), "{stdout}");
}
