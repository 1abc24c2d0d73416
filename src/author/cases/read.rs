//! The written form becomes cases, with every problem on the way.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::file::{CaseSection, ClientSection, ExpectSection, File, Plain, VerdictName};
use super::{Case, Expect, Shown, answer, wire};
use crate::author::stand;
use crate::config::problem::Problems;
use crate::config::written;
use crate::filter::Client;
use crate::protocol::{Code, Command, FLAG_ONEWAY, Language, request, response};

/// Cases of one file, at most.
const CASES: usize = 1_000;
/// How often one command is shown, at most.
const TIMES: u32 = 10_000;
/// Languages that clients say.
const LANGUAGES: &str = "JAVA, CPP, DOTNET, PYTHON, GO, PHP, RUST, NODE_JS and so on";

/// Reads the text of a case file; `file` is its name in problems.
///
/// # Errors
/// All problems at once, each with its line. After syntax errors, those alone.
pub fn read(file: &str, text: &str) -> Result<Vec<Case>, Problems> {
    written::read(file, text, |file: File, problems| {
        if file.case.len() > CASES {
            let what = format!("has {} cases", file.case.len());
            problems.error(
                "case",
                what,
                format!("at most {CASES}; more go into another file"),
            );
        }
        let config = written::json(&file.config, "config", problems);
        let cases = file.case.iter().enumerate();
        let read = cases.filter_map(|(at, section)| {
            let path = format!("case[{at}]");
            let config = match &section.config {
                Some(own) => written::json(own, &format!("{path}.config"), problems),
                None => config.clone(),
            };
            let case = Reader { path, problems }.case(section)?;
            Some(Case { config, ..case })
        });
        read.collect()
    })
}

/// Reads what stands at one place.
pub(super) struct Reader<'a> {
    pub(super) path: String,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    pub(super) fn wrong(&mut self, key: &str, what: impl Into<String>, accepted: impl Into<String>) {
        let path = match key {
            "" => self.path.clone(),
            key => format!("{}.{key}", self.path),
        };
        self.problems.error(&path, what, accepted);
    }

    fn case(&mut self, section: &CaseSection) -> Option<Case> {
        if section.name.trim().is_empty() {
            self.wrong("name", "is missing", "a sentence that says what the case shows");
        }
        let times = section.times.unwrap_or(1);
        if !(1..=TIMES).contains(&times) {
            self.wrong("times", format!("is {times}"), format!("1 to {TIMES}"));
        }
        let client = self.client(&section.client);
        let shown = self.shown(section, &client);
        let expect = self.expect(&section.expect);
        Some(Case {
            name: section.name.clone(),
            config: serde_json::Value::Null,
            client,
            times,
            shown: shown?,
            expect,
        })
    }

    fn client(&mut self, written: &ClientSection) -> Client {
        let mut client = stand::client();
        if let Some(ip) = &written.ip {
            match ip.parse::<IpAddr>() {
                Ok(ip) => client.peer = SocketAddr::new(ip, client.peer.port()),
                Err(_no_address) => self.wrong(
                    "client.ip",
                    format!("is {ip:?}, which is no address"),
                    "an address, such as \"10.0.0.7\" or \"2001:db8::1\"",
                ),
            }
        }
        if let Some(name) = &written.language {
            client.language = Language::from_name(name.to_ascii_uppercase().as_bytes());
            if client.language == Language::UNKNOWN {
                self.wrong("client.language", format!("is {name:?}"), LANGUAGES);
            }
        }
        if let Some(listener) = &written.listener {
            client.listener = listener.as_str().into();
        }
        client.version = written.version.unwrap_or(crate::protocol::OWN_VERSION);
        client.client_id = written.id.as_deref().map(Into::into);
        client.user = written.user.as_deref().map(Into::into);
        client.tls_subject = written.certificate.as_deref().map(Into::into);
        client
    }

    /// What is shown: one request, its answer, or a connection.
    fn shown(&mut self, section: &CaseSection, client: &Client) -> Option<Shown> {
        let given = wire::given(section);
        let connects = section.connect == Some(true);
        let asks = given.len().saturating_add(usize::from(connects));
        if asks != 1 {
            let what = match asks {
                0 => "shows nothing".to_owned(),
                _ => format!("shows {} at once", list(&given, connects)),
            };
            self.wrong("", what, format!("one of {}, connect", wire::KINDS.join(", ")));
            return None;
        }
        if connects {
            return Some(Shown::Connection);
        }
        let before = self.problems.errors.len();
        let mut command = wire::request(section, client, self)?;
        command.language = client.language;
        command.version = client.version;
        let shown = match &section.answer {
            Some(written) => Shown::Response {
                answer: answer::of(written, &command, self)?,
                request: command,
            },
            None => Shown::Request(command),
        };
        (self.problems.errors.len() == before).then_some(shown)
    }

    fn expect(&mut self, written: &ExpectSection) -> Expect {
        let code = written.code.as_ref();
        let code = code.and_then(|code| self.response_code("expect.code", code));
        let verdict = written.verdict.map(|verdict| match verdict {
            VerdictName::Forward => "forward",
            VerdictName::Answer => "answer",
            VerdictName::Delay => "delay",
            VerdictName::Drop => "drop",
            VerdictName::Close => "close",
        });
        if verdict.is_some_and(|verdict| verdict != "answer") && code.is_some() && verdict != Some("forward")
        {
            self.wrong("expect.code", "is that of an answer", "verdict = \"answer\"");
        }
        if verdict.is_some_and(|verdict| verdict != "delay") && written.delay.is_some() {
            self.wrong("expect.delay", "is that of a delay", "verdict = \"delay\"");
        }
        Expect {
            verdict,
            code,
            remark: written.remark.clone(),
            delay: written.delay.map(|delay| delay.0),
            fields: pairs(&written.fields),
            properties: pairs(&written.properties),
            body: written.body.clone(),
            messages: written.messages,
            names: written.names.clone(),
            unchanged: written.unchanged,
            failure: written.failure.clone(),
            retried: written.retried,
        }
    }

    /// A request code by number or name.
    pub(super) fn request_code(&mut self, key: &str, written: &Plain) -> Option<Code> {
        self.code(key, written, request::ALL, "SEND_MESSAGE_V2 or 310")
    }

    /// A response code by number or name.
    pub(super) fn response_code(&mut self, key: &str, written: &Plain) -> Option<Code> {
        self.code(key, written, response::ALL, "NO_PERMISSION or 16")
    }

    fn code(
        &mut self,
        key: &str,
        written: &Plain,
        known: &[(Code, &'static str)],
        such: &str,
    ) -> Option<Code> {
        let word = written.0.trim();
        if let Ok(number) = word.parse::<i32>() {
            return Some(Code(number));
        }
        let named = known.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
        if named.is_none() {
            let names = known.iter().map(|(_, name)| *name);
            let near = crate::config::problem::nearest(word, names);
            let near = near.map(|name| format!("{name} (closest); ")).unwrap_or_default();
            let what = if word.is_empty() {
                "is missing".to_owned()
            } else {
                format!("is {word:?}, which names no code")
            };
            self.wrong(
                key,
                what,
                format!("{near}the name of a code, or its number, such as {such}"),
            );
        }
        named.map(|(code, _)| *code)
    }
}

/// The same command, for which nobody waits.
pub(super) fn oneway(mut command: Command, is_oneway: bool) -> Command {
    if is_oneway {
        command.flag |= FLAG_ONEWAY;
    }
    command
}

pub(super) fn pairs(written: &BTreeMap<String, Plain>) -> Vec<(String, String)> {
    let each = written.iter();
    each.map(|(name, value)| (name.clone(), value.0.clone()))
        .collect()
}

fn list(given: &[&str], connects: bool) -> String {
    let connect = connects.then_some("connect");
    let all: Vec<&str> = given.iter().copied().chain(connect).collect();
    all.join(" and ")
}
