//! A filter's project: a folder with a `filter.toml`, and what that says.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// The file that makes a folder a project.
pub const FILE: &str = "filter.toml";
/// Characters of the longest name; the folder's files add a number and an ending.
const LONGEST_NAME: usize = 60;

/// What cannot be, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, and where.
    pub what: String,
    /// What would be accepted.
    pub accepted: String,
}

impl Refusal {
    /// Says so.
    pub fn new(what: impl Into<String>, accepted: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            accepted: accepted.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; accepted: {}", self.what, self.accepted)
    }
}

impl std::error::Error for Refusal {}

/// A language that filters are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// Rust, with the SDK.
    Rust,
    /// Go, the standard compiler.
    Go,
    /// JavaScript, on `QuickJS`.
    Js,
    /// Python.
    Python,
    /// C without a library.
    C,
}

impl Lang {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Go, Self::Js, Self::Python, Self::C];

    /// As people write it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
        }
    }

    /// As it is written in `filter.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
        }
    }
}

impl std::str::FromStr for Lang {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|lang| lang.name() == text);
        found.ok_or_else(|| "accepted: rust, go, js, python, c".to_owned())
    }
}

/// `filter.toml` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    lang: Option<Lang>,
    world: Option<String>,
    build: Option<Vec<String>>,
    artefact: Option<PathBuf>,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Where it lies.
    pub folder: PathBuf,
    /// Name of the filter; that of its artefact.
    pub name: String,
    /// What it is written in; none where `build` says how it is built.
    pub lang: Option<Lang>,
    /// The world of `wit/` that it implements, for tools that must be told.
    pub world: String,
    /// The command that builds it, in place of the language's.
    pub build: Option<Vec<String>>,
    /// Where that command leaves the module or component, from the project's folder.
    pub made: Option<PathBuf>,
}

impl Project {
    /// Reads the project in this folder.
    ///
    /// # Errors
    /// When there is no `filter.toml`, or it says what cannot be.
    pub fn open(folder: &Path) -> Result<Self, Refusal> {
        let file = folder.join(FILE);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Refusal::new(
                format!("{} cannot be read: {error}", file.display()),
                format!("the folder of a filter's project, with a {FILE}; `gimbal filter new` makes one"),
            )
        })?;
        let wrong = |what: String| Refusal::new(format!("{}: {what}", file.display()), ACCEPTED);
        let written: Written = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        check_name(&written.name)?;
        if written.build.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong("build is empty".to_owned()));
        }
        if written.build.is_some() != written.artefact.is_some() {
            return Err(wrong(
                "of build and artefact there is one without the other".to_owned(),
            ));
        }
        if written.build.is_none() && written.lang.is_none() {
            return Err(wrong("there is neither lang nor build".to_owned()));
        }
        Ok(Self {
            folder: folder.to_owned(),
            name: written.name,
            lang: written.lang,
            world: written.world.unwrap_or_else(|| "filter".to_owned()),
            build: written.build,
            made: written.artefact,
        })
    }

    /// The filter that its build puts there.
    pub fn artefact(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    /// A configuration that fits it: that of its sidecar, else that of its cases, else an empty one. What cannot be read
    /// is said by those who need the rest of those files.
    pub fn config(&self) -> Value {
        let read = |file: &str| -> Option<toml::Table> {
            toml::from_str(&std::fs::read_to_string(self.folder.join(file)).ok()?).ok()
        };
        let sidecar = read("sidecar.toml").and_then(|mut table| table.remove("config"));
        let found = sidecar.or_else(|| {
            let mut cases = read("cases.toml")?;
            let first = cases.get("case").and_then(|cases| cases.get(0)?.get("config"));
            let first = first.cloned();
            cases.remove("config").or(first)
        });
        let empty = || Value::Object(serde_json::Map::new());
        found
            .and_then(|config| serde_json::to_value(config).ok())
            .unwrap_or_else(empty)
    }
}

const ACCEPTED: &str = "name, lang = \"rust|go|js|python|c\", and if you like world, and build = [\"command\", …] together \
     with artefact = \"path\"";

/// Names that cargo or a file system keep for themselves.
const TAKEN: &[&str] = &[
    "test",
    "core",
    "std",
    "alloc",
    "proc-macro",
    "gimbal-sdk",
    "serde",
    "serde-json",
    "build",
    "deps",
    "examples",
    "incremental",
    "con",
    "prn",
    "aux",
    "nul",
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Whether a filter may be called so: the name is that of a file, of a crate and of a part of metrics.
///
/// # Errors
/// When not; what is wrong with it.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let accepted = "lower-case letters, digits and single dashes, a letter first, at most 60 characters, such as \
                    stamp-tenant";
    let refuse = |what: String| Err(Refusal::new(what, accepted));
    if name.is_empty() {
        return refuse("the name is empty".to_owned());
    }
    if let Some(odd) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return refuse(format!("{name:?} cannot be a filter's name: it holds {odd:?}"));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return refuse(format!(
            "{name:?} cannot be a filter's name: it does not begin with a letter"
        ));
    }
    if name.ends_with('-') || name.contains("--") {
        return refuse(format!("{name:?} cannot be a filter's name: a dash stands alone"));
    }
    if name.len() > LONGEST_NAME {
        let length = name.len();
        return refuse(format!("a name of {length} characters is too long"));
    }
    if TAKEN.contains(&name) {
        return refuse(format!(
            "{name:?} cannot be a filter's name: toolchains or file systems have that name for something else"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_file_or_crate_names_are_refused() {
        for fine in ["a", "stamp-tenant", "v2-acl"] {
            assert_eq!(check_name(fine), Ok(()), "{fine}");
        }
        let long = "a".repeat(61);
        for wrong in [
            "", "Stamp", "2fast", "-a", "a-", "a--b", "a_b", "a b", "../a", "a/b", "a.wasm", "fn", "test",
            "nul", &long,
        ] {
            let refused = check_name(wrong).expect_err(wrong);
            assert!(refused.accepted.contains("stamp-tenant"), "{refused}");
        }
    }

    fn open(text: &str) -> Result<Project, Refusal> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        Project::open(folder.path())
    }

    #[test]
    fn a_project_says_its_language_or_how_it_is_built() {
        let project = open("name = 'a'\nlang = 'go'").unwrap();
        assert_eq!((project.lang, project.build), (Some(Lang::Go), None));
        let own = open("name = 'a'\nbuild = ['make']\nartefact = 'out/a.wasm'").unwrap();
        assert_eq!(own.made, Some(PathBuf::from("out/a.wasm")));
        for wrong in [
            "name = 'a'",
            "name = 'a'\nlang = 'cobol'",
            "name = 'A'\nlang = 'c'",
            "name = 'a'\nlang = 'c'\nbuild = ['make']",
            "name = 'a'\nbuild = []\nartefact = 'a'",
            "name = 'a'\nlang = 'c'\nbiuld = 1",
        ] {
            assert!(open(wrong).is_err(), "{wrong}");
        }
        let empty = tempfile::tempdir().unwrap();
        let refused = Project::open(empty.path()).unwrap_err();
        assert!(refused.accepted.contains("gimbal filter new"), "{refused}");
    }

    #[test]
    fn the_sidecars_configuration_comes_before_that_of_the_cases() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write(FILE, "name = 'a'\nlang = 'c'");
        let config = || Project::open(folder.path()).unwrap().config().to_string();
        assert_eq!(config(), "{}");
        write("cases.toml", "[[case]]\nname = 'x'\nconfig = { a = 1 }");
        assert_eq!(config(), r#"{"a":1}"#);
        write(
            "cases.toml",
            "config = { b = 1 }\n[[case]]\nname = 'x'\nconfig = { a = 1 }",
        );
        assert_eq!(config(), r#"{"b":1}"#);
        write("sidecar.toml", "mode = 'off'\n[config]\nc = 1");
        assert_eq!(config(), r#"{"c":1}"#);
    }
}
