//! What the documents show works as it stands there: configurations load, commands are understood, what they name exists.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gimbal::auth::Credentials;
use gimbal::config::{Sources, sidecar};

use crate::support::tls::{Authority, Files};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every file below `folder`, in order, without what builds leave there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            !["target", "node_modules", ".venv", "wit"]
                .iter()
                .any(|left| path.ends_with(left))
        })
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    found.sort();
    found
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

fn with_ending(ending: &str) -> Vec<PathBuf> {
    let mut found = files(&Path::new(ROOT).join("examples"));
    found.retain(|path| has_ending(path, ending));
    found
}

fn readme() -> String {
    fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap()
}

/// The fenced blocks of a Markdown text in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// Loads a file with nothing from the environment and expects not even advice.
fn loads(file: &Path, shown: &str) {
    let sources = Sources {
        file: Some(file.to_owned()),
        ..Sources::default()
    };
    let loaded = sources
        .load()
        .unwrap_or_else(|problems| panic!("{shown}: {:#?}", problems.errors));
    let mut remarks = [loaded.warnings, loaded.advice].concat();
    // The folders of an operator's machine are not on this one.
    remarks.retain(|remark| !(remark.path == "filters" && remark.what.contains("/etc/gimbal")));
    assert!(
        remarks.is_empty(),
        "{shown}: an example is beyond reproach: {remarks:#?}"
    );
}

#[test]
fn every_example_config_loads() {
    let found = with_ending("toml");
    assert!(found.len() >= 3, "examples were found: {found:?}");
    for file in found {
        let of_project = file
            .parent()
            .is_some_and(|folder| folder.join("filter.toml").exists());
        if of_project && !file.ends_with("sidecar.toml") {
            // How a filter is built, and what must become of commands: tests/author/run builds and shows.
            continue;
        }
        if of_project || file.parent().is_some_and(|folder| folder.ends_with("filters.d")) {
            is_sidecar(&fs::read_to_string(&file).unwrap());
        } else {
            loads(&file, &file.display().to_string());
        }
    }
}

/// Checks settings that stand beside a filter.
fn is_sidecar(text: &str) {
    let checked = sidecar::check("sidecar.toml", text);
    assert!(checked.is_ok(), "{text}: {checked:#?}");
}

#[test]
fn the_credentials_shown_in_the_example_config_are_understood() {
    let text = fs::read_to_string(Path::new(ROOT).join("examples/config/gimbal.toml")).unwrap();
    let (_, shown) = text.split_once("# That file looks like this:\n").unwrap();
    let lines = shown.lines().map_while(|line| line.strip_prefix("#   "));
    let credentials = Credentials::parse(&lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert!(credentials.has_own() && credentials.knows("orders"));
}

#[test]
fn every_config_in_the_readme_loads() {
    let files = Files::new();
    let authority = Authority::new("everybody");
    let own = authority.issue(&["mq.example.org"]);
    let shown = [
        ("mq.pem", &own.certificate),
        ("mq.key", &own.key),
        ("clients.pem", &authority.certificate),
        ("brokers.pem", &authority.certificate),
    ];
    let shown = shown.map(|(name, text)| (format!("{name:?}"), files.write(name, text)));
    for (_, path) in &shown {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let file = files.path("gimbal.toml");
    let found = blocks(&readme(), "toml");
    assert!(!found.is_empty(), "the README shows a configuration");
    for block in found {
        if block.starts_with("# filters.d/") {
            is_sidecar(&block);
            continue;
        }
        let names = shown.iter();
        let text = names.fold(block.clone(), |text, (name, path)| {
            text.replace(name, &format!("{path:?}"))
        });
        fs::write(&file, text).unwrap();
        loads(&file, &block);
    }
}

/// `gimbal check` takes the flags of `gimbal run`, so what it accepts is a command that starts.
#[test]
fn every_gimbal_command_in_the_readme_is_understood() {
    let text = readme();
    let lines = blocks(&text, "sh").concat();
    let commands: Vec<&str> = lines
        .lines()
        .flat_map(|line| line.split(" && "))
        .filter_map(|line| {
            line.split(" #")
                .next()?
                .split('>')
                .next()?
                .trim()
                .strip_prefix("gimbal ")
        })
        .collect();
    assert!(commands.len() >= 4, "commands were found: {commands:?}");
    for command in commands {
        let mut words: Vec<&str> = command.split_whitespace().collect();
        let is_list = words.contains(&"list");
        match words.first_mut() {
            Some(first) if *first == "run" => *first = "check",
            // It would go on running; that it is understood is seen by asking for its help.
            Some(first) if ["dev", "status", "top", "tail", "record", "replay"].contains(first) => {
                words.push("--help");
            }
            // They would write beside the examples, or need what others wrote.
            Some(first) if *first == "filter" && !is_list => words.push("--help"),
            _ => {}
        }
        let output = Command::new(env!("CARGO_BIN_EXE_gimbal"))
            .args(&words)
            .env_clear()
            .current_dir(Path::new(ROOT).join("examples/config"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "gimbal {command}: {said}");
    }
}

#[test]
fn every_folder_of_examples_is_listed() {
    let list = fs::read_to_string(Path::new(ROOT).join("examples/README.md")).unwrap();
    for entry in fs::read_dir(Path::new(ROOT).join("examples")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let listed = list.contains(&format!("]({name})"));
        assert!(
            listed || !entry.path().is_dir(),
            "examples/README.md does not list {name}"
        );
    }
}

/// Tools of JavaScript and Python want them inside the project, and follow no link out of it.
#[test]
fn what_filters_share_with_the_templates_is_the_same() {
    let root = Path::new(ROOT);
    let copies = [
        ("js", "content-route-js", "gimbal.js"),
        ("python", "schema-check-python", "gimbal.py"),
    ];
    for (language, example, file) in copies {
        let template = fs::read_to_string(root.join("filters/templates").join(language).join(file)).unwrap();
        let copy = fs::read_to_string(root.join("examples/filters").join(example).join(file)).unwrap();
        assert!(
            copy == template,
            "examples/filters/{example}/{file} is not that of the template: copy it again"
        );
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut documents = with_ending("md");
    documents.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| Path::new(ROOT).join(name)));
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let path = target.split('#').next().unwrap_or_default();
            let exists = path.is_empty() || folder.join(path).exists();
            assert!(exists, "{}: nothing is at {target}", document.display());
        }
    }
}

/// The map of the house names files, and files move.
#[test]
fn every_source_file_that_a_document_names_exists() {
    for document in ["src/lib.rs", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(Path::new(ROOT).join(document)).unwrap();
        let named = text
            .split('`')
            .filter(|word| has_ending(Path::new(word), "rs") && !word.contains(char::is_whitespace));
        for name in named {
            let exists = ["", "src"]
                .iter()
                .any(|from| Path::new(ROOT).join(from).join(name).exists());
            assert!(exists, "{document} names {name}, which is not there");
        }
    }
}
