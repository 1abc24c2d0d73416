//! `gimbal dev`: name server, broker and proxy in one process, for the quick start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use toml::Value;

use super::descriptors;
use super::orders::{Desk, done};
use super::paint::print;
use super::run::{build_runtime, drain, start_logs};
use super::shipped::Shipped;
use super::signals::Signals;
use super::watching;
use crate::admin::{Action, Refused};
use crate::author::build::compiled;
use crate::config::{Admin, Config, Flag, Loaded, Sources, Tls};
use crate::dev::{Cluster, Options};
use crate::proxy::Proxy;
use crate::telemetry;
use crate::tls::{self, CertificateFiles, ClientAuth, ServerSettings, Version};

/// What `gimbal dev` takes.
#[derive(Debug, clap::Args)]
#[command(about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are the help text, printed as they are"
)]
pub(super) struct Args {
    /// IP address and port that clients connect to
    ///
    /// Port 0 picks a free one.
    /// Default: 127.0.0.1:9876
    /// Example: --listen 127.0.0.1:19876
    #[arg(short, long, value_name = "H:P", verbatim_doc_comment)]
    #[arg(default_value = "127.0.0.1:9876", hide_default_value = true)]
    listen: String,

    /// Start the name server and the brokers alone, without Gimbal
    ///
    /// Something to put behind `gimbal run`, tests and benches; --listen is then the name server's address.
    /// Default: off
    #[arg(long, verbatim_doc_comment)]
    broker_only: bool,

    /// Folder of filters
    ///
    /// Default: a new folder with the filters acl and rate-limit, which goes when the process ends
    /// Example: --filters ./filters.d
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    filters: Option<PathBuf>,

    /// Folder of a filter's project: built again whenever a file is saved, and put into the folder of filters
    ///
    /// What filters decide is printed as it happens. May be given several times.
    /// Default: none
    /// Example: --filters ./filters.d --watch ./stamp
    #[arg(
        long,
        value_name = "PROJECT",
        verbatim_doc_comment,
        conflicts_with = "broker_only"
    )]
    watch: Vec<PathBuf>,

    /// Take clients under TLS too, on the same port
    ///
    /// With a certificate made for this run.
    /// Default: off
    #[arg(long, verbatim_doc_comment, conflicts_with = "broker_only")]
    tls: bool,

    /// How many brokers to start
    ///
    /// Default: 1, at most 16
    /// Example: --brokers 2
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    #[arg(default_value_t = 1, hide_default_value = true, value_parser = clap::value_parser!(u8).range(1..=16))]
    brokers: u8,

    /// What is logged to standard error: error, warn, info, debug, trace or off
    ///
    /// Parts of Gimbal can be given their own level after a comma.
    /// Default: info
    /// Example: --log-level warn,gimbal::dev=debug
    #[arg(long, value_name = "LEVEL", verbatim_doc_comment)]
    #[arg(default_value = "info", hide_default_value = true)]
    log_level: String,
}

const ABOUT: &str = "Try Gimbal with nothing installed: an in-memory cluster with the proxy in front";
const LONG_ABOUT: &str = "\
Try Gimbal with nothing installed: an in-memory cluster with the proxy in front

Starts a small name server and broker inside this process and Gimbal with two filters in front of them, and prints what to \
point a client at. They are an in-memory stand-in for RocketMQ, good for trying things out and for tests: \
nothing is written to disk, and every message is gone when the process ends. No config file and no \
GIMBAL_* variable is read.";

const EXAMPLES: &str = "\
Examples:
  gimbal dev
  gimbal dev --listen 127.0.0.1:19876 --brokers 2
  gimbal dev --tls
  gimbal dev --filters filters.d --watch stamp
  gimbal dev --broker-only --listen 127.0.0.1:19876     then: gimbal run --nameserver 127.0.0.1:19876";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Checks the flags; the name server is filled in once it listens.
    let loaded = sources(args).load()?;
    let logs = start_logs(&loaded)?;
    descriptors::raise();
    let runtime = build_runtime(loaded.config.workers)?;
    let outcome = if args.broker_only {
        runtime.block_on(serve_cluster(args, loaded))
    } else {
        runtime.block_on(serve(args, loaded, logs))
    };
    runtime.shutdown_background();
    outcome
}

fn sources(args: &Args) -> Sources {
    let flag = |name, path, value: &str| Flag {
        name,
        path,
        value: Value::String(value.to_owned()),
    };
    let flags = vec![
        flag("gimbal dev", &["nameservers"], "127.0.0.1:1"),
        flag("--listen", &["listener", "0", "bind"], &args.listen),
        flag("--log-level", &["log", "level"], &args.log_level),
        flag("gimbal dev", &["state_dir"], ""),
        // What would be drained is gone with the process anyway.
        flag("gimbal dev", &["drain", "deadline"], "1s"),
    ];
    Sources {
        file: None,
        variables: Vec::new(),
        flags,
    }
}

async fn serve(args: &Args, mut loaded: Loaded, logs: telemetry::Handle) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let projects = watching::open(&args.watch, args.filters.as_deref())?;
    let policy = Policy::new(args.filters.as_deref())?;
    loaded.config.filters.folder = Some(policy.folder.clone());
    loaded.config.filters.compiled = policy.compiled();
    let own = if args.tls {
        Some(OwnTls::new(&mut loaded)?)
    } else {
        None
    };
    let cluster = start_cluster(free, args.brokers).await?;
    loaded.config.nameservers = vec![cluster.nameserver().to_string()];
    let admin = free_admin(&loaded.config);
    let proxy = Proxy::start(loaded.config).await?;
    let mut desk = Desk::open(&proxy, admin.as_ref(), (loaded.effective, &loaded.log.level))?;
    let console = desk
        .bound()
        .map(|bound| format!("http://{bound}/"))
        .unwrap_or_default();
    let addresses = proxy.addresses();
    let address = addresses
        .first()
        .map(|(_, address)| dialled(*address))
        .context("no listener")?;
    print(&format!(
        "Gimbal is running in front of an in-memory cluster ({}).\n\
         This is a stand-in for RocketMQ, for trying things out: all data is gone when it stops.\n\
         \n\
         \x20 Point a client at   {address}\n\
         \n\
         \x20   Java          producer.setNamesrvAddr(\"{address}\");\n\
         \x20   Go            producer.WithNameServer([]string{{\"{address}\"}})\n\
         \x20   environment   NAMESRV_ADDR={address}\n\
         \n\
         \x20 Console              {console}\n\
         \n\
         {}{}\
         Topics come into being with their first message. Ctrl-C stops it.\n",
        count(&cluster),
        own.as_ref().map_or_else(String::new, |own| own.describe(address)),
        policy.describe(),
    ))?;
    let watching = watching::start(projects, &policy.folder, &desk.house);
    serve_until_told(&mut signals, &mut desk, &logs).await;
    drop(watching);
    let code = drain(proxy, &mut signals).await;
    drop((desk, cluster));
    Ok(code)
}

/// The admin listener's settings, at a free port where the usual one is taken.
fn free_admin(config: &Config) -> Option<Admin> {
    let mut admin = config.admin.clone()?;
    if std::net::TcpListener::bind(admin.bind).is_err() {
        admin.bind.set_port(0);
    }
    Some(admin)
}

/// Waits for a signal, or for somebody at the console to end it; does what else is asked there.
async fn serve_until_told(signals: &mut Signals, desk: &mut Desk, logs: &telemetry::Handle) {
    loop {
        let order = tokio::select! {
            _ = signals.stop() => return,
            order = desk.next() => order,
        };
        let outcome = match &order.action {
            Action::Drain => Ok(done("draining", Vec::new())),
            Action::LogLevel(level) => match logs.set_filter(level) {
                Ok(()) => {
                    desk.house.logs_by(level);
                    Ok(done(format!("logging {level}"), Vec::new()))
                }
                Err(error) => Err(Refused::Invalid {
                    what: format!("{level:?} is not a filter: {error}"),
                    accepted: "off, error, warn, info, debug or trace".to_owned(),
                }),
            },
            Action::Reload | Action::Enable(_) | Action::Disable(_) => Err(Refused::Conflict {
                what: "gimbal dev reads no configuration".to_owned(),
                accepted: "gimbal run -c FILE".to_owned(),
            }),
        };
        let is_drain = order.action == Action::Drain;
        // Whoever asked may have gone.
        drop(order.reply.send(outcome));
        if is_drain {
            return;
        }
    }
}

/// The filters that the quick start begins with: their names in the folder, and their settings.
const POLICY: [(&str, &str, &str); 2] = [
    (
        "acl",
        "10-acl",
        include_str!("../../examples/quickstart/filters.d/10-acl.toml"),
    ),
    (
        "rate-limit",
        "20-rate-limit",
        include_str!("../../examples/quickstart/filters.d/20-rate-limit.toml"),
    ),
];

/// The folder of filters.
struct Policy {
    folder: PathBuf,
    /// It was made for this process, and goes with it.
    is_own: bool,
}

impl Policy {
    /// This folder, or a new one with a few filters in it.
    fn new(folder: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(folder) = folder {
            return Ok(Self {
                folder: folder.to_owned(),
                is_own: false,
            });
        }
        let policy = Self {
            folder: std::env::temp_dir().join(format!("gimbal-dev-{}", std::process::id())),
            is_own: true,
        };
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&policy.folder)?;
            for (name, stem, settings) in POLICY {
                let Some(filter) = Shipped::find(name) else {
                    continue;
                };
                std::fs::write(policy.folder.join(format!("{stem}.toml")), settings)?;
                std::fs::write(policy.folder.join(format!("{stem}.wasm")), filter.wasm)?;
            }
            Ok(())
        };
        write().with_context(|| format!("filters cannot be put into {}", policy.folder.display()))?;
        Ok(policy)
    }

    /// Where compiled code is kept: a guest with a language runtime takes seconds to compile, and every saved setting loads
    /// it again. Of filters under construction it is where their builds keep it.
    fn compiled(&self) -> Option<PathBuf> {
        if self.is_own {
            return Some(self.folder.join(".compiled"));
        }
        compiled()
    }

    fn describe(&self) -> String {
        let folder = self.folder.display();
        if !self.is_own {
            return format!("\x20 Filters              {folder}\n\n");
        }
        format!(
            "\x20 Filters              {folder}\n\
             \x20   10-acl             refuses topics that begin with \"payroll\"\n\
             \x20   20-rate-limit      takes two messages a second into topics that begin with \"slow\"\n\
             \x20 Save a .toml there, or drop another .wasm: it holds a tenth of a second later.\n\n"
        )
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_own
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            tracing::debug!(%error, "the folder of filters stays behind");
        }
    }
}

/// A certificate made for this process, in a folder of its own that goes with it.
struct OwnTls {
    folder: PathBuf,
}

impl OwnTls {
    /// Makes it, and has the first listener show it.
    fn new(loaded: &mut Loaded) -> anyhow::Result<Self> {
        let listener = loaded.config.listeners.first_mut().context("no listener")?;
        let addresses = [
            listener.bind.ip(),
            Ipv4Addr::LOCALHOST.into(),
            Ipv6Addr::LOCALHOST.into(),
        ];
        let made = tls::self_signed(&addresses)
            .map_err(anyhow::Error::msg)
            .context("no certificate can be made")?;
        let own = Self {
            folder: std::env::temp_dir().join(format!("gimbal-dev-{}-tls", std::process::id())),
        };
        let files = CertificateFiles {
            certificate: own.certificate(),
            key: own.folder.join("key.pem"),
        };
        let write = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().mode(0o700).create(&own.folder)?;
            std::fs::write(&files.certificate, &made.certificate)?;
            std::fs::write(&files.key, &made.key)
        };
        write().with_context(|| format!("the certificate cannot be put into {}", own.folder.display()))?;
        listener.tls = Some(Tls {
            is_enforced: false,
            settings: ServerSettings {
                certificates: vec![files],
                client_auth: ClientAuth::None,
                client_ca: None,
                min_version: Version::Tls12,
                offers_h2: false,
            },
        });
        Ok(own)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn describe(&self, address: SocketAddr) -> String {
        let certificate = self.certificate();
        let certificate = certificate.display();
        format!(
            "\x20 TLS                  on the same port, with a certificate made for this run\n\
             \x20   Java          -Dtls.enable=true\n\
             \x20   Go            producer.WithTls(true), consumer.WithTls(true)\n\
             \x20   openssl       openssl s_client -connect {address} -CAfile {certificate}\n\n"
        )
    }
}

impl Drop for OwnTls {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, "the folder of the certificate stays behind");
        }
    }
}

async fn serve_cluster(args: &Args, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    let listen = loaded
        .config
        .listeners
        .first()
        .map(|l| l.bind)
        .context("no listener")?;
    let cluster = start_cluster(listen, args.brokers).await?;
    let address = dialled(cluster.nameserver());
    let brokers: Vec<String> = cluster.brokers().iter().map(ToString::to_string).collect();
    print(&format!(
        "An in-memory cluster is running ({}), without Gimbal in front.\n\
         This is a stand-in for RocketMQ, for trying things out: all data is gone when it stops.\n\
         \n\
         \x20 Name server   {address}\n\
         \x20 Brokers       {}\n\
         \n\
         \x20   gimbal run --nameserver {address}\n\
         \n\
         Ctrl-C stops it.\n",
        count(&cluster),
        brokers.join(", "),
    ))?;
    signals.stop().await;
    drop(cluster);
    Ok(ExitCode::SUCCESS)
}

async fn start_cluster(nameserver: SocketAddr, brokers: u8) -> anyhow::Result<Cluster> {
    let broker = SocketAddr::new(nameserver.ip(), 0);
    let options = Options {
        nameserver,
        broker,
        brokers: brokers.into(),
        ..Options::default()
    };
    Cluster::start(options)
        .await
        .with_context(|| format!("cannot start the in-memory cluster with its name server on {nameserver}"))
}

fn count(cluster: &Cluster) -> String {
    match cluster.brokers().len() {
        1 => "one name server, one broker".to_owned(),
        n => format!("one name server, {n} brokers"),
    }
}

/// Where a client on this machine finds what listens on `bound`.
fn dialled(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}
