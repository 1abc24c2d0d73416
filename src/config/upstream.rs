//! The section `upstream`: what connections to brokers and name servers are like.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::tls::{ClientSection, check_client};
use super::value::Period;
use crate::tls::ClientSettings;

/// Keep-alive counts whole seconds; below this it would say nothing.
const SHORTEST: Duration = Duration::from_secs(1);

/// Connections to brokers and name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// TLS towards brokers and name servers; `None` speaks in clear.
    pub tls: Option<ClientSettings>,
    /// The header before everything else on each connection to a broker.
    pub proxy_protocol: ProxyHeader,
    /// Whether sends get the client's address as a property.
    pub born_host: bool,
    /// How long a connection is silent before it is probed; `None` probes never.
    pub keep_alive: Option<Duration>,
    /// How long sent bytes may go without an acknowledgement; `None` leaves it to the system.
    pub user_timeout: Option<Duration>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            tls: None,
            proxy_protocol: ProxyHeader::Off,
            born_host: false,
            keep_alive: Some(Duration::from_mins(1)),
            user_timeout: Some(Duration::from_secs(30)),
        }
    }
}

/// The header by which a broker learns the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// None.
    #[default]
    Off,
    /// Version 1, one line of text.
    V1,
    /// Version 2, binary.
    V2,
}

/// Connections to brokers and name servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamSection {
    /// TLS towards brokers and name servers alike. Connections opened before keep what they began with.
    pub tls: ClientSection,
    /// "v1" or "v2" begins each connection to a broker with a PROXY protocol header that carries the client's address, so
    /// that the broker's connection lists and source-IP policies are right. Needs brokers from 5.1.4 on: older ones close
    /// the connection. It also needs brokers that only Gimbal reaches, since they believe whoever connects. Connections
    /// opened before keep what they began with.
    pub proxy_protocol: ProxyHeader,
    /// Puts the client's address into each message that is sent, as the property `__BORNHOST` (`ip:port`), in place of one
    /// that the client sent along. Signed sends are signed again if `credentials` has the key; other signed sends, and
    /// messages without room for it, go on as they are and are counted.
    pub born_host: bool,
    /// A connection that has been silent this long is probed, and closed when three probes in a row go unanswered; "0s"
    /// probes never. For connections opened from then on.
    pub keep_alive: Period,
    /// Bytes that the other side's system has not acknowledged for this long end the connection; "0s" leaves it to the
    /// system, which takes about a quarter of an hour. For connections opened from then on.
    pub user_timeout: Period,
}

impl Default for UpstreamSection {
    fn default() -> Self {
        let Upstream {
            tls: _,
            proxy_protocol,
            born_host,
            keep_alive,
            user_timeout,
        } = Upstream::default();
        Self {
            tls: ClientSection::default(),
            proxy_protocol,
            born_host,
            keep_alive: Period(keep_alive.unwrap_or_default()),
            user_timeout: Period(user_timeout.unwrap_or_default()),
        }
    }
}

/// Checks the section.
pub(super) fn check_upstream(written: &UpstreamSection, problems: &mut Problems) -> Upstream {
    Upstream {
        tls: check_client(&written.tls, false, "upstream.tls", problems),
        proxy_protocol: written.proxy_protocol,
        born_host: written.born_host,
        keep_alive: patience(written.keep_alive, "upstream.keep_alive", problems),
        user_timeout: patience(written.user_timeout, "upstream.user_timeout", problems),
    }
}

/// A time that the system waits for a peer; zero means that it does not.
pub(super) fn patience(written: Period, path: &str, problems: &mut Problems) -> Option<Duration> {
    if !written.0.is_zero() && written.0 < SHORTEST {
        problems.error(
            path,
            "is shorter than a second",
            "\"1s\" or more; \"0s\" for none",
        );
    }
    (!written.0.is_zero()).then_some(written.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> (Upstream, Vec<String>) {
        let mut problems = Problems::default();
        let upstream = check_upstream(&toml::from_str(text).unwrap(), &mut problems);
        let errors = problems.errors.iter().map(|p| format!("{}: {}", p.path, p.what));
        (upstream, errors.collect())
    }

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(checked(""), (Upstream::default(), vec![]));
    }

    #[test]
    fn what_is_written_is_what_holds() {
        let (upstream, errors) = checked("proxy_protocol = 'v2'\nborn_host = true\nkeep_alive = '0s'");
        assert_eq!(errors, [""; 0]);
        assert_eq!(upstream.proxy_protocol, ProxyHeader::V2);
        assert!(upstream.born_host);
        assert_eq!(upstream.keep_alive, None);
        assert_eq!(upstream.user_timeout, Upstream::default().user_timeout);
        assert!(toml::from_str::<UpstreamSection>("proxy_protocol = true").is_err());
        assert!(toml::from_str::<UpstreamSection>("bornhost = true").is_err());
    }

    #[test]
    fn times_that_the_system_cannot_count_are_refused() {
        let (_, errors) = checked("keep_alive = '300ms'\nuser_timeout = '1ms'");
        assert_eq!(
            errors,
            [
                "upstream.keep_alive: is shorter than a second",
                "upstream.user_timeout: is shorter than a second"
            ]
        );
    }

    #[test]
    fn files_of_tls_are_looked_into() {
        let (_, errors) = checked("[tls]\nenabled = true\nca = '/nowhere/ca.pem'");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("upstream.tls.ca: "), "{errors:?}");
    }
}
