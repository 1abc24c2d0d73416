//! The section `upstream`: what connections to brokers and name servers are like.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::Period;

/// Keep-alive counts whole seconds; below this it would say nothing.
const SHORTEST: Duration = Duration::from_secs(1);

/// Connections to brokers and name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
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
            proxy_protocol,
            born_host,
            keep_alive,
            user_timeout,
        } = Upstream::default();
        Self {
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
