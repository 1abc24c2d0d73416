//! `gimbal filter new`: a project to begin with.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use dialoguer::{Input, Select};

use crate::author::project::{Lang, check_name};
use crate::author::template::{Kind, Plan};
use crate::cli::paint::{failure, print};

/// Make a project for a new filter
///
/// Asks for what no flag says, if there is a terminal. The project holds a small filter that works, cases to test it with,
/// and all that its build needs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Name of the filter: lower-case letters, digits and dashes
    pub(super) name: Option<String>,

    /// Language: rust, go, js, python or c
    ///
    /// Default: rust
    /// Example: --lang go
    #[arg(long, value_name = "LANG", verbatim_doc_comment)]
    lang: Option<Lang>,

    /// What it looks at: requests of clients, or responses of brokers
    ///
    /// Default: requests
    /// Example: --kind responses
    #[arg(long, value_name = "KIND", verbatim_doc_comment)]
    kind: Option<Kind>,

    /// Folder to make the project in, which must be empty or not there
    ///
    /// Default: NAME, in the current folder
    /// Example: --dir filters/stamp
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  gimbal filter new
  gimbal filter new stamp-tenant --lang go
  gimbal filter new hide-internal --lang rust --kind responses --dir filters/hide";

/// What shells report of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// The command line is not enough.
const USAGE: u8 = 2;

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal();
        let name = match &self.name {
            Some(name) => name.clone(),
            None if asks => ask_name()?,
            None => {
                failure(&anyhow::anyhow!(
                    "there is no name, and no terminal to ask for it; accepted: gimbal filter new NAME, such as stamp-tenant"
                ));
                return Ok(ExitCode::from(USAGE));
            }
        };
        if let Err(refusal) = check_name(&name) {
            failure(&refusal.into());
            return Ok(ExitCode::from(USAGE));
        }
        // A complete line is not asked about; what it leaves out takes its default.
        let asks = asks && (self.name.is_none() || self.lang.is_none());
        if asks {
            show_cursor_when_interrupted();
        }
        let lang = match self.lang {
            Some(lang) => lang,
            None if asks => ask("Language", &Lang::ALL, |lang| lang.name().to_owned())?,
            None => Lang::Rust,
        };
        let kind = match self.kind {
            Some(kind) => kind,
            None if asks => ask("It looks at", &Kind::ALL, |kind| {
                format!("{}: {}", kind.name(), kind.does())
            })?,
            None => Kind::Requests,
        };
        let folder = match &self.dir {
            Some(folder) => folder.clone(),
            None if asks => ask_folder(&name)?,
            None => PathBuf::from(&name),
        };
        let plan = Plan { name, lang, kind };
        let written = plan.write(&folder)?;
        print(&said(&plan, &folder, &written))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn ask_name() -> anyhow::Result<String> {
    let asked = Input::new()
        .with_prompt("Name of the filter")
        .validate_with(|name: &String| {
            // Everything accepted would not fit the line that is taken back afterwards.
            check_name(name)
                .map_err(|refusal| format!("{}; accepted: a-z, 0-9 and single dashes", refusal.what))
        })
        .interact_text();
    Ok(asked?)
}

/// Ctrl-C at a question ends the process: the question has hidden the cursor by then.
fn show_cursor_when_interrupted() {
    let watch = async {
        if tokio::signal::ctrl_c().await.is_ok() {
            // There may be no terminal any more.
            drop(dialoguer::console::Term::stderr().show_cursor());
            leave();
        }
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(watch);
        }
    });
}

#[expect(
    clippy::exit,
    reason = "the other thread waits for a key, and nothing can wake it"
)]
fn leave() {
    std::process::exit(INTERRUPTED);
}

fn ask_folder(name: &str) -> anyhow::Result<PathBuf> {
    let asked: String = Input::new()
        .with_prompt("Folder")
        .default(name.to_owned())
        .interact_text()?;
    Ok(asked.into())
}

fn ask<T: Copy>(prompt: &str, choices: &[T], text: impl Fn(T) -> String) -> anyhow::Result<T> {
    let items: Vec<String> = choices.iter().map(|choice| text(*choice)).collect();
    let at = Select::new()
        .with_prompt(prompt)
        .items(&items)
        .default(0)
        .interact()?;
    match choices.get(at) {
        Some(choice) => Ok(*choice),
        None => bail!("nothing was chosen"),
    }
}

/// What was made, and what to type next.
fn said(plan: &Plan, folder: &std::path::Path, written: &[PathBuf]) -> String {
    let source = match plan.lang {
        Lang::Rust => "src/lib.rs",
        Lang::Go => "main.go",
        Lang::Js => "filter.js",
        Lang::Python => "app.py",
        Lang::C => "filter.c",
    };
    let count = written.len();
    let shown = folder.display();
    let quoted = shown.to_string();
    let quoted = if quoted
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    {
        quoted
    } else {
        format!("'{}'", quoted.replace('\'', r"'\''"))
    };
    format!(
        "{shown}: {count} files. {}.\n\
         The filter is {source}, its tests are cases.toml. Next:\n\
         \n\
         \x20 cd {quoted}\n\
         \x20 gimbal filter build\n\
         \x20 gimbal filter test\n",
        plan.kind.does()
    )
}
