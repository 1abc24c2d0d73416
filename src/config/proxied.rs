//! Who may say in a PROXY protocol header whom a connection is from.

use std::net::IpAddr;

use ipnet::IpNet;

use super::problem::Problems;

/// Who may say, before anything else, whom a connection is from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyProtocol {
    /// The networks that balancers connect from; headers from elsewhere are refused.
    pub networks: Vec<IpNet>,
    /// Whether connections from there must have a header.
    pub is_required: bool,
}

impl ProxyProtocol {
    /// Whether connections from this address may have a header.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

/// Checks networks as they are written in listener `index`.
pub(super) fn check_proxy_protocol(
    networks: &[String],
    is_required: bool,
    index: usize,
    problems: &mut Problems,
) -> ProxyProtocol {
    let path = format!("listener[{index}].proxy_protocol");
    let mut checked = Vec::new();
    for (at, text) in networks.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(network) = network else {
            let what = format!("is {text:?}, which is no network");
            problems.error(
                &path,
                what,
                "an IP address, or a network such as \"10.0.0.0/8\" or \"fd00::/8\"",
            );
            continue;
        };
        if network.prefix_len() == 0 {
            let what = "lets everybody pretend to be anybody";
            problems.warning(&path, what, "the networks of your balancers");
        }
        checked.push(network);
    }
    if is_required && networks.is_empty() {
        problems.error(
            &format!("listener[{index}].proxy_protocol_required"),
            "is true, but no network may send a header",
            "networks in proxy_protocol, or false",
        );
    }
    ProxyProtocol {
        networks: checked,
        is_required,
    }
}
