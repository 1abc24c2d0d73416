//! Descriptors: one for each client, one for each broker it talks to.

use crate::config::Config;

/// Files of filters, name servers, logs and the like, apart from connections.
const OWN: u64 = 256;

/// Raises the number of descriptors this process may have to what the system allows; how many that is, if it says so.
pub(super) fn raise() -> Option<u64> {
    rlimit::increase_nofile_limit(u64::MAX).ok()
}

/// What is to be said when `config` promises more connections than `descriptors` can serve.
pub(super) fn shortage(config: &Config, descriptors: u64) -> Option<String> {
    // How many brokers there are is not known yet; clients have at least one each, and those with fixed ports exist.
    let named = config.listeners.iter().map(|listener| listener.brokers.len());
    let brokers = u64::try_from(named.max().unwrap_or_default().max(1)).unwrap_or(u64::MAX);
    let each = brokers.saturating_add(1);
    let connections = u64::try_from(config.limits.connections).unwrap_or(u64::MAX);
    let needed = connections.saturating_mul(each).saturating_add(OWN);
    if needed <= descriptors {
        return None;
    }
    let served = descriptors.saturating_sub(OWN) / each;
    Some(format!(
        "limits.connections is {connections}, which takes {needed} descriptors with {brokers} for brokers per client, and \
         the system allows {descriptors}: about {served} clients can be served; raise the hard limit (ulimit -Hn, \
         LimitNOFILE), or lower limits.connections"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn what_cannot_fit_is_said_with_how_many_can() {
        let variables = [
            ("GIMBAL_NAMESERVERS", "ns:9876"),
            ("GIMBAL_LIMITS__CONNECTIONS", "1000"),
        ];
        let sources = Sources {
            file: None,
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            flags: Vec::new(),
        };
        let config = sources.load().unwrap().config;
        assert_eq!(shortage(&config, 1000 * 2 + OWN), None);
        let said = shortage(&config, 1024).unwrap();
        assert!(
            said.contains("takes 2256") && said.contains("about 384 clients"),
            "{said}"
        );
    }
}
