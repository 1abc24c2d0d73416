//! New projects: templates carried inside the binary, filled in.

use std::fs;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use super::WIT;
use super::project::{Lang, Refusal, check_name};

/// One folder for each language, and `shared` for what all of them have.
static TEMPLATES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/filters/templates");
/// The SDK that a project in Rust brings along.
static SDK: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/filters/sdk");

/// The ending of files that are filled in; others are copied.
const FILLED: &str = "jinja";

/// What a new filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What clients ask: sends, pulls, heartbeats.
    Requests,
    /// What brokers answer: messages on their way to consumers.
    Responses,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Requests, Self::Responses];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Responses => "responses",
        }
    }

    /// What the filter of the template does.
    pub fn does(self) -> &'static str {
        match self {
            Self::Requests => {
                "Refuses sends to topics with a prefix, and stamps the others with their sender's address"
            }
            Self::Responses => "Keeps messages with a property from consumers",
        }
    }

    fn world(self) -> &'static str {
        match self {
            Self::Requests => "filter",
            Self::Responses => "response-filter",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| "accepted: requests, responses".to_owned())
    }
}

/// A project to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Name of the filter.
    pub name: String,
    /// Its language.
    pub lang: Lang,
    /// What it looks at.
    pub kind: Kind,
}

/// A file of a project: its path from the project's folder, and its text.
pub type File = (PathBuf, Vec<u8>);

impl Plan {
    /// The files of the project, sorted by path.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn files(&self) -> Result<Vec<File>, Refusal> {
        check_name(&self.name)?;
        let mut files = Vec::new();
        for from in ["shared", self.lang.name()] {
            let Some(template) = TEMPLATES.get_dir(from) else {
                continue;
            };
            for (path, bytes) in contents(template) {
                let Some(file) = self.fill(path, bytes)? else {
                    continue;
                };
                // What a language says itself holds.
                files.retain(|(there, _)| *there != file.0);
                files.push(file);
            }
        }
        let wit = WIT.iter();
        files.extend(wit.map(|(name, text)| (Path::new("wit").join(name), text.as_bytes().to_vec())));
        if self.lang == Lang::Rust {
            let sources = contents(&SDK);
            let sources = sources
                .into_iter()
                .filter(|(path, _)| path.starts_with("src") || *path == Path::new("Cargo.toml"));
            files.extend(sources.map(sdk));
        }
        files.sort();
        Ok(files)
    }

    /// Writes the project into a folder, which must not be there or be empty. Returns what was written.
    ///
    /// # Errors
    /// When the name cannot be one, or the folder holds something, or cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Refusal> {
        let files = self.files()?;
        let cannot = |path: &Path, error: std::io::Error| {
            let what = format!("{} cannot be written: {error}", path.display());
            Refusal::new(what, "--dir with a folder that can be written to")
        };
        let is_empty = match fs::read_dir(folder) {
            Ok(mut there) => there.next().is_none(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
            Err(error) => return Err(cannot(folder, error)),
        };
        if !is_empty {
            return Err(Refusal::new(
                format!("{} is not empty", folder.display()),
                "a folder that is empty or not there yet; --dir names another",
            ));
        }
        for (path, bytes) in &files {
            let path = folder.join(path);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::write(&path, bytes))
                .map_err(|error| cannot(&path, error))?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    /// A file of a template as it is in the project; none where it would be empty.
    fn fill(&self, path: &Path, bytes: &[u8]) -> Result<Option<File>, Refusal> {
        if path.extension().is_none_or(|ending| ending != FILLED) {
            return Ok(Some((target(path), bytes.to_vec())));
        }
        // A fault of ours: a test renders every template.
        let fault = |error: minijinja::Error| {
            let what = format!("the template {} cannot be filled in: {error:#}", path.display());
            Refusal::new(what, "a Gimbal that was not altered")
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build();
        environment.set_syntax(syntax.map_err(fault)?);
        // The files are no HTML.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let text = String::from_utf8_lossy(bytes);
        let filled = environment.render_str(
            &text,
            context! {
                name => self.name.as_str(),
                snake => self.name.replace('-', "_"),
                lang => self.lang.name(),
                kind => self.kind.name(),
                world => self.kind.world(),
                does => self.kind.does(),
            },
        );
        let filled = filled.map_err(fault)?;
        let path = target(&path.with_extension(""));
        Ok((!filled.trim().is_empty()).then(|| (path, filled.into_bytes())))
    }
}

/// Where a template's file goes: without the folder of its language, and with the dot that it must not have here.
fn target(path: &Path) -> PathBuf {
    let inside: PathBuf = path.components().skip(1).collect();
    if inside == Path::new("gitignore") {
        return PathBuf::from(".gitignore");
    }
    inside
}

/// Every file in a folder and in those below.
fn contents(folder: &Dir<'static>) -> Vec<(&'static Path, &'static [u8])> {
    let mut found = Vec::new();
    for file in folder.files() {
        found.push((file.path(), file.contents()));
    }
    for inner in folder.dirs() {
        found.extend(contents(inner));
    }
    found
}

/// A file of the SDK as it stands in a project of its own.
fn sdk((path, bytes): (&'static Path, &'static [u8])) -> File {
    let text = String::from_utf8_lossy(bytes);
    // There is no workspace to take lints from, and `wit` lies one folder nearer.
    let text = text
        .replace("[lints]\nworkspace = true", SDK_LINTS)
        .replace("path: \"../../wit\"", "path: \"../wit\"");
    (Path::new("sdk").join(path), text.into_bytes())
}

const SDK_LINTS: &str = "[lints.rust]\nunfulfilled_lint_expectations = \"allow\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan {
            name: "stamp".to_owned(),
            lang: Lang::C,
            kind: Kind::Requests,
        };
        plan.write(folder.path()).unwrap();
        fs::write(folder.path().join("filter.c"), "mine").unwrap();
        let refused = plan.write(folder.path()).unwrap_err();
        assert!(refused.what.ends_with("is not empty"), "{refused}");
        assert_eq!(fs::read(folder.path().join("filter.c")).unwrap(), b"mine");
    }
}
