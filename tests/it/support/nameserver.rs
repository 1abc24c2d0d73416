//! A name server that answers routes and the broker table as the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gimbal::protocol::{Command, request, response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::peer::{Broker, Peer, Received};

#[derive(Debug, Default)]
struct Known {
    routes: BTreeMap<String, String>,
    table: BTreeMap<String, Value>,
    asked: Vec<Received>,
}

/// A name server.
#[derive(Debug)]
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    known: Arc<Mutex<Known>>,
    speaks: watch::Sender<bool>,
    /// Changes when every connection is to be closed.
    cut: watch::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        Self::start_under(None).await
    }

    /// The same under TLS.
    pub(crate) async fn start_under(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let known = Arc::new(Mutex::new(Known::default()));
        let (speaks, listening) = watch::channel(true);
        let (cut, is_cut) = watch::channel(());
        let shared = Arc::clone(&known);
        let task = tokio::spawn(async move {
            let mut links = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Peer::new(stream, "name server");
                let mut is_cut = is_cut.clone();
                is_cut.mark_unchanged();
                let (tls, shared, listening) = (tls.clone(), Arc::clone(&shared), listening.clone());
                links.spawn(async move {
                    let peer = match tls {
                        None => peer,
                        Some(tls) => match peer.under_tls(&tls).await {
                            Ok(peer) => peer,
                            Err(_refused) => return,
                        },
                    };
                    tokio::select! {
                        () = serve(peer, shared, listening) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            known,
            speaks,
            cut,
            task,
        }
    }

    /// A name server that knows these brokers, and one topic `T` on all of them.
    pub(crate) async fn knowing(brokers: &[&Broker]) -> Self {
        let this = Self::start().await;
        this.topic("T", brokers);
        this
    }

    /// Registers a topic on these brokers' masters, four queues each; the brokers are in the table from now on.
    pub(crate) fn topic(&self, topic: &str, brokers: &[&Broker]) {
        let datas: Vec<Value> = brokers
            .iter()
            .map(|broker| broker_data(&broker.name, &[(0, broker.address)]))
            .collect();
        let queues: Vec<Value> = brokers
            .iter()
            .map(|broker| {
                json!({"brokerName": broker.name, "perm": 6, "readQueueNums": 4, "topicSysFlag": 0, "writeQueueNums": 4})
            })
            .collect();
        for (broker, data) in brokers.iter().zip(&datas) {
            self.set_broker(&broker.name, data.clone());
        }
        self.route(
            topic,
            &json!({"brokerDatas": datas, "filterServerTable": {}, "queueDatas": queues}).to_string(),
        );
    }

    /// The route of a topic, word for word.
    pub(crate) fn route(&self, topic: &str, body: &str) {
        let mut known = self.known.lock().unwrap();
        known.routes.insert(topic.to_owned(), body.to_owned());
    }

    /// A broker's instances in the table of brokers, by id.
    pub(crate) fn broker(&self, name: &str, instances: &[(u64, SocketAddr)]) {
        self.set_broker(name, broker_data(name, instances));
    }

    /// A broker in the table whose master has this address, word for word.
    pub(crate) fn broker_at(&self, name: &str, address: &str) {
        let mut data = broker_data(name, &[]);
        data["brokerAddrs"]["0"] = json!(address);
        self.set_broker(name, data);
    }

    fn set_broker(&self, name: &str, data: Value) {
        self.known.lock().unwrap().table.insert(name.to_owned(), data);
    }

    /// Forgets a broker: it has gone for good.
    pub(crate) fn retire(&self, name: &str) {
        self.known.lock().unwrap().table.remove(name);
    }

    /// Takes requests from now on without answering any.
    pub(crate) fn hush(&self) {
        self.speaks.send_replace(false);
    }

    /// Answers again, also what came meanwhile.
    pub(crate) fn speak(&self) {
        self.speaks.send_replace(true);
    }

    /// Closes every connection; new ones are taken.
    pub(crate) fn drop_links(&self) {
        self.cut.send_replace(());
    }

    /// How often the route of this topic was asked for.
    pub(crate) fn asked_for(&self, topic: &str) -> usize {
        let known = self.known.lock().unwrap();
        let about = |asked: &&Received| {
            asked.head.code == request::GET_ROUTEINFO_BY_TOPIC && asked.field("topic") == Some(topic)
        };
        known.asked.iter().filter(about).count()
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Received> {
        self.known.lock().unwrap().asked.clone()
    }

    /// Closes its address and every connection.
    pub(crate) async fn stop(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

pub(crate) fn broker_data(name: &str, instances: &[(u64, SocketAddr)]) -> Value {
    let addresses: serde_json::Map<String, Value> = instances
        .iter()
        .map(|(id, address)| (id.to_string(), Value::String(address.to_string())))
        .collect();
    json!({"brokerAddrs": addresses, "brokerName": name, "cluster": "C", "enableActingMaster": false})
}

async fn serve(mut peer: Peer, known: Arc<Mutex<Known>>, mut speaks: watch::Receiver<bool>) {
    while let Some(asked) = peer.next_or_end().await {
        known.lock().unwrap().asked.push(asked.clone());
        if speaks.wait_for(|speaks| *speaks).await.is_err() {
            return;
        }
        let answer = answer(&asked, &known);
        peer.answer_with(&asked, answer).await;
    }
}

fn answer(asked: &Received, known: &Mutex<Known>) -> Command {
    let known = known.lock().unwrap();
    let with = |code| Command::answer(&asked.head, asked.frame.kind(), code);
    match asked.head.code {
        request::GET_ROUTEINFO_BY_TOPIC => {
            let topic = asked.field("topic").unwrap_or_default();
            match known.routes.get(topic) {
                Some(body) => with(response::SUCCESS).with_body(body.clone()),
                None => with(response::TOPIC_NOT_EXIST).with_remark(format!(
                    "No topic route info in name server for the topic: {topic}"
                )),
            }
        }
        request::GET_BROKER_CLUSTER_INFO => {
            let names: Vec<&String> = known.table.keys().collect();
            let body = json!({"brokerAddrTable": known.table, "clusterAddrTable": {"C": names}});
            with(response::SUCCESS).with_body(body.to_string())
        }
        _ => with(response::SUCCESS),
    }
}
