//! The proxy as the admin listener sees it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::recording::Recording;
use super::{Proxy, overview, portray};
use crate::admin::view::{
    Broker, Counts, Done, Filter, Listener, NameServer, Overview, RecordQuery, Reload, RouteQuery, Routes,
    Session, SessionQuery, Sessions, Status, Upstreams,
};
use crate::admin::{self, Action, Ending, Refused};
use crate::downstream::{self, Shared};
use crate::filter::folder::{InForce, SwitchError};
use crate::telemetry::Tail;
use crate::upstream::Role;

/// Readings of the configuration that are remembered.
const REMEMBERED: usize = 50;
/// Shown at a time where nobody says how many.
const SHOWN: usize = 100;
/// How long an action may take; a filter that is being compiled holds up the next change of the folder.
const PATIENCE: Duration = Duration::from_secs(30);

/// An action for whoever runs the process, and where its end is told.
#[derive(Debug)]
pub struct Order {
    /// What is to be done: a reload, a drain, another log level.
    pub action: Action,
    /// How it ended.
    pub reply: oneshot::Sender<Result<Done, Refused>>,
}

/// What whoever runs the process knows of it: the settings as they were read, and how reading them went.
#[derive(Debug)]
pub struct Chronicle {
    effective: Value,
    log_level: String,
    generation: u64,
    reloads: VecDeque<Reload>,
}

/// What the admin listener sees of a proxy; it holds nothing that keeps a session.
#[derive(Debug)]
pub struct House {
    shared: Arc<Shared>,
    listeners: Vec<Arc<downstream::Listener>>,
    filters: InForce,
    leaving: Arc<AtomicBool>,
    chronicle: Mutex<Chronicle>,
    orders: mpsc::Sender<Order>,
    started: SystemTime,
    began: Instant,
}

impl Proxy {
    /// This proxy for the admin listener, and the orders that come in there. `effective` are the settings in force.
    pub fn house(&self, effective: Value, log_level: &str) -> (Arc<House>, mpsc::Receiver<Order>) {
        let (orders, received) = mpsc::channel(4);
        let house = House {
            shared: Arc::clone(&self.shared),
            listeners: self.listeners.clone(),
            filters: self.filters.clone(),
            leaving: Arc::clone(&self.leaving),
            chronicle: Mutex::new(Chronicle {
                effective,
                log_level: log_level.to_owned(),
                generation: 0,
                reloads: VecDeque::new(),
            }),
            orders,
            started: SystemTime::now(),
            began: Instant::now(),
        };
        house.reloaded(
            Reload {
                reason: "start".to_owned(),
                ok: true,
                ..Reload::default()
            },
            None,
        );
        (Arc::new(house), received)
    }
}

impl House {
    fn chronicle(&self) -> MutexGuard<'_, Chronicle> {
        self.chronicle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a reading of the configuration ended; with the new settings and log level where they are in force.
    pub fn reloaded(&self, mut reload: Reload, now: Option<(Value, &str)>) {
        let mut chronicle = self.chronicle();
        if reload.ok {
            chronicle.generation = chronicle.generation.saturating_add(1);
        }
        if let Some((effective, log_level)) = now {
            chronicle.effective = effective;
            log_level.clone_into(&mut chronicle.log_level);
        }
        reload.time = portray::time(SystemTime::now());
        reload.generation = chronicle.generation;
        if chronicle.reloads.len() >= REMEMBERED {
            chronicle.reloads.pop_front();
        }
        chronicle.reloads.push_back(reload);
    }

    /// Another level is logged.
    pub fn logs_by(&self, level: &str) {
        level.clone_into(&mut self.chronicle().log_level);
    }

    fn is_required(&self, name: &str) -> bool {
        let config = self.shared.core.config.load();
        config.filters.required.iter().any(|required| required == name)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Hands an order to whoever runs the process.
    async fn order(orders: mpsc::Sender<Order>, action: Action) -> Result<Done, Refused> {
        let (reply, ended) = oneshot::channel();
        let gone =
            || Refused::Unavailable("this process takes no such orders, or is just leaving".to_owned());
        let asking = async {
            let sent = orders.send(Order { action, reply }).await;
            sent.map_err(|_closed| gone())?;
            ended.await.map_err(|_dropped| gone())?
        };
        let late =
            |_elapsed| Refused::Unavailable(format!("it was not done within {PATIENCE:?}, and may be later"));
        timeout(PATIENCE, asking).await.map_err(late)?
    }

    async fn switch(filters: InForce, name: String, is_on: bool) -> Result<Done, Refused> {
        let what = format!("filter {name}");
        let outcome = timeout(PATIENCE, filters.switch(&name, is_on)).await;
        match outcome {
            Err(_elapsed) => Err(Refused::Unavailable(format!(
                "{what} was not switched within {PATIENCE:?}"
            ))),
            Ok(Ok(())) if is_on => Ok(done(format!("{what} is in the chain"), Vec::new())),
            Ok(Ok(())) => {
                let note = "until it is enabled, its file or its settings are saved with other content, or the process starts again";
                Ok(done(format!("{what} is out of the chain"), vec![note.to_owned()]))
            }
            Ok(Err(SwitchError::Unknown(known))) => {
                let accepted = if known.is_empty() {
                    "nothing: there are no filters".to_owned()
                } else {
                    known.join(", ")
                };
                Err(Refused::Unknown {
                    what: format!("there is no filter {name:?}"),
                    accepted,
                })
            }
            Ok(Err(error @ SwitchError::Required)) => Err(Refused::Conflict {
                what: format!("{what}: {error}"),
                accepted: "a filter that filter.required does not name; or its removal from there first"
                    .to_owned(),
            }),
            Ok(Err(error @ SwitchError::NoFolder)) => Err(Refused::Conflict {
                what: error.to_string(),
                accepted: "a process with a folder of filters".to_owned(),
            }),
        }
    }
}

fn done(done: String, notes: Vec<String>) -> Done {
    Done { done, notes }
}

fn ms_since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl admin::House for House {
    fn status(&self) -> Status {
        let reasons = self.unready();
        let filters = self.filters.status();
        let chronicle = self.chronicle();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: portray::time(self.started),
            uptime_s: self.began.elapsed().as_secs(),
            pid: std::process::id(),
            ready: reasons.is_empty(),
            reasons,
            draining: self.is_leaving(),
            generation: chronicle.generation,
            chain_generation: self.filters.chain().generation(),
            log_level: chronicle.log_level.clone(),
            counts: Counts {
                listeners: self.listeners.len(),
                sessions: self.shared.sessions.len(),
                brokers: self.shared.core.directory.brokers().len(),
                nameservers: self.shared.core.config.load().nameservers.len(),
                routes: self.shared.core.directory.kept_routes().len(),
                filters: filters.len(),
                filters_in_trouble: filters.iter().filter(|filter| filter.trouble.is_some()).count(),
            },
            reloads: chronicle.reloads.iter().cloned().collect(),
        }
    }

    fn unready(&self) -> Vec<String> {
        let leaving = self.is_leaving().then(|| "draining".to_owned());
        let unheard = !self.shared.core.directory.has_heard();
        let unheard = unheard.then(|| "no name server has answered since the start".to_owned());
        leaving
            .into_iter()
            .chain(unheard)
            .chain(self.filters.unready())
            .collect()
    }

    fn listeners(&self) -> Vec<Listener> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for portrait in self.shared.core.sessions.portraits() {
            let count = counts.entry(portrait.listener).or_default();
            *count = count.saturating_add(1);
        }
        let count = |name: &str| counts.get(name).copied().unwrap_or_default();
        let listeners = self.listeners.iter();
        listeners
            .map(|listener| portray::listener(listener, count(&listener.settings().name)))
            .collect()
    }

    fn sessions(&self, query: &SessionQuery) -> Sessions {
        let text = query.q.as_deref().unwrap_or_default().to_lowercase();
        let mut total = 0_usize;
        let all = self.shared.core.sessions.portraits().map(portray::session);
        let counted = all.inspect(|_| total = total.saturating_add(1));
        let mut sessions: Vec<Session> = counted
            .filter(|session| text.is_empty() || portray::is_about(session, &text))
            .collect();
        match query.sort.as_deref() {
            Some("rate") => sessions.sort_by(|a, b| b.requests_per_s.total_cmp(&a.requests_per_s)),
            Some("client") => sessions.sort_by(|a, b| a.client.cmp(&b.client)),
            _ => {}
        }
        let (matched, offset) = (sessions.len(), query.offset.unwrap_or_default());
        let limit = query.limit.unwrap_or(SHOWN);
        Sessions {
            total,
            matched,
            offset,
            sessions: sessions.into_iter().skip(offset).take(limit).collect(),
        }
    }

    fn session(&self, number: u64) -> Option<Session> {
        self.shared.core.sessions.portrait(number).map(portray::session)
    }

    fn upstreams(&self) -> Upstreams {
        let core = &self.shared.core;
        let health = core.dialler.health().snapshot();
        let mut links: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (broker, open) in core.sessions.portraits().flat_map(|portrait| portrait.brokers) {
            let (count, in_flight) = links.entry(broker).or_default();
            *count = count.saturating_add(1);
            *in_flight = in_flight.saturating_add(open);
        }
        let brokers = core.directory.broker_data().into_iter().map(|data| {
            let (links, in_flight) = links.get(&data.name).copied().unwrap_or_default();
            Broker {
                health: health
                    .iter()
                    .filter(|peer| peer.role == Role::Broker && peer.name == data.name)
                    .map(portray::health)
                    .collect(),
                name: data.name,
                cluster: data.cluster,
                addresses: data.addresses,
                links,
                in_flight,
            }
        });
        let mut brokers: Vec<Broker> = brokers.collect();
        brokers.sort_by(|a, b| a.name.cmp(&b.name));
        let nameservers = core.config.load().nameservers.clone().into_iter();
        let nameservers = nameservers.map(|address| NameServer {
            health: health
                .iter()
                .find(|peer| peer.role == Role::NameServer && peer.name == address)
                .map(portray::health),
            address,
        });
        Upstreams {
            nameservers: nameservers.collect(),
            brokers,
        }
    }

    fn routes(&self, query: &RouteQuery) -> Routes {
        let text = query.q.as_deref().unwrap_or_default().to_lowercase();
        let mut kept = self.shared.core.directory.kept_routes();
        let total = kept.len();
        kept.retain(|(topic, ..)| topic.to_lowercase().contains(&text));
        kept.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let shown = kept.into_iter().take(query.limit.unwrap_or(SHOWN));
        let routes = shown.map(|(topic, route, age)| portray::route(topic, &route, age.as_secs()));
        Routes {
            total,
            routes: routes.collect(),
        }
    }

    fn filters(&self) -> Vec<Filter> {
        let filters = self.filters.status().into_iter();
        filters
            .map(|status| {
                let is_required = self.is_required(&status.name);
                portray::filter(status, is_required)
            })
            .collect()
    }

    fn config(&self) -> Value {
        self.chronicle().effective.clone()
    }

    fn overview(&self) -> Overview {
        let registry = &self.shared.core.sessions;
        let (mut in_flight, mut sessions) = (0_usize, 0_usize);
        for portrait in registry.portraits() {
            in_flight = in_flight.saturating_add(portrait.in_flight);
            sessions = sessions.saturating_add(1);
        }
        let mut overview = Overview {
            time_ms: ms_since_1970(SystemTime::now()),
            started_ms: ms_since_1970(self.started),
            sessions,
            in_flight,
            ..Overview::default()
        };
        overview::fill(&mut overview, &self.shared.core.observers.metrics);
        overview
    }

    fn metrics(&self) -> String {
        self.shared.core.observers.metrics.text()
    }

    fn tail(&self) -> Tail {
        self.shared.core.observers.tail.clone()
    }

    fn record(&self, query: &RecordQuery) -> Result<admin::Recording, Refused> {
        let recording = Recording::begin(&self.shared.core.tap, query)?;
        Ok(Box::pin(recording))
    }

    fn act(&self, action: Action) -> Ending {
        match action {
            Action::Enable(name) => Box::pin(Self::switch(self.filters.clone(), name, true)),
            Action::Disable(name) => Box::pin(Self::switch(self.filters.clone(), name, false)),
            Action::Drain if self.is_leaving() => Box::pin(std::future::ready(Err(Refused::Conflict {
                what: "it is draining already".to_owned(),
                accepted: "patience".to_owned(),
            }))),
            other => Box::pin(Self::order(self.orders.clone(), other)),
        }
    }
}
