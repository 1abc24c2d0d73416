//! Projects of filters: made from templates, built into artefacts, built again when they are saved.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use gimbal::author::project::{Lang, Project};
use gimbal::author::template::{Kind, Plan};
use gimbal::wasm::Manifest;

use crate::cli::{gimbal, output};

/// Far more than anything here takes; reaching it means that something hangs.
const DEADLINE: Duration = Duration::from_mins(2);

fn plans() -> impl Iterator<Item = Plan> {
    let both = |lang| Kind::ALL.map(|kind| (lang, kind));
    Lang::ALL.into_iter().flat_map(both).map(|(lang, kind)| Plan {
        name: "stamp-tenant".to_owned(),
        lang,
        kind,
    })
}

/// Every file of a template, as paths from its folder.
fn template(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            let name = PathBuf::from(entry.file_name().unwrap());
            found.extend(template(&entry).into_iter().map(|path| name.join(path)));
        } else {
            found.push(entry.file_name().unwrap().into());
        }
    }
    found
}

#[test]
fn every_template_is_whole_and_every_placeholder_filled() {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("filters/templates");
    for plan in plans() {
        let made: BTreeSet<PathBuf> = plan.files().unwrap().into_iter().map(|(path, _)| path).collect();
        for from in ["shared", plan.lang.name()] {
            for file in template(&templates.join(from)) {
                let file = match file.extension() {
                    Some(ending) if ending == "jinja" => file.with_extension(""),
                    _ if file == Path::new("gitignore") => PathBuf::from(".gitignore"),
                    _ => file,
                };
                assert!(made.contains(&file), "{plan:?} misses {}", file.display());
            }
        }
        for (path, bytes) in plan.files().unwrap() {
            let text = String::from_utf8(bytes).unwrap();
            for left in [
                "{%", "{{ name", "{{ snake", "{{ lang", "{{ kind", "{{ world", "{{ does",
            ] {
                assert!(!text.contains(left), "{plan:?}: {} holds {left}", path.display());
            }
            assert!(!text.contains("../../wit"), "{plan:?}: {}", path.display());
        }
    }
}

#[test]
fn a_new_project_says_what_it_is_in_every_file_that_is_read() {
    for plan in plans() {
        let folder = tempfile::tempdir().unwrap();
        plan.write(folder.path()).unwrap();
        let project = Project::open(folder.path()).unwrap();
        assert_eq!(
            (project.name.as_str(), project.lang),
            ("stamp-tenant", Some(plan.lang))
        );
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).unwrap();
        assert_eq!(manifest["name"], "stamp-tenant");
        let schema = jsonschema::validator_for(&manifest["config"]).unwrap();
        assert!(schema.is_valid(&project.config()), "{plan:?}: the sidecar fits");
        let cases: toml::Table = toml::from_str(&read("cases.toml")).unwrap();
        assert!(cases["case"].as_array().unwrap().len() > 1, "{plan:?}");
        assert!(read("README.md").contains("gimbal filter build"));
        assert!(read("wit/filter.wit").contains(&format!("world {} ", project.world)));
        assert!(read(".gitignore").contains(".wasm"), "{plan:?}");
    }
}

/// `gimbal filter new` in a folder, with nothing to ask questions on.
fn new(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = gimbal(&["filter", "new"]);
    output(command.args(args).stdin(Stdio::null()).current_dir(folder))
}

#[test]
fn without_a_terminal_answers_are_flags_or_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = new(folder.path(), &["stamp", "--lang", "c"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.ends_with("  cd stamp\n  gimbal filter build\n  gimbal filter test\n"),
        "{stdout}"
    );
    assert!(folder.path().join("stamp/filter.c").is_file());

    let (code, _, stderr) = new(folder.path(), &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("gimbal filter new NAME"), "{stderr}");
    for wrong in ["Stamp", "../stamp", "fn", "stamp.wasm"] {
        let (code, _, stderr) = new(folder.path(), &[wrong]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("accepted: lower-case letters"), "{stderr}");
    }
    let (code, _, stderr) = new(folder.path(), &["other", "--lang", "cobol"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("rust, go, js, python, c"), "{stderr}");
    let (code, _, stderr) = new(folder.path(), &["other", "--dir", "stamp"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("stamp is not empty; accepted: "), "{stderr}");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing was made"
    );
}

/// `gimbal filter build` of a folder; compiled code is kept there and nowhere else.
fn build(folder: &Path) -> Command {
    let mut command = gimbal(&["filter", "build"]);
    command.arg(folder).env("XDG_CACHE_HOME", folder.join("target"));
    command.env_remove("WASM_RUSTC").env_remove("CLANG");
    command
}

#[test]
fn a_missing_toolchain_is_named_with_what_installs_it() {
    let nothing = tempfile::tempdir().unwrap();
    for plan in plans().filter(|plan| plan.kind == Kind::Requests) {
        let folder = tempfile::tempdir().unwrap();
        plan.write(folder.path()).unwrap();
        let (code, _, stderr) = output(build(folder.path()).env("PATH", nothing.path()));
        assert_eq!(code, Some(1), "{plan:?}: {stderr}");
        let expected = match plan.lang {
            Lang::Rust => "rustup target add wasm32-unknown-unknown",
            Lang::Go => "https://go.dev/dl, 1.24 or later",
            Lang::Js => "apt-get install nodejs npm",
            Lang::Python => "apt-get install python3 python3-venv",
            Lang::C => "apt-get install clang lld",
        };
        assert!(stderr.contains(expected), "{plan:?}: {stderr}");
        assert!(!project_artefact(folder.path()).exists());
    }
}

fn project_artefact(folder: &Path) -> PathBuf {
    Project::open(folder).unwrap().artefact()
}

/// A project whose sources are a text guest, and whose tool is `cp`.
fn copied(folder: &Path) {
    let text = |name: &str| {
        let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/guests");
        std::fs::read_to_string(guests.join(name)).unwrap()
    };
    let guest = text("hook.wat").replace(";; prelude", &text("prelude.wat"));
    std::fs::write(folder.join("guest.bytes"), wat::parse_str(guest).unwrap()).unwrap();
    project(folder, r#"["cp", "guest.bytes", "target/guest.wasm"]"#);
    manifest(folder, "0.1.0");
}

fn project(folder: &Path, build: &str) {
    let text = format!("name = \"copied\"\nbuild = {build}\nartefact = \"target/guest.wasm\"\n");
    std::fs::write(folder.join("filter.toml"), text).unwrap();
}

fn manifest(folder: &Path, version: &str) {
    let text = format!(r#"{{"name":"copied","version":"{version}"}}"#);
    std::fs::write(folder.join("manifest.json"), text).unwrap();
}

fn version(artefact: &Path) -> String {
    let bytes = std::fs::read(artefact).unwrap();
    assert_eq!(bytes.get(6), Some(&1), "a component");
    Manifest::find(&bytes).unwrap().unwrap().version
}

#[test]
fn a_build_ends_with_a_component_that_carries_the_manifest_and_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    let (code, stdout, stderr) = output(&mut build(folder.path()));
    assert_eq!(code, Some(0), "{stderr}");
    for said in [
        "copied.wasm  ",
        "manifest   copied 0.1.0",
        "hooks      requests",
        "interest   ",
        "digest     ",
    ] {
        assert!(stdout.contains(said), "{said}: {stdout}");
    }
    assert_eq!(version(&project_artefact(folder.path())), "0.1.0");
}

#[test]
fn what_a_failing_compiler_says_is_let_through_and_the_old_filter_stays() {
    let folder = tempfile::tempdir().unwrap();
    copied(folder.path());
    let (code, ..) = output(&mut build(folder.path()));
    assert_eq!(code, Some(0));
    manifest(folder.path(), "0.2.0");
    project(
        folder.path(),
        r#"["sh", "-c", "printf 'guest.c:1: \u001B[31mno\u001B[0m\n' >&2; exit 3"]"#,
    );
    let (code, _, stderr) = output(&mut build(folder.path()));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("guest.c:1: \u{1b}[31mno\u{1b}[0m\n"),
        "unchanged: {stderr}"
    );
    assert_eq!(version(&project_artefact(folder.path())), "0.1.0");
    project(folder.path(), r#"["sh", "-c", "echo text > target/guest.wasm"]"#);
    let (code, _, stderr) = output(&mut build(folder.path()));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("the file is not WebAssembly"), "{stderr}");
    manifest(folder.path(), "");
    assert_eq!(version(&project_artefact(folder.path())), "0.1.0");
}

/// A running `gimbal dev`, ended with the test.
struct Dev {
    child: Child,
    lines: Receiver<String>,
}

impl Dev {
    fn start(filters: &Path, project: &Path) -> Self {
        let mut command = gimbal(&["dev", "--listen", "127.0.0.1:0", "--filters"]);
        command.arg(filters).arg("--watch").arg(project);
        command.env("XDG_CACHE_HOME", project.join("target"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = sync_channel(10_000);
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // The test may have seen enough.
                    drop(sender.send(line));
                }
            });
        }
        Self { child, lines }
    }

    /// Waits for a line with all of these in it.
    fn says(&self, parts: &[&str]) {
        let mut heard = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            if parts.iter().all(|part| line.contains(part)) {
                return;
            }
            heard.push(line);
        }
        panic!("{parts:?} was not said: {heard:#?}");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_watched_project_is_built_and_loaded_at_every_save() {
    let folder = tempfile::tempdir().unwrap();
    let (filters, at) = (folder.path().join("filters.d"), folder.path().join("copied"));
    std::fs::create_dir(&at).unwrap();
    copied(&at);
    std::fs::write(at.join("sidecar.toml"), "mode = 'shadow'\n").unwrap();
    let dev = Dev::start(&filters, &at);
    dev.says(&["-- copied: built in"]);
    let artefact = filters.join("50-copied.wasm");
    assert_eq!(version(&artefact), "0.1.0");
    assert_eq!(
        std::fs::read_to_string(filters.join("50-copied.toml")).unwrap(),
        "mode = 'shadow'\n"
    );

    std::fs::write(filters.join("50-copied.toml"), "mode = 'enforce'\n").unwrap();
    manifest(&at, "0.2.0");
    dev.says(&["-- copied: built in"]);
    assert_eq!(version(&artefact), "0.2.0");
    assert_eq!(
        std::fs::read_to_string(filters.join("50-copied.toml")).unwrap(),
        "mode = 'enforce'\n",
        "the author's settings stay"
    );
    dev.says(&["copied", "0.2.0"]);

    project(&at, r#"["sh", "-c", "echo guest.c:1: no >&2; exit 1"]"#);
    dev.says(&["guest.c:1: no"]);
    dev.says(&["-- not built: this failed: sh"]);
    assert_eq!(version(&artefact), "0.2.0", "what works stays");
}
