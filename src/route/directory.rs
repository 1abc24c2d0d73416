//! What the name servers know, as far as this proxy has asked: topic routes, and broker addresses by name.
//!
//! One lookup at a time per question: who asks while it runs waits for the same answer. All lookups run on the runtime
//! that made the directory, so they outlive the session that asked first.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as TurnMutex, watch};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::table::{BrokerAddress, Table};
use crate::auth::Credentials;
use crate::protocol::body::{BrokerData, ClusterInfo, TopicRoute};
use crate::protocol::request as rq;
use crate::protocol::{Command, response};
use crate::upstream::{NameServerError, NameServers};

/// A route older than this is asked for again before it decides anything.
const ROUTE_AGE: Duration = Duration::from_secs(20);
/// How often the table of brokers is asked for while anybody uses it, so that a new master is found soon.
const TABLE_INTERVAL: Duration = Duration::from_secs(5);

/// Clients give up on a route after 3 s; before that the last known one is better than none.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);
/// A broker just found missing does not make the table be asked for again within this time, however many miss it.
const REFRESH_PAUSE: Duration = Duration::from_millis(200);
/// While somebody makes up names of brokers, a table of this age serves to refuse them.
const MADE_UP_PAUSE: Duration = Duration::from_secs(1);

/// One answer of a name server to a route question.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The answer as it came.
    pub answer: Command,
    /// The route in it, when there is one.
    pub route: Option<Arc<TopicRoute>>,
}

/// Why something is not known.
#[derive(Debug, Clone)]
pub enum LookupError {
    /// No name server answered.
    NameServers(NameServerError),
    /// None answered in time.
    Late,
    /// They answered, and do not know it.
    Unknown,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameServers(error) => error.fmt(f),
            Self::Late => f.write_str("no name server answered in time"),
            Self::Unknown => f.write_str("no name server knows it"),
        }
    }
}

impl std::error::Error for LookupError {}

/// What identifies a route question: the topic and every other field that changes the answer.
type Question = Vec<(String, String)>;
type Answer = Result<Lookup, LookupError>;
type Flight = watch::Receiver<Option<Answer>>;

/// The shared table. All methods are quick; the `async` ones wait for name servers, a few seconds at most.
#[derive(Debug)]
pub struct Directory {
    nameservers: NameServers,
    /// Signs what is asked here, where there is a key for it.
    credentials: ArcSwapOption<Credentials>,
    runtime: Handle,
    table: Mutex<Table>,
    flights: Mutex<HashMap<Question, Flight>>,
    /// Counts changes of broker addresses, so that sessions notice with one load.
    generation: AtomicU64,
    /// What [`Directory::broker_version`] gives.
    broker_version: AtomicI32,
    table_wanted: AtomicBool,
    /// When the last question for the table began; held while asking, so that one asks for all.
    refreshed: TurnMutex<Option<Instant>>,
    unreachable: AtomicBool,
    /// A name server has answered at least once.
    heard: AtomicBool,
    /// Brokers being asked about because they could not be reached.
    suspects: Mutex<HashSet<String>>,
    /// Routes wanted on the data path that were kept and young, and that were not.
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Directory {
    /// An empty directory that asks these name servers; lookups run on `runtime`.
    pub fn new(nameservers: NameServers, runtime: Handle) -> Self {
        Self {
            nameservers,
            credentials: ArcSwapOption::empty(),
            runtime,
            table: Mutex::default(),
            flights: Mutex::default(),
            generation: AtomicU64::new(1),
            broker_version: AtomicI32::new(0),
            table_wanted: AtomicBool::new(false),
            refreshed: TurnMutex::new(None),
            unreachable: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            suspects: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Replaces the name servers' addresses.
    pub fn set_nameservers(&self, addresses: Vec<String>) {
        self.nameservers.set_addresses(addresses);
    }

    /// Replaces the key that signs questions of Gimbal's own: those for routes and for the table of brokers.
    pub fn set_credentials(&self, credentials: Option<Arc<Credentials>>) {
        self.credentials.store(credentials);
    }

    /// Signs a request of Gimbal's own where there is a key for it.
    fn sign(&self, request: &mut Command) {
        if let Some(credentials) = &*self.credentials.load() {
            credentials.sign_own(request);
        }
    }

    /// Changes whenever the address of any broker does.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Where the broker of this name is, as far as known.
    pub fn address(&self, broker: &str) -> Option<BrokerAddress> {
        self.table_wanted.store(true, Ordering::Relaxed);
        self.table().address(broker)
    }

    /// Whether the broker of this name is known, reachable or not.
    pub fn knows(&self, broker: &str) -> bool {
        self.table().brokers.contains_key(broker)
    }

    /// Whether a topic of this name belongs to a broker or a cluster: every broker registers both.
    pub fn is_own_topic(&self, topic: &str) -> bool {
        let table = self.table();
        table.brokers.contains_key(topic) || table.brokers.values().any(|broker| broker.cluster == topic)
    }

    /// The names of all brokers known.
    pub fn brokers(&self) -> Vec<String> {
        self.table().brokers.keys().cloned().collect()
    }

    /// The only broker of the cluster, once the whole table has been heard: one that happens to be the only one asked
    /// about is not the only one there is.
    pub fn only_broker(&self) -> Option<String> {
        self.table_wanted.store(true, Ordering::Relaxed);
        let table = self.table();
        let mut names = table.brokers.keys().filter(|_| table.is_whole);
        names.next().filter(|_| names.next().is_none()).cloned()
    }

    /// Where the broker of this name is, asking the name servers when it is not known. A name that nobody knew is not
    /// asked for again for a moment, and while there are many such, one question for the table serves them all.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lookup running for others.
    pub async fn resolve(self: &Arc<Self>, broker: &str) -> Result<BrokerAddress, LookupError> {
        if let Some(address) = self.address(broker) {
            return Ok(address);
        }
        let now = Instant::now();
        let (is_unknown, are_made_up) = {
            let table = self.table();
            (table.is_unknown(broker, now), table.are_made_up(now))
        };
        if is_unknown {
            return Err(LookupError::Unknown);
        }
        if are_made_up {
            self.refresh_table(now.checked_sub(MADE_UP_PAUSE).unwrap_or(now))
                .await?;
        } else {
            // Every broker registers a topic of its own name, unless it was told not to.
            if let Err(error @ LookupError::NameServers(_)) = self.topic(broker, Duration::ZERO).await {
                return Err(error);
            }
            if self.address(broker).is_none() {
                self.refresh_table(Instant::now()).await?;
            }
        }
        self.address(broker).ok_or_else(|| {
            self.table().note_unknown(broker, Instant::now());
            LookupError::Unknown
        })
    }

    /// The broker could not be reached, or has no master: asks where it is now, in the background, and not again within
    /// a moment.
    pub fn suspect(self: &Arc<Self>, broker: &str) {
        let (this, broker) = (Arc::clone(self), broker.to_owned());
        if !self.suspects().insert(broker.clone()) {
            return;
        }
        self.runtime.spawn(async move {
            // A failed lookup leaves the table as it is; the next command asks again.
            drop(this.refresh_table_soon().await);
            drop(this.topic(&broker, Duration::ZERO).await);
            tokio::time::sleep(REFRESH_PAUSE).await;
            this.suspects().remove(&broker);
        });
    }

    fn suspects(&self) -> MutexGuard<'_, HashSet<String>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The route of a topic if it is known and not old.
    pub fn cached(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        let table = self.table();
        let young = table
            .route(topic)
            .filter(|(_, asked)| asked.elapsed() < ROUTE_AGE);
        let counter = if young.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        young.map(|(route, _)| Arc::clone(route))
    }

    /// Routes kept, and how often one was kept and young, or was not, when the data path wanted it.
    pub fn cache_counts(&self) -> (usize, u64, u64) {
        let kept = self.table().routes().len();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (kept, read(&self.hits), read(&self.misses))
    }

    /// The route of a topic as last heard, however old.
    pub fn known(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        self.table().route(topic).map(|(route, _)| Arc::clone(route))
    }

    /// The route of a topic, asked for when it is older than `age` or not known.
    pub async fn topic(self: &Arc<Self>, topic: &str, age: Duration) -> Result<Arc<TopicRoute>, LookupError> {
        let known = {
            let table = self.table();
            table
                .route(topic)
                .filter(|(_, asked)| asked.elapsed() < age)
                .map(|(route, _)| Arc::clone(route))
        };
        if let Some(route) = known {
            return Ok(route);
        }
        let question = vec![("topic".to_owned(), topic.to_owned())];
        self.lookup(question).await?.route.ok_or(LookupError::Unknown)
    }

    /// The route of a topic for deciding where something goes; see [`Directory::cached`].
    pub async fn recent_topic(self: &Arc<Self>, topic: &str) -> Result<Arc<TopicRoute>, LookupError> {
        self.topic(topic, ROUTE_AGE).await
    }

    /// Asks a route question with these fields. When no name server answers, or not in time, the last known route
    /// serves.
    pub async fn lookup(self: &Arc<Self>, question: Question) -> Result<Lookup, LookupError> {
        let topic = topic_of(&question).to_owned();
        let mut flight = self.board(question);
        let Ok(landed) = timeout(LOOKUP_LIMIT, flight.wait_for(Option::is_some)).await else {
            return self.last_known(&topic).ok_or(LookupError::Late);
        };
        let answer = landed.map(|answer| answer.clone());
        answer.ok().flatten().unwrap_or(Err(LookupError::Unknown))
    }

    /// Sends a request to one name server, or to every one, as it is.
    pub async fn ask(self: &Arc<Self>, command: Command, every: bool) -> Result<Command, LookupError> {
        let this = Arc::clone(self);
        let asked = self.runtime.spawn(async move {
            if every {
                this.nameservers.call_every(&command).await
            } else {
                this.nameservers.call(&command).await
            }
        });
        asked
            .await
            .map_err(|_cancelled| LookupError::Unknown)?
            .map_err(LookupError::NameServers)
    }

    /// The table of all brokers; also kept for [`Directory::address`].
    pub async fn cluster(self: &Arc<Self>) -> Result<(Command, ClusterInfo), LookupError> {
        let mut request = Command::request(rq::GET_BROKER_CLUSTER_INFO, 0);
        request.ext = Some(Vec::new());
        self.sign(&mut request);
        let answer = self.ask(request, false).await?;
        let cluster = ClusterInfo::decode(&answer.body).map_err(|_body| LookupError::Unknown)?;
        self.learn_table(cluster.brokers());
        Ok((answer, cluster))
    }

    /// Asks for the table of brokers, unless somebody has begun to after `since`.
    async fn refresh_table(self: &Arc<Self>, since: Instant) -> Result<(), LookupError> {
        let mut last = self.refreshed.lock().await;
        let now = Instant::now();
        if last.is_some_and(|began| began >= since) {
            return Ok(());
        }
        let outcome = self.cluster().await.map(|_| ());
        *last = Some(now);
        outcome
    }

    /// As [`Directory::refresh_table`], for those whom a table of a moment ago serves as well.
    async fn refresh_table_soon(self: &Arc<Self>) -> Result<(), LookupError> {
        let now = Instant::now();
        self.refresh_table(now.checked_sub(REFRESH_PAUSE).unwrap_or(now))
            .await
    }

    /// Keeps the table of brokers fresh while it is used. Runs until dropped.
    pub async fn keep_fresh(self: Arc<Self>) {
        while let Err(LookupError::NameServers(_) | LookupError::Late) = self.refresh_table_soon().await {
            if self.has_heard() {
                break;
            }
            // Nobody may be sent here before one has answered, so nobody else would ask.
            tokio::time::sleep(REFRESH_PAUSE).await;
        }
        self.heard.store(true, Ordering::Relaxed);
        loop {
            tokio::time::sleep(TABLE_INTERVAL).await;
            if self.table_wanted.swap(false, Ordering::Relaxed) {
                let outcome = self.refresh_table_soon().await;
                self.report(outcome.as_ref().err());
            }
        }
    }

    /// Says once when the name servers go and once when they are back.
    fn report(&self, error: Option<&LookupError>) {
        if let Some(LookupError::NameServers(error)) = error {
            if !self.unreachable.swap(true, Ordering::Relaxed) {
                warn!(%error, "name servers do not answer; going on with what is known");
            }
            return;
        }
        if !matches!(error, Some(LookupError::Late)) {
            self.heard.store(true, Ordering::Relaxed);
        }
        if self.unreachable.swap(false, Ordering::Relaxed) {
            info!("name servers answer again");
        }
    }

    /// Whether a name server has answered since the start.
    pub fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// What is known of every broker.
    pub fn broker_data(&self) -> Vec<BrokerData> {
        self.table().brokers.values().cloned().collect()
    }

    /// Every route kept, with its age.
    pub fn kept_routes(&self) -> Vec<(String, Arc<TopicRoute>, Duration)> {
        let table = self.table();
        table
            .routes()
            .map(|(topic, (route, asked))| (topic.clone(), Arc::clone(route), asked.elapsed()))
            .collect()
    }

    /// The version that brokers answered a heartbeat with last, the lowest of several; for heartbeats that no broker is
    /// asked about. 0 before the first.
    pub fn broker_version(&self) -> i32 {
        self.broker_version.load(Ordering::Relaxed)
    }

    /// A broker answered a heartbeat with this version.
    pub fn saw_broker_version(&self, version: i32) {
        self.broker_version.store(version, Ordering::Relaxed);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the lookup of this question, starting it when nobody has.
    fn board(self: &Arc<Self>, question: Question) -> Flight {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&question) {
            return flight.clone();
        }
        let (sender, flight) = watch::channel(None);
        flights.insert(question.clone(), flight.clone());
        let this = Arc::clone(self);
        self.runtime.spawn(async move {
            let answer = this.fly(&question).await;
            this.flights
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&question);
            sender.send_replace(Some(answer));
        });
        flight
    }

    async fn fly(&self, question: &Question) -> Answer {
        let topic = topic_of(question);
        let mut request = Command::request(rq::GET_ROUTEINFO_BY_TOPIC, 0);
        for (name, value) in question {
            request.set_field(name, value.as_str());
        }
        request.set_field("acceptStandardJsonOnly", "true");
        self.sign(&mut request);
        let outcome = self
            .nameservers
            .call(&request)
            .await
            .map_err(LookupError::NameServers);
        self.report(outcome.as_ref().err());
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return self.last_known(topic).ok_or(error),
        };
        if answer.code != response::SUCCESS {
            if answer.code == response::TOPIC_NOT_EXIST {
                self.table().forget_route(topic);
            } else if let Some(known) = self.last_known(topic) {
                return Ok(known);
            }
            return Ok(Lookup { answer, route: None });
        }
        let route = TopicRoute::decode(&answer.body).map_err(|_body| LookupError::Unknown)?;
        let route = Arc::new(route);
        // A question with more fields than the topic may have thinned the route: good for its asker only.
        if question.len() == 1 {
            self.learn(topic, &route);
        }
        Ok(Lookup {
            answer,
            route: Some(route),
        })
    }

    fn last_known(&self, topic: &str) -> Option<Lookup> {
        let route = Arc::clone(self.table().route(topic)?.0);
        let mut answer = Command::request(response::SUCCESS, 0);
        answer.flag = crate::protocol::FLAG_RESPONSE;
        Some(Lookup {
            answer,
            route: Some(route),
        })
    }

    fn learn(&self, topic: &str, route: &Arc<TopicRoute>) {
        let changed = self.table().learn_route(topic, route, Instant::now());
        self.note_change(changed);
    }

    fn learn_table(&self, brokers: Vec<BrokerData>) {
        let changed = self.table().learn_all(brokers, Instant::now());
        self.note_change(changed);
    }

    fn note_change(&self, changed: bool) {
        if changed {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}

fn topic_of(question: &[(String, String)]) -> &str {
    let topic = question.iter().find(|(name, _)| name == "topic");
    topic.map_or("", |(_, topic)| topic)
}
