//! `gimbal filter inspect`: what is inside a filter, also one that cannot be loaded.

use std::io;
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::chosen::Chosen;
use super::lines::{size, wrapped};
use super::progress::Progress;
use crate::author::build::compiled;
use crate::author::{Setup, Stand, StandError};
use crate::cli::FAILED;
use crate::cli::paint::{Paint, print};
use crate::filter::Policy;
use crate::wasm::{Anatomy, Host, Manifest, Metering, check_form};

/// Show what is inside a filter: who made it, what it wants to see and call, its config
///
/// Interests come from starting it with the config given, or with none. A file that cannot be loaded is taken apart all
/// the same, and why it cannot be loaded is said.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Exit code:
  0   it can be loaded, or wants a config that was not given
  1   it is no filter that can be loaded
  2   this command line could not be understood

Examples:
  gimbal filter inspect 20-acl.wasm
  gimbal filter inspect 20-acl.wasm --config 20-acl.toml
  gimbal filter inspect 20-acl.wasm --json";

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let choice = self.chosen.read()?;
        let mut setup = choice.setup.clone();
        let config = choice.config.clone();
        // A case's config is one that the filter takes.
        let config = config.or_else(|| choice.cases.first().map(|case| case.config.clone()));
        if let Some(config) = config {
            setup = setup.with_config(config);
        }
        let found = Found::of(&setup)?;
        let text = if self.json {
            format!("{}\n", serde_json::to_string_pretty(&found.json())?)
        } else {
            found.text(&choice.wasm.display().to_string())
        };
        print(&text)?;
        Ok(if found.is_usable() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        })
    }
}

/// Everything that was found.
struct Found {
    anatomy: Anatomy,
    manifest: Option<Manifest>,
    stand: Result<Stand, StandError>,
}

impl Found {
    fn of(setup: &Setup) -> anyhow::Result<Self> {
        let host = Host::for_trials(compiled(), Metering::Off).map_err(|why| anyhow!(why))?;
        let _progress = Progress::compiling(setup);
        let stand = match check_form(setup.bytes()) {
            Ok(()) => setup.load_on(&host),
            Err(error) => Err(error.into()),
        };
        Ok(Self {
            anatomy: Anatomy::of(setup.bytes()),
            // A damaged one is why it cannot be loaded.
            manifest: setup.manifest().ok().flatten(),
            stand,
        })
    }

    /// Whether it can be loaded, were it only for the right config.
    fn is_usable(&self) -> bool {
        match &self.stand {
            Ok(_) => true,
            Err(StandError::Load(error)) => matches!(error.step, "config" | "init"),
            Err(_) => false,
        }
    }

    fn trouble(&self) -> Option<String> {
        self.stand.as_ref().err().map(ToString::to_string)
    }

    fn policy(&self) -> Option<&'static str> {
        let manifest = self.manifest.as_ref()?;
        let policy: Policy = manifest.on_error.map(Into::into).unwrap_or_default();
        Some(match policy {
            Policy::Closed => "closed",
            Policy::Open => "open",
        })
    }

    fn text(&self, file: &str) -> String {
        let paint = Paint::on(&io::stdout());
        let Anatomy { parts, .. } = self.anatomy;
        let mut text = String::new();
        let mut say = |what: &str, value: &str| {
            if !value.is_empty() {
                text += &wrapped(&format!("{what:12}"), value);
            }
        };
        match &self.manifest {
            Some(manifest) => {
                say("name", &format!("{} {}", manifest.name, manifest.version));
                say("does", manifest.description.as_deref().unwrap_or_default());
            }
            None => say("name", "none: the file has no manifest"),
        }
        say("file", file);
        say("digest", &self.anatomy.digest);
        say(
            "size",
            &format!(
                "{}: code {}, data {}, names and debug information {}",
                size(self.anatomy.size),
                size(parts.code),
                size(parts.data),
                size(parts.names)
            ),
        );
        say("kind", self.anatomy.form.unwrap_or("no WebAssembly"));
        let language = self.anatomy.language.as_deref().unwrap_or("unknown");
        let made = self.anatomy.producers.join(", ");
        let made = if made.is_empty() {
            language.to_owned()
        } else {
            format!("{language} ({made})")
        };
        say("language", &made);
        say("exports", &self.anatomy.hooks.join(", "));
        say("imports", &self.anatomy.imports.join(", "));
        say("foreign", &self.anatomy.foreign.join(", "));
        text += &self.wishes();
        if let Some(trouble) = self.trouble() {
            let label = if self.is_usable() {
                paint.warning("with this config")
            } else {
                paint.bad("cannot be loaded")
            };
            text += &wrapped(&format!("\n{label}: "), &trouble);
        }
        text
    }

    /// What it wants of its host and its operator.
    fn wishes(&self) -> String {
        let mut text = String::new();
        let mut say = |what: &str, value: &str| {
            if !value.is_empty() {
                text += &wrapped(&format!("{what:12}"), value);
            }
        };
        if let Ok(stand) = &self.stand {
            say("may call", &stand.about().grants.join(", "));
            for interest in &stand.about().interests {
                say("sees", interest);
            }
        }
        if let Some(manifest) = &self.manifest {
            say("needs", &manifest.imports.clone().unwrap_or_default().join(", "));
            say("on error", self.policy().unwrap_or_default());
            for line in settings(manifest) {
                say("config", &line);
            }
            for test in &manifest.self_tests {
                say("self-test", &test.name);
            }
        }
        text
    }

    fn json(&self) -> Value {
        let manifest = self.manifest.as_ref();
        let about = self.stand.as_ref().ok().map(Stand::about);
        let Anatomy {
            digest,
            size,
            form,
            hooks,
            imports,
            foreign,
            producers,
            language,
            parts,
        } = &self.anatomy;
        let tests = manifest.map(|manifest| {
            let names = manifest.self_tests.iter().map(|test| test.name.clone());
            names.collect::<Vec<_>>()
        });
        json!({
            "name": manifest.map(|manifest| &manifest.name),
            "version": manifest.map(|manifest| &manifest.version),
            "description": manifest.and_then(|manifest| manifest.description.as_ref()),
            "digest": digest,
            "size": size,
            "parts": {"code": parts.code, "data": parts.data, "names": parts.names},
            "kind": form,
            "language": language,
            "producers": producers,
            "exports": hooks,
            "imports": imports,
            "foreign_imports": foreign,
            "needs": manifest.and_then(|manifest| manifest.imports.as_ref()),
            "grants": about.map(|about| &about.grants),
            "interests": about.map(|about| &about.interests),
            "on_error": self.policy(),
            "config": manifest.and_then(|manifest| manifest.config.as_ref()),
            "self_tests": tests,
            "problem": self.trouble(),
        })
    }
}

/// The keys of the config, one line each.
fn settings(manifest: &Manifest) -> Vec<String> {
    let Some(schema) = &manifest.config else {
        return Vec::new();
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let keys = schema["properties"].as_object().into_iter().flatten();
    keys.map(|(key, about)| {
        let kind = match (&about["enum"], about["type"].as_str()) {
            (Value::Array(all), _) => {
                let words: Vec<String> = all.iter().map(ToString::to_string).collect();
                words.join(" or ")
            }
            (_, Some(kind)) => kind.to_owned(),
            _ => "any".to_owned(),
        };
        let must = if required.contains(&key.as_str()) {
            ", required"
        } else {
            ""
        };
        let usual = about.get("default").map(|usual| format!(", default {usual}"));
        let text = about["description"].as_str().unwrap_or_default();
        format!("{key}: {kind}{must}{}. {text}", usual.unwrap_or_default())
    })
    .collect()
}
