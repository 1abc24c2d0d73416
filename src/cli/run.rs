//! `gimbal run`: start the proxy, apply what is saved, wait for a signal, drain.

use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime;

use super::descriptors;
use super::orders::{Desk, done};
use super::settings::Settings;
use super::signals::{Signal, Signals};
use crate::admin::view::{Done, Reload};
use crate::admin::{Action, Refused};
use crate::config::file::LogFormat;
use crate::config::watch::{Seen, Watch};
use crate::config::{Loaded, Sources};
use crate::proxy::{Order, Proxy, apply_admin};
use crate::telemetry::{self, Format};

/// Run the proxy in front of a cluster
///
/// Works with flags alone; everything can be set in a file too, and by environment variables. Flags override
/// variables, variables override the file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

const EXAMPLES: &str = "\
Environment:
  Every setting of the file is a variable too: GIMBAL_ and its path in capitals, __ between levels.
  With _FILE at its end, a variable names a file that holds the value.
    GIMBAL_NAMESERVERS=10.0.0.1:9876               nameservers
    GIMBAL_DRAIN__DELAY=5s                         delay, in [drain]
    GIMBAL_LISTENER__0__ADVERTISE=mq.example.org   advertise, in the first [[listener]]
    GIMBAL_NAMESERVERS_FILE=/run/secrets/ns        nameservers, read from that file
  NAMESRV_ADDR is used when nothing else names a name server.

Signals:
  SIGHUP            read the configuration again; a bad one changes nothing
  SIGTERM, SIGINT   drain and leave with exit code 0; a second one leaves at once

Examples:
  gimbal run --nameserver 10.0.0.1:9876
  gimbal run --nameserver '10.0.0.1:9876;10.0.0.2:9876' --advertise mq.example.org
  gimbal run -c gimbal.toml --log-format json";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = args.settings.sources();
    let loaded = sources.load()?;
    let logs = start_logs(&loaded)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(what) = descriptors::raise().and_then(|limit| descriptors::shortage(&loaded.config, limit)) {
        tracing::info!("{what}");
    }
    let runtime = build_runtime(loaded.config.workers)?;
    let outcome = runtime.block_on(
        Service {
            sources,
            files: loaded.files.clone(),
            loaded,
            logs,
        }
        .serve(),
    );
    // Whatever still runs was told to end and had its time, or a second signal took that time away.
    runtime.shutdown_background();
    outcome
}

/// The runtime that serves connections.
pub(super) fn build_runtime(workers: usize) -> anyhow::Result<runtime::Runtime> {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name("gimbal").enable_all();
    builder.build().context("cannot start worker threads")
}

/// Starts logging as `loaded` says.
pub(super) fn start_logs(loaded: &Loaded) -> anyhow::Result<telemetry::Handle> {
    let format = match loaded.log.format {
        LogFormat::Human => Format::Human,
        LogFormat::Json => Format::Json,
    };
    telemetry::start(&loaded.log.level, format)
        .map_err(anyhow::Error::from_boxed)
        .context("cannot start logging")
}

/// Drains `proxy`; a second signal ends that at once.
pub(super) async fn drain(proxy: Proxy, signals: &mut Signals) -> ExitCode {
    tokio::select! {
        () = proxy.drain() => ExitCode::SUCCESS,
        second = signals.stop() => {
            tracing::warn!("second signal: leaving at once, sessions are cut");
            second.exit_code()
        }
    }
}

/// Why the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// SIGHUP: whoever sent it wants to hear how it went, whatever changed.
    Asked,
    /// Somebody asked for it over the admin API.
    Told,
    /// A file differs: worth a word only if a setting does.
    Saved,
}

/// A running proxy and where its settings came from.
struct Service {
    sources: Sources,
    loaded: Loaded,
    /// What was read last, whether it could be used or not.
    files: Vec<Seen>,
    logs: telemetry::Handle,
}

impl Service {
    async fn serve(mut self) -> anyhow::Result<ExitCode> {
        // Before the sockets: from the moment a client can connect, a signal means drain.
        let mut signals = Signals::new().context("cannot listen to signals")?;
        let proxy = Proxy::start(self.loaded.config.clone()).await?;
        let shown = (self.loaded.effective.clone(), self.loaded.log.level.as_str());
        let mut desk = Desk::open(&proxy, self.loaded.config.admin.as_ref(), shown)?;
        let addresses: Vec<String> = proxy
            .addresses()
            .iter()
            .map(|(name, address)| format!("{name}={address}"))
            .collect();
        tracing::info!(
            listeners = addresses.join(","),
            admin = desk.bound().map(tracing::field::display),
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        let mut watch = Watch::new(self.files.clone());
        let asked = loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => drop(self.reload((&proxy, &desk), Reason::Asked).await),
                    stop => break format!("{stop:?}"),
                },
                () = watch.changed() => drop(self.reload((&proxy, &desk), Reason::Saved).await),
                order = desk.next() => {
                    let is_drain = order.action == Action::Drain;
                    self.obey((&proxy, &desk), order).await;
                    if is_drain {
                        break "asked for over the admin API".to_owned();
                    }
                }
            }
            let watched = watch.files().iter().map(|file| &file.path);
            if !watched.eq(self.files.iter().map(|file| &file.path)) {
                watch = Watch::new(self.files.clone());
            }
        };
        let drain_for = self
            .loaded
            .config
            .drain
            .delay
            .saturating_add(self.loaded.config.drain.deadline);
        tracing::info!(signal = asked, at_most = ?drain_for, "draining");
        let code = drain(proxy, &mut signals).await;
        // Whoever watches readiness has seen it go off by now.
        drop(desk);
        Ok(code)
    }

    /// Does what was ordered over the admin API, and says how it ended.
    async fn obey(&mut self, (proxy, desk): (&Proxy, &Desk), order: Order) {
        let outcome = match order.action {
            Action::Reload => self.reload((proxy, desk), Reason::Told).await,
            Action::LogLevel(level) => match self.logs.set_filter(&level) {
                Ok(()) => {
                    desk.house.logs_by(&level);
                    tracing::info!(level, "log level changed over the admin API");
                    let note = "until the next reload or restart";
                    Ok(done(format!("logging {level}"), vec![note.to_owned()]))
                }
                Err(error) => Err(Refused::Invalid {
                    what: format!("{level:?} is not a filter: {error}"),
                    accepted: "off, error, warn, info, debug, trace; or \"info,gimbal::route=debug\""
                        .to_owned(),
                }),
            },
            Action::Drain => Ok(done("draining", Vec::new())),
            Action::Enable(_) | Action::Disable(_) => Err(Refused::Unavailable("not done here".to_owned())),
        };
        // Whoever asked may have gone.
        drop(order.reply.send(outcome));
    }

    /// All or nothing: with a single problem, everything stays as it is.
    #[expect(clippy::too_many_lines, reason = "one step after the other")]
    async fn reload(&mut self, (proxy, desk): (&Proxy, &Desk), reason: Reason) -> Result<Done, Refused> {
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut files = Vec::new();
            (sources.load_noting(&mut files), files)
        });
        let outcome = read.await.map(|(outcome, files)| {
            self.files = files;
            outcome
        });
        let loaded = match outcome {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(problems)) => {
                let said: Vec<String> = problems.errors.iter().map(ToString::to_string).collect();
                for problem in &said {
                    tracing::warn!("not reloaded: {problem}");
                }
                proxy.not_reloaded();
                return Err(refused(desk, reason, said));
            }
            Err(error) => {
                tracing::error!(%error, "not reloaded: reading the configuration failed");
                return Err(refused(desk, reason, vec![error.to_string()]));
            }
        };
        let changed = self.loaded.changes(&loaded);
        if changed.is_empty() && reason == Reason::Saved {
            return Ok(done("nothing has changed", Vec::new()));
        }
        let mut restart = proxy.reload(loaded.config.clone());
        if let Err(error) = self.logs.set_filter(&loaded.log.level) {
            tracing::error!(%error, "log.level stays as it was");
        }
        if loaded.log.format != self.loaded.log.format {
            restart.push("log.format".to_owned());
        }
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        if restart.is_empty() {
            tracing::info!(changed = changed.join(", "), "reloaded");
        } else {
            let needs_restart = restart.join(", ");
            tracing::info!(changed = changed.join(", "), needs_restart, "reloaded");
        }
        if let Some(server) = &desk.server {
            apply_admin(server, &loaded.config);
        }
        let told = (loaded.effective.clone(), loaded.log.level.as_str());
        let outcome = Reload {
            ok: true,
            changed: changed.clone(),
            needs_restart: restart.clone(),
            ..because(reason)
        };
        desk.house.reloaded(outcome, Some(told));
        self.loaded = loaded;
        let notes = restart
            .into_iter()
            .map(|path| format!("{path} holds after a restart"));
        Ok(match changed.len() {
            0 => done("reloaded; nothing has changed", notes.collect()),
            _ => done(format!("reloaded: {}", changed.join(", ")), notes.collect()),
        })
    }
}

fn because(reason: Reason) -> Reload {
    let reason = match reason {
        Reason::Asked => "signal",
        Reason::Told => "api",
        Reason::Saved => "saved",
    };
    Reload {
        reason: reason.to_owned(),
        ..Reload::default()
    }
}

/// Notes that nothing was changed, and why.
fn refused(desk: &Desk, reason: Reason, problems: Vec<String>) -> Refused {
    let what = problems.join("\n");
    let outcome = Reload {
        problems,
        ..because(reason)
    };
    desk.house.reloaded(outcome, None);
    Refused::Invalid {
        what,
        accepted: "a configuration that gimbal check can use; the old one goes on".to_owned(),
    }
}
