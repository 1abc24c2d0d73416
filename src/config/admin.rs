//! `[admin]`: where operators look in, and who may.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::host_port;
use super::problem::Problems;
use super::value::Words;

/// Where the admin listener is without a word from anybody: no port of RocketMQ's, none of Gimbal's own ranges, and none
/// that is two below such a port.
pub const DEFAULT_BIND: &str = "127.0.0.1:9860";
const BIND: &str = "an IP address and a port, such as \"127.0.0.1:9860\"; or \"\" for none";
const FILE: &str = "the path of a file";
const TOKEN: &str = "a file with 16 to 1024 printable characters and no space";

/// The admin listener: what operators, Prometheus and Kubernetes ask, and the console in a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// IP address and port of the admin listener; "" for none. On any address but a loopback one, `token_path` or
    /// `client_ca` in `[admin.tls]` is needed. Changing it needs a restart.
    pub bind: String,
    /// File that holds the token which callers must show as "Authorization: Bearer TOKEN", at least 16 characters. It is
    /// read again when it changes. Default: none, which on a loopback address means everybody on this machine.
    pub token_path: Option<String>,
    /// What is answered to everybody, with or without a token: any of "livez", "readyz" and "metrics".
    /// Default: "livez" and "readyz", which say nothing but whether; metrics name topics and groups.
    pub open: Words,
    /// Host names by which browsers may reach the console without a token, beside localhost and IP addresses. Any other
    /// name is refused, so that no foreign page can point a name of its own at this listener.
    pub hosts: Words,
    /// TLS of the admin listener. Default: none.
    pub tls: Option<AdminTlsSection>,
}

/// TLS of the admin listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminTlsSection {
    /// PEM file with the certificate and what leads to its CA. Saving it applies it.
    pub certificate: String,
    /// PEM file with the certificate's key. Saving it applies it.
    pub key: String,
    /// PEM file with the CA of callers. Whoever shows a certificate of it needs no token. Default: none are asked for.
    pub client_ca: Option<String>,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self {
            bind: DEFAULT_BIND.to_owned(),
            token_path: None,
            open: Words(["livez", "readyz"].map(str::to_owned).to_vec()),
            hosts: Words::default(),
            tls: None,
        }
    }
}

/// The admin listener, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub bind: SocketAddr,
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// What is answered to everybody: paths without their slash.
    pub open: Vec<String>,
    /// Host names beside `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// Its certificate.
    pub tls: Option<AdminTls>,
}

/// The files of the admin listener's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// The certificate with its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CA of callers.
    pub client_ca: Option<PathBuf>,
}

/// Checks the section; `None` for no listener, and where problems were found.
pub(super) fn check(written: &AdminSection, problems: &mut Problems) -> Option<Admin> {
    if written.bind.is_empty() {
        return None;
    }
    let bind = check_bind(&written.bind, problems);
    for (i, word) in written.open.0.iter().enumerate() {
        if !["livez", "readyz", "metrics"].contains(&word.as_str()) {
            let path = format!("admin.open[{i}]");
            problems.error(&path, format!("is {word:?}"), "livez, readyz or metrics");
        }
    }
    for (i, host) in written.hosts.0.iter().enumerate() {
        if host.contains(['/', ':', '*']) || host.is_empty() {
            let path = format!("admin.hosts[{i}]");
            problems.error(
                &path,
                format!("is {host:?}"),
                "a host name without a port, such as \"gimbal.example.org\"",
            );
        }
    }
    let tls = written.tls.as_ref().and_then(|tls| check_tls(tls, problems));
    let token_file = written.token_path.as_deref().filter(|file| !file.is_empty());
    if let Some(file) = token_file
        && let Err(what) = read_token(Path::new(file))
    {
        let what = format!("names {file:?}, {what}");
        problems.error("admin.token_path", what, TOKEN);
    }
    let has_ca = written.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let bind = bind?;
    if !bind.ip().is_loopback() && token_file.is_none() && !has_ca {
        let what = format!("is {bind}, which others can reach, and nothing says who may");
        let accepted = "a loopback address such as \"127.0.0.1:9860\"; or a token in admin.token_path; or admin.tls.client_ca";
        problems.error("admin.bind", what, accepted);
    } else if !bind.ip().is_loopback() && written.tls.is_none() {
        let what = "is sent in clear over the network";
        problems.warning("admin.token_path", what, "[admin.tls], or a loopback address");
    }
    Some(Admin {
        bind,
        token_file: token_file.map(PathBuf::from),
        open: written.open.0.clone(),
        hosts: written.hosts.0.clone(),
        tls,
    })
}

/// The token in this file, without the white space around it; `Err` says what is wrong with the file.
pub fn read_token(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("which cannot be read: {error}"))?;
    let token = text.trim();
    if !(16..=1_024).contains(&token.len()) {
        return Err(format!("which holds {} characters", token.len()));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("which holds more than one word, or other characters than ASCII".to_owned());
    }
    Ok(token.to_owned())
}

fn check_bind(text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let what = match host_port(text) {
        Err(what) => what,
        Ok(("localhost", port)) => return Some(SocketAddr::from(([127, 0, 0, 1], port))),
        Ok((host, port)) => match host.parse::<IpAddr>() {
            Ok(ip) => return Some(SocketAddr::new(ip, port)),
            Err(_) => format!("is {text:?}, where {host:?} is not an IP address"),
        },
    };
    problems.error("admin.bind", what, BIND);
    None
}

fn check_tls(written: &AdminTlsSection, problems: &mut Problems) -> Option<AdminTls> {
    let mut missing = false;
    for (key, file) in [
        ("certificate", Some(&written.certificate)),
        ("key", Some(&written.key)),
        ("client_ca", written.client_ca.as_ref()),
    ] {
        if file.is_some_and(String::is_empty) {
            problems.error(&format!("admin.tls.{key}"), "names no file", FILE);
            missing = true;
        }
    }
    (!missing).then(|| AdminTls {
        certificate: written.certificate.clone().into(),
        key: written.key.clone().into(),
        client_ca: written.client_ca.clone().map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: impl FnOnce(&mut AdminSection)) -> (Option<Admin>, Problems) {
        let mut written = AdminSection::default();
        change(&mut written);
        let mut problems = Problems::default();
        (check(&written, &mut problems), problems)
    }

    #[test]
    fn by_default_it_listens_on_a_loopback_address_that_is_nobody_elses() {
        let (admin, problems) = checked(|_| ());
        assert_eq!(problems, Problems::default());
        let bind = admin.unwrap().bind;
        assert!(bind.ip().is_loopback());
        let taken = [9876, 9877, 9878, 8080, 8081, 10909, 10911, 10912];
        assert!(taken.iter().all(|port| ![*port, port - 2].contains(&bind.port())));
        assert!(bind.port() < 11_000, "where ports of brokers begin");
    }

    #[test]
    fn nothing_is_written_as_an_empty_address() {
        let (admin, problems) = checked(|admin| admin.bind = String::new());
        assert_eq!((admin, problems), (None, Problems::default()));
    }

    #[test]
    fn an_address_that_others_can_reach_needs_to_know_who_may() {
        for bind in ["0.0.0.0:9860", "[::]:9860", "10.0.0.1:9860"] {
            let (_, problems) = checked(|admin| admin.bind = bind.to_owned());
            let said = problems.to_string();
            assert!(
                said.starts_with("admin.bind: ") && said.contains("admin.token_path"),
                "{said}"
            );
        }
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "0123456789abcdef\n").unwrap();
        let (admin, problems) = checked(|admin| {
            admin.bind = "0.0.0.0:9860".to_owned();
            admin.token_path = Some(token.path().display().to_string());
        });
        assert!(admin.is_some() && problems.errors.is_empty());
        assert_eq!(problems.warnings.len(), 1, "the token goes in clear");
        let (admin, problems) = checked(|admin| {
            admin.bind = "[::]:9860".to_owned();
            admin.tls = Some(AdminTlsSection {
                certificate: "c".to_owned(),
                key: "k".to_owned(),
                client_ca: Some("ca".to_owned()),
            });
        });
        assert!(admin.is_some_and(|admin| admin.tls.is_some()) && problems == Problems::default());
        for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"] {
            let (admin, problems) = checked(|admin| admin.bind = loopback.to_owned());
            assert!(admin.is_some() && problems == Problems::default(), "{loopback}");
        }
    }

    #[test]
    fn a_token_that_can_be_guessed_or_read_by_nobody_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        for text in [
            "",
            "short",
            "two words of some length",
            "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}",
        ] {
            std::fs::write(file.path(), text).unwrap();
            let (_, problems) = checked(|admin| admin.token_path = Some(path.clone()));
            assert_eq!(problems.errors.len(), 1, "{text:?}");
            assert!(
                text.is_empty() || !problems.to_string().contains(text),
                "a token is not shown"
            );
        }
        let (_, problems) = checked(|admin| admin.token_path = Some("/no/such".to_owned()));
        assert!(
            problems
                .to_string()
                .starts_with("admin.token_path: names \"/no/such\", which cannot be read")
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_path() {
        let (_, problems) = checked(|admin| {
            admin.bind = "here:1".to_owned();
            admin.open = Words(vec!["livez".to_owned(), "config".to_owned()]);
            admin.hosts = Words(vec!["https://x".to_owned()]);
            admin.tls = Some(AdminTlsSection::default());
        });
        let paths: Vec<_> = problems
            .errors
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        let expected = [
            "admin.bind",
            "admin.open[1]",
            "admin.hosts[0]",
            "admin.tls.certificate",
            "admin.tls.key",
        ];
        assert_eq!(paths, expected);
    }
}
