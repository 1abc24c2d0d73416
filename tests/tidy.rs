//! The rules of this house, as far as a program can check them. Each failure says where, which rule, and what to do.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod rooms;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rooms::MAY_IMPORT;

/// Lines of code a file may have, blank lines, comments and inline tests not counted.
const CODE_LIMIT: usize = 400;

/// Names that say nothing about what lives there.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "misc",
];

/// Text that ties the repository to one machine or one mirror; written in two parts so that this file passes.
const PLACES: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("crates", ".io"),
    ("repo1.maven", ".org"),
    ("repo.maven", ".apache.org"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("registry.npmjs", ".org"),
    ("proxy.golang", ".org"),
    ("sum.golang", ".org"),
];

/// One breach of one rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    rule: &'static str,
    todo: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that belongs to the repository, as paths from its root.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut files = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .filter(|path| root().join(path).is_file())
            .collect(),
        // An unpacked archive has no index: everything that is there, except what builds make.
        _ => walk(root()),
    };
    files.sort();
    assert!(files.iter().any(|file| file == "src/lib.rs"), "files were found");
    files
}

fn walk(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() {
            found.push(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
        } else if !matches!(&*name, ".git" | "target" | "corpus" | "artifacts") {
            found.extend(walk(&path));
        }
    }
    found
}

/// The Rust files under `src`, `tests` and `filters`, with their text.
fn rust_files() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|file| Path::new(file).extension().is_some_and(|ending| ending == "rs"))
        .filter(|file| {
            ["src/", "tests/", "filters/"]
                .iter()
                .any(|room| file.starts_with(room))
        })
        .map(|file| (file.clone(), fs::read_to_string(root().join(&file)).unwrap()))
        .collect()
}

/// The lines of code before the inline tests, with their numbers; comments are left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(at, line)| (at, line.split("//").next().unwrap_or(line)))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Whether a file under `src` holds nothing but tests.
fn is_test_file(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// Where a file under `src` stands: the crate's module it belongs to, and how deep it is below the crate root.
fn place(file: &str) -> Option<(String, usize)> {
    let path = PathBuf::from(file.strip_prefix("src/")?);
    let mut parts: Vec<String> = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    let module = parts.first()?.clone();
    (!matches!(&*module, "lib" | "main")).then_some((module, parts.len()))
}

/// The modules that `line` names by a path from the crate root.
fn imports(line: &str, depth: usize) -> Vec<String> {
    // What stands in quotes is text, not a path: log filters name modules too.
    let line: String = line.replace("\\\"", "").split('"').step_by(2).collect();
    let from_root = "super::".repeat(depth);
    let starts = ["crate::", "gimbal::", &from_root];
    let mut found = Vec::new();
    for start in starts {
        for (at, _) in line.match_indices(start) {
            let longer_word =
                line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$'));
            if !longer_word {
                found.extend(first_names(&line[at + start.len()..]));
            }
        }
    }
    found
}

/// The first name of a path, or of each path in braces: `a::b` gives `a`; `{a::{b, c}, d}` gives `a` and `d`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut depth = 0_i32;
    let parts = group.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0 || c == '}' && depth < 0
    });
    parts.map(name).filter(|name| !name.is_empty()).collect()
}

fn import_breaches(file: &str, text: &str) -> Vec<Breach> {
    let Some((module, depth)) = place(file).filter(|_| !is_test_file(file)) else {
        return Vec::new();
    };
    let rule = "who may import whom";
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        let todo = format!("say in MAY_IMPORT (tests/tidy.rs) what `{module}` may import");
        return vec![breach(file, 1, rule, todo)];
    };
    code(text)
        .flat_map(|(line, code)| imports(code, depth).into_iter().map(move |name| (line, name)))
        .filter(|(_, name)| MAY_IMPORT.iter().any(|(known, _)| known == name))
        .filter(|(_, name)| *name != module && !allowed.contains(&name.as_str()))
        .map(|(line, name)| {
            let todo = format!(
                "`{module}` may import {allowed:?}, not `{name}`: hand the value in from above, or change MAY_IMPORT if the \
                 architecture is to change"
            );
            breach(file, line, rule, todo)
        })
        .collect()
}

fn opening_breach(file: &str, text: &str) -> Option<Breach> {
    let paragraph: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .take_while(|line| !line.trim().is_empty())
        .collect();
    let todo = match paragraph.last() {
        None => "open the file with one `//!` sentence that says what lives here",
        Some(last) if !last.trim_end().ends_with('.') => "end the opening sentence with a full stop",
        Some(_) => return None,
    };
    Some(breach(
        file,
        1,
        "every file opens with a sentence",
        todo.to_owned(),
    ))
}

fn length_breach(file: &str, text: &str) -> Option<Breach> {
    let (line, _) = code(text).nth(CODE_LIMIT)?;
    let count = code(text).count();
    let todo = format!("{count} lines of code: move what stands on its own to a file with a name of its own");
    Some(breach(file, line, "at most 400 lines of code", todo))
}

fn name_breach(file: &str) -> Option<Breach> {
    let path = Path::new(file).with_extension("");
    let name = path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .find(|part| EMPTY_NAMES.contains(&part.as_str()))?;
    let todo = format!("call it after what it does: `{name}` says nothing");
    Some(breach(file, 1, "names say what lives there", todo))
}

fn place_breaches(file: &str, text: &str) -> Vec<Breach> {
    let mut found = Vec::new();
    for (line, content) in text.lines().enumerate() {
        for (start, end) in PLACES {
            let place = format!("{start}{end}");
            let named = content.match_indices(&place).any(|(at, _)| {
                let before = content[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | ')'))
            });
            if named {
                let todo = format!("`{place}` ties the repository to one machine or mirror: say it without");
                found.push(breach(
                    file,
                    line + 1,
                    "no machine paths, no registry hosts",
                    todo,
                ));
            }
        }
    }
    found
}

/// Breaches of rules that look at single lines of code, tests included.
fn line_breaches(file: &str, text: &str) -> Vec<Breach> {
    let bare_ignore = concat!("#[ign", "ore]");
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or(line);
        if line.contains(bare_ignore) {
            let todo = "give the reason: #[ignore = \"why\"], or delete the test".to_owned();
            found.push(breach(file, at + 1, "no test is ignored without a reason", todo));
        }
        let host_only = file.starts_with("src/") && !file.starts_with("src/wasm");
        if host_only && line.contains("wasmtime") {
            let todo = "the engine is named in src/wasm only: put an interface of ours in between".to_owned();
            found.push(breach(file, at + 1, "one module knows the engine", todo));
        }
    }
    found
}

fn breach(file: &str, line: usize, rule: &'static str, todo: String) -> Breach {
    let file = file.to_owned();
    Breach {
        file,
        line,
        rule,
        todo,
    }
}

fn nothing(breaches: impl IntoIterator<Item = Breach>) {
    let lines: Vec<String> = breaches
        .into_iter()
        .map(
            |Breach {
                 file,
                 line,
                 rule,
                 todo,
             }| format!("{file}:{line}: {rule}: {todo}"),
        )
        .collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn modules_import_only_what_the_table_allows() {
    nothing(
        rust_files()
            .iter()
            .flat_map(|(file, text)| import_breaches(file, text)),
    );
}

#[test]
fn every_file_opens_with_a_sentence() {
    nothing(
        rust_files()
            .iter()
            .filter_map(|(file, text)| opening_breach(file, text)),
    );
}

#[test]
fn no_file_is_long() {
    nothing(
        rust_files()
            .iter()
            .filter_map(|(file, text)| length_breach(file, text)),
    );
}

#[test]
fn every_name_says_what_lives_there() {
    nothing(files().iter().filter_map(|file| name_breach(file)));
}

#[test]
fn nothing_depends_on_one_machine() {
    // Lock files name the registry by nature.
    let texts = files()
        .into_iter()
        .filter(|file| !file.ends_with("Cargo.lock"))
        .filter_map(|file| Some((fs::read_to_string(root().join(&file)).ok()?, file)));
    nothing(texts.flat_map(|(text, file)| place_breaches(&file, &text)));
}

#[test]
fn lines_keep_to_the_rules_for_lines() {
    nothing(
        rust_files()
            .iter()
            .flat_map(|(file, text)| line_breaches(file, text)),
    );
}

/// The checks check: each rule finds its breach, and only its breach.
#[test]
fn every_rule_finds_its_breach() {
    let found = |source: &str| -> Vec<usize> {
        import_breaches("src/protocol/body/route.rs", source)
            .iter()
            .map(|breach| breach.line)
            .collect()
    };
    assert_eq!(found("use crate::config::Config;"), [1]);
    assert_eq!(
        found("use super::json;\nuse super::super::super::config::Config;"),
        [2]
    );
    assert_eq!(found("f(\"info,gimbal::config=debug\");"), [0_usize; 0]);
    assert_eq!(
        found("use crate::{protocol::Code, config::{Config, Allow}, dev};"),
        [1, 1]
    );
    assert_eq!(
        found("// crate::config\nuse crate::protocol::Code;"),
        [0_usize; 0]
    );
    assert_eq!(
        found("fn f() {}\n#[cfg(test)]\nmod tests { use crate::config; }"),
        [0_usize; 0]
    );
    assert_eq!(
        import_breaches("src/novelty.rs", "").len(),
        1,
        "a module without a row"
    );
    assert!(opening_breach("src/a.rs", "//! What lives here").is_some());
    assert!(opening_breach("src/a.rs", "//! What lives\n//! here.\n//!\n//! More").is_none());
    assert!(length_breach("src/a.rs", &"x();\n".repeat(CODE_LIMIT)).is_none());
    assert!(length_breach("src/a.rs", &"x();\n".repeat(CODE_LIMIT + 1)).is_some());
    assert!(name_breach("src/route/util.rs").is_some());
    assert!(name_breach("src/route/utility_belt.rs").is_none());
    assert_eq!(
        place_breaches("a.md", concat!("cd /wo", "rk/x\nsrc/wo", "rk/x")).len(),
        1
    );
    assert_eq!(
        line_breaches("src/a.rs", concat!("#[ign", "ore]\nuse wasmtime::Engine;")).len(),
        2
    );
    assert!(line_breaches("src/wasm/mod.rs", "use wasmtime::Engine;").is_empty());
}
