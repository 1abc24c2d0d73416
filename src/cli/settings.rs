//! The flags that set what a config file can set, shared by the commands that load one.

use std::path::PathBuf;

use toml::Value;

use crate::config::file::{AddressingName, LogFormat};
use crate::config::{Flag, Sources};

/// Flags override `GIMBAL_*` variables, and those override the file.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// Config file, TOML. Saving it, or SIGHUP, applies it without dropping a connection.
    /// Default: none, everything has a default but the name server. Example: -c /etc/gimbal.toml
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "GIMBAL_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,

    /// Name servers of the cluster, separated by "," or ";", asked in this order until one answers.
    /// Default: $NAMESRV_ADDR. Example: --nameserver 10.0.0.1:9876,10.0.0.2:9876
    #[arg(short, long, value_name = "H:P[,H:P...]", help_heading = CLUSTER)]
    nameserver: Option<String>,

    /// Let through codes beyond messaging: admin, request-reply, or single request codes by name or
    /// number. Default: none. Example: --allow request-reply,GET_CONSUMER_RUNNING_INFO,301
    #[arg(long, value_name = "WHAT[,WHAT...]", help_heading = CLUSTER)]
    allow: Option<String>,

    /// IP address and port that clients connect to; the port two below is taken too, for clients of the
    /// 4.4 age. Default: 0.0.0.0:9876. Example: --listen [::]:9876
    #[arg(short, long, value_name = "H:P", help_heading = CLIENTS)]
    listen: Option<String>,

    /// Host name or IP address given to clients in place of the brokers', without a port.
    /// Default: the local address their connection arrived at. Example: --advertise mq.example.org
    #[arg(long, value_name = "HOST", help_heading = CLIENTS)]
    advertise: Option<String>,

    /// Which broker addresses clients get: the shared one, one port per broker, or (auto) whichever the
    /// client's version can work with. Default: auto. Example: --addressing per-broker
    #[arg(long, value_enum, value_name = "KIND", hide_possible_values = true, help_heading = CLIENTS)]
    addressing: Option<AddressingName>,

    /// First and last port that brokers may be given; each broker takes two of them.
    /// Default: derived from the port of --listen. Example: --broker-ports 12000-12063
    #[arg(long, value_name = "A-B", help_heading = CLIENTS)]
    broker_ports: Option<String>,

    /// Replace the broker's address inside messages too, so that clients that dial it come through Gimbal.
    /// Default: off. Needs an IP address: --advertise 10.0.0.1 --rewrite-store-host
    #[arg(long, help_heading = CLIENTS)]
    rewrite_store_host: bool,

    /// Threads that serve connections. Default: one per core. Example: --workers 2
    #[arg(long, value_name = "N", help_heading = PROCESS)]
    workers: Option<u16>,

    /// Folder that remembers which port belongs to which broker; "" keeps that in memory only.
    /// Default: gimbal-state. Example: --state-dir /var/lib/gimbal
    #[arg(long, value_name = "DIR", help_heading = PROCESS)]
    state_dir: Option<String>,

    /// Log lines for people (human) or for machines (json), on standard error. Default: human.
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = PROCESS)]
    log_format: Option<LogFormat>,

    /// error, warn, info, debug, trace or off, also per module. Default: info.
    /// Example: --log-level info,gimbal::route=debug
    #[arg(long, value_name = "LEVEL", help_heading = PROCESS)]
    log_level: Option<String>,
}

const CLUSTER: &str = "The cluster";
const CLIENTS: &str = "Towards clients (the first listener, where the file has several)";
const PROCESS: &str = "The process";

impl Settings {
    /// File, environment and flags, in the order in which they override each other.
    pub(super) fn sources(&self) -> Sources {
        let text = |value: &Option<String>| value.clone().map(Value::String);
        let enumerated = |value: Option<&'static str>| value.map(|v| Value::String(v.to_owned()));
        let addressing = self.addressing.map(|a| match a {
            AddressingName::Auto => "auto",
            AddressingName::Shared => "shared",
            AddressingName::PerBroker => "per-broker",
        });
        let format = self.log_format.map(|f| match f {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        });
        let given: [(&'static str, &'static [&'static str], Option<Value>); 11] = [
            ("--nameserver", &["nameservers"], text(&self.nameserver)),
            ("--allow", &["allow"], text(&self.allow)),
            ("--listen", &["listener", "0", "bind"], text(&self.listen)),
            (
                "--advertise",
                &["listener", "0", "advertise"],
                text(&self.advertise),
            ),
            (
                "--addressing",
                &["listener", "0", "addressing"],
                enumerated(addressing),
            ),
            (
                "--broker-ports",
                &["listener", "0", "broker_ports"],
                text(&self.broker_ports),
            ),
            (
                "--rewrite-store-host",
                &["listener", "0", "rewrite_store_host"],
                self.rewrite_store_host.then_some(Value::Boolean(true)),
            ),
            (
                "--workers",
                &["workers"],
                self.workers.map(|n| Value::Integer(n.into())),
            ),
            ("--state-dir", &["state_dir"], text(&self.state_dir)),
            ("--log-format", &["log", "format"], enumerated(format)),
            ("--log-level", &["log", "level"], text(&self.log_level)),
        ];
        let flags = given.into_iter().filter_map(|(name, path, value)| {
            Some(Flag {
                name,
                path,
                value: value?,
            })
        });
        // What is not text cannot be a setting of ours; paths in it would be.
        let lossy = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        };
        Sources {
            file: self.config.clone(),
            variables: std::env::vars_os().map(lossy).collect(),
            flags: flags.collect(),
        }
    }
}
