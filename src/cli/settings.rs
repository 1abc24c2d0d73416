//! The flags that set what a config file can set, shared by the commands that load one.

use std::ffi::OsString;
use std::path::PathBuf;

use toml::Value;

use crate::config::file::{AddressingName, LogFormat};
use crate::config::{Flag, Sources};

/// Flags override `GIMBAL_*` variables, and those override the file.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are the help text, printed as they are"
)]
pub(super) struct Settings {
    /// Config file, TOML; every setting has a default but the name server
    ///
    /// Saving it, or SIGHUP, applies it without dropping a connection.
    /// Default: none
    /// Example: -c /etc/gimbal.toml
    #[arg(short, long, value_name = "FILE", verbatim_doc_comment)]
    #[arg(env = "GIMBAL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Name servers of the cluster, separated by "," or ";"
    ///
    /// They are asked in this order until one answers.
    /// Default: $NAMESRV_ADDR
    /// Example: --nameserver 10.0.0.1:9876,10.0.0.2:9876
    #[arg(short, long, value_name = "H:P[,H:P...]", help_heading = CLUSTER, verbatim_doc_comment)]
    nameserver: Option<String>,

    /// Let through codes beyond messaging: admin, request-reply, or single codes
    ///
    /// Single request codes go by name or number.
    /// Default: none
    /// Example: --allow request-reply,GET_CONSUMER_RUNNING_INFO,301
    #[arg(long, value_name = "WHAT[,WHAT...]", help_heading = CLUSTER, verbatim_doc_comment)]
    allow: Option<String>,

    /// Folder of filters; "" runs none
    ///
    /// What is saved there is in force a moment later; what cannot be used changes nothing.
    /// Default: filters.d, if it is there
    /// Example: --filters /etc/gimbal/filters.d
    #[arg(long, value_name = "DIR", help_heading = PROCESS, verbatim_doc_comment)]
    filters: Option<String>,

    /// IP address and port that clients connect to
    ///
    /// The port two below is taken too, for clients of the 4.4 age. Port 0 picks a free one.
    /// Default: 0.0.0.0:9876
    /// Example: --listen 10.0.0.5:9876
    #[arg(short, long, value_name = "H:P", help_heading = CLIENTS, verbatim_doc_comment)]
    listen: Option<String>,

    /// Host name or IP address given to clients in place of the brokers', without a port
    ///
    /// Default: the local IP address that the client's connection arrived at
    /// Example: --advertise mq.example.org
    #[arg(long, value_name = "HOST", help_heading = CLIENTS, verbatim_doc_comment)]
    advertise: Option<String>,

    /// Which broker addresses clients get: auto, shared or per-broker
    ///
    /// One address shared by all brokers, one port per broker, or whichever the client's version can work with.
    /// Default: auto
    /// Example: --addressing per-broker
    #[arg(long, value_enum, value_name = "KIND", hide_possible_values = true)]
    #[arg(help_heading = CLIENTS, verbatim_doc_comment)]
    addressing: Option<AddressingName>,

    /// First and last port that brokers may be given
    ///
    /// Each broker takes two: its own, and the one two below for clients of the 4.4 age.
    /// Default: derived from the port of --listen
    /// Example: --broker-ports 12000-12063
    #[arg(long, value_name = "A-B", help_heading = CLIENTS, verbatim_doc_comment)]
    broker_ports: Option<String>,

    /// Replace the broker's address inside messages too
    ///
    /// Clients that dial it then come through Gimbal. Needs an IP address in --advertise.
    /// Default: off
    /// Example: --advertise 10.0.0.1 --rewrite-store-host
    #[arg(long, help_heading = CLIENTS, verbatim_doc_comment)]
    rewrite_store_host: bool,

    /// Threads that serve connections
    ///
    /// Default: one per core
    /// Example: --workers 2
    #[arg(long, value_name = "N", help_heading = PROCESS, verbatim_doc_comment)]
    workers: Option<u16>,

    /// Folder that remembers which port belongs to which broker, and accepted filters; "" remembers nothing
    ///
    /// Default: gimbal-state
    /// Example: --state-dir /var/lib/gimbal
    #[arg(long, value_name = "DIR", help_heading = PROCESS, verbatim_doc_comment)]
    state_dir: Option<String>,

    /// Log lines for people (human) or for machines (json), on standard error
    ///
    /// Default: human
    /// Example: --log-format json
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    #[arg(help_heading = PROCESS, verbatim_doc_comment)]
    log_format: Option<LogFormat>,

    /// What is logged: error, warn, info, debug, trace or off
    ///
    /// Parts of Gimbal can be given their own level after a comma.
    /// Default: info
    /// Example: --log-level info,gimbal::route=debug
    #[arg(long, value_name = "LEVEL", help_heading = PROCESS, verbatim_doc_comment)]
    log_level: Option<String>,
}

const CLUSTER: &str = "The cluster";
const CLIENTS: &str = "Towards clients (of the first listener, where the file has several)";
const PROCESS: &str = "The process";

impl Settings {
    /// File, environment and flags, in the order in which they override each other.
    pub(super) fn sources(&self) -> Sources {
        // What is not text cannot be a setting of ours.
        let lossy = |(name, value): (OsString, OsString)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        };
        let flags = self
            .towards_the_cluster()
            .chain(self.towards_clients())
            .chain(self.of_the_process());
        Sources {
            file: self.config.clone(),
            variables: std::env::vars_os().map(lossy).collect(),
            flags: flags.collect(),
        }
    }

    fn towards_the_cluster(&self) -> impl Iterator<Item = Flag> {
        let given = [
            flag("--nameserver", &["nameservers"], self.nameserver.as_deref()),
            flag("--allow", &["allow"], self.allow.as_deref()),
        ];
        given.into_iter().flatten()
    }

    fn towards_clients(&self) -> impl Iterator<Item = Flag> {
        let addressing = self.addressing.map(|addressing| match addressing {
            AddressingName::Auto => "auto",
            AddressingName::Shared => "shared",
            AddressingName::PerBroker => "per-broker",
        });
        let rewrite = self.rewrite_store_host.then_some(true);
        let given = [
            flag("--listen", &["listener", "0", "bind"], self.listen.as_deref()),
            flag(
                "--advertise",
                &["listener", "0", "advertise"],
                self.advertise.as_deref(),
            ),
            flag("--addressing", &["listener", "0", "addressing"], addressing),
            flag(
                "--broker-ports",
                &["listener", "0", "broker_ports"],
                self.broker_ports.as_deref(),
            ),
            flag(
                "--rewrite-store-host",
                &["listener", "0", "rewrite_store_host"],
                rewrite,
            ),
        ];
        given.into_iter().flatten()
    }

    fn of_the_process(&self) -> impl Iterator<Item = Flag> {
        let format = self.log_format.map(|format| match format {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        });
        let given = [
            flag("--filters", &["filters"], self.filters.as_deref()),
            flag("--workers", &["workers"], self.workers.map(i64::from)),
            flag("--state-dir", &["state_dir"], self.state_dir.as_deref()),
            flag("--log-format", &["log", "format"], format),
            flag("--log-level", &["log", "level"], self.log_level.as_deref()),
        ];
        given.into_iter().flatten()
    }
}

fn flag<V: Into<Value>>(name: &'static str, path: &'static [&'static str], value: Option<V>) -> Option<Flag> {
    Some(Flag {
        name,
        path,
        value: value?.into(),
    })
}
