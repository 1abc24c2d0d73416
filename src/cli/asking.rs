//! Asking the admin listener of a running Gimbal: where it is, who asks, and what to say when nothing comes back.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::admin::view::Problem;
use crate::config::admin::{DEFAULT_BIND, read_token};

/// How long an answer may take; the tail sends something every ten seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which Gimbal is asked.
#[derive(Debug, Clone, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are the help text, printed as they are"
)]
pub(super) struct Where {
    /// Address of the admin listener
    ///
    /// Default: $GIMBAL_ADMIN, else http://127.0.0.1:9860
    /// Example: --admin http://10.0.0.5:9860
    #[arg(long, value_name = "URL", verbatim_doc_comment)]
    admin: Option<String>,

    /// File with the token, where the listener wants one
    ///
    /// Default: $GIMBAL_ADMIN_TOKEN_FILE; $GIMBAL_ADMIN_TOKEN holds the token itself
    /// Example: --token-file /run/secrets/gimbal-admin
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    token_file: Option<PathBuf>,
}

/// A way to ask.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    base: String,
    token: Option<String>,
    agent: Agent,
}

impl Where {
    pub(super) fn asking(&self) -> anyhow::Result<Asking> {
        let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        let base = self.admin.clone().or_else(|| variable("GIMBAL_ADMIN"));
        let base = base.unwrap_or_else(|| format!("http://{DEFAULT_BIND}"));
        let base = base.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            bail!("--admin is {base:?}; accepted: a URL, such as http://{DEFAULT_BIND}");
        }
        let file = self.token_file.clone();
        let file = file.or_else(|| variable("GIMBAL_ADMIN_TOKEN_FILE").map(PathBuf::from));
        let token = match file {
            Some(file) => {
                let token = read_token(&file)
                    .map_err(|what| anyhow!("--token-file names {}, {what}", file.display()))?;
                Some(token)
            }
            None => variable("GIMBAL_ADMIN_TOKEN"),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(None)
            .build();
        Ok(Asking {
            base,
            token,
            agent: config.into(),
        })
    }
}

impl Asking {
    /// Where it asks.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    fn get(&self, path: &str) -> anyhow::Result<Response<Body>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut answer = request.call().map_err(|error| {
            anyhow!(
                "no admin listener at {}: {error}\n  Is Gimbal running, and is [admin] on? `gimbal run` says where it listens. \
                 --admin or GIMBAL_ADMIN names another address.",
                self.base
            )
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let problem: Problem = serde_json::from_str(&text).unwrap_or_default();
        if problem.error.is_empty() {
            bail!(
                "{} answers {status}; it may not be Gimbal's admin listener",
                self.base
            );
        }
        let hint = match (status.as_u16(), &self.token) {
            (401, None) => "\n  --token-file or GIMBAL_ADMIN_TOKEN_FILE names the file with the token.",
            _ => "",
        };
        bail!("{}\n  accepted: {}{hint}", problem.error, problem.accepted)
    }

    /// The text at this path.
    pub(super) fn text(&self, path: &str) -> anyhow::Result<String> {
        let mut answer = self.get(path)?;
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string();
        text.with_context(|| format!("the answer of {} broke off", self.base))
    }

    /// What is at this path.
    pub(super) fn ask<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let text = self.text(path)?;
        let read = serde_json::from_str(&text);
        read.with_context(|| {
            format!(
                "{}{path} answers something else; is it another version?",
                self.base
            )
        })
    }

    /// What comes from this path, for as long as it comes.
    pub(super) fn lines(&self, path: &str) -> anyhow::Result<impl BufRead + Send + use<>> {
        let answer = self.get(path)?;
        Ok(BufReader::new(answer.into_body().into_reader()))
    }

    /// Events of the tail, until it ends.
    pub(super) fn events(&self, query: &str) -> anyhow::Result<Events<impl Read>> {
        let answer = self.get(&format!("/api/v1/tail{query}"))?;
        Ok(Events {
            lines: BufReader::new(answer.into_body().into_reader()),
        })
    }
}

/// Events as a server sends them.
#[derive(Debug)]
pub(super) struct Events<R> {
    lines: BufReader<R>,
}

impl<R: Read> Iterator for Events<R> {
    type Item = std::io::Result<(String, String)>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut kind, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            let line = line.trim_end();
            if let Some(text) = line.strip_prefix("event:") {
                text.trim().clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("data:") {
                data.push_str(text.trim_start());
            } else if line.is_empty() && !kind.is_empty() {
                return Some(Ok((kind, data)));
            }
        }
    }
}

/// Percent-encodes what stands in a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~*?@:,".contains(&byte) && byte != b'?';
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += "%";
            encoded.extend([byte >> 4, byte & 15].map(|half| {
                char::from_digit(u32::from(half), 16)
                    .unwrap_or_default()
                    .to_ascii_uppercase()
            }));
        }
        encoded
    })
}

/// Text of others for a terminal: what would move the cursor or ring is left out.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_are_sent() {
        let text = ": comment\n\nevent: begin\ndata: {}\n\nevent: command\ndata: {\"code\":10}\n\n: still here\n\nevent: cut";
        let events = Events {
            lines: BufReader::new(text.as_bytes()),
        };
        let read: Vec<_> = events.map(Result::unwrap).collect();
        let expected = [("begin", "{}"), ("command", "{\"code\":10}")];
        assert_eq!(
            read,
            expected.map(|(kind, data)| (kind.to_owned(), data.to_owned()))
        );
    }

    #[test]
    fn what_others_chose_cannot_play_with_the_terminal_or_the_query() {
        assert_eq!(harmless("a\x1b[2Jb\n"), "a\u{fffd}[2Jb ");
        assert_eq!(encoded("a b&c=%RETRY%*"), "a%20b%26c%3D%25RETRY%25*");
    }
}
