//! The six shipped filters, as they are committed, before the stand-in for RocketMQ: what clients see of them.

mod acl;
mod chaos;
mod guard;
mod rate_limit;
mod redact;
mod rewrite;
mod tenants;
mod together;

use std::path::Path;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use gimbal::config::Config;
use gimbal::dev::{Cluster, Options};
use gimbal::filter::folder::{Counts, Serving};
use gimbal::protocol::body::{Properties, StoredMessage};
use gimbal::protocol::{Code, FLAG_ONEWAY, request as rq, response};
use gimbal::proxy::Proxy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::support::{Client, Gimbal, NameServer, Received, Speaks};

/// Far above what anything here takes on a busy machine; compiling a guest takes seconds without optimisation.
const PATIENCE: Duration = Duration::from_mins(1);
/// For calls of filters in this build, which has no optimisation, on a busy machine.
const BUDGET: Duration = Duration::from_secs(1);
/// The topic of most tests.
const TOPIC: &str = "orders";

/// A cluster in memory, and a proxy before it with filters in its folder.
struct House {
    cluster: Cluster,
    proxy: Proxy,
    folder: TempDir,
}

impl House {
    /// With these filters: the file's name without its ending, and the sidecar.
    async fn with(filters: &[(&str, &str)]) -> Self {
        Self::set(filters, |_| {}).await
    }

    /// The same with other settings of the proxy.
    async fn set(filters: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, sidecar) in filters {
            let name = gimbal::filter::folder::name_of(file);
            put(folder.path(), &format!("{file}.wasm"), &shipped(name));
            put(folder.path(), &format!("{file}.toml"), sidecar.as_bytes());
        }
        Self::over(folder, change).await
    }

    /// With whatever is in this folder, all of which must serve.
    async fn over(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let options = Options {
            check_interval: Duration::from_millis(200),
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        let ns = NameServer::start().await;
        let mut config = Gimbal::before(&[&ns]).config;
        config.nameservers = vec![cluster.nameserver().to_string()];
        config.filters.folder = Some(folder.path().to_owned());
        // Every test loads the same six artefacts: one compiles, the others find it done.
        config.filters.compiled = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        config.filters.budget.time = BUDGET;
        change(&mut config);
        let proxy = Proxy::start(config).await.unwrap();
        for status in proxy.filters().status() {
            let expected = if status.mode == "off" {
                Serving::Nothing
            } else {
                Serving::Current
            };
            assert_eq!(status.serving, expected, "{status:#?}");
        }
        Self {
            cluster,
            proxy,
            folder,
        }
    }

    /// Another sidecar; it is in force on return.
    async fn change(&self, file: &str, sidecar: &str) {
        let mut generations = self.proxy.filters().generations();
        let before = *generations.borrow();
        put(self.folder.path(), &format!("{file}.toml"), sidecar.as_bytes());
        let next = timeout(PATIENCE, generations.wait_for(|now| *now > before)).await;
        next.unwrap_or_else(|_late| panic!("{file} is in force: {:#?}", self.proxy.filters().status()))
            .unwrap();
    }

    /// A client of the proxy.
    async fn client(&self) -> Client {
        self.client_of(0).await
    }

    /// A client of the listener at this place.
    async fn client_of(&self, listener: usize) -> Client {
        Client::connect(self.proxy.addresses()[listener].1, Speaks::NAMED).await
    }

    /// A client of the broker, with nothing in between.
    async fn behind(&self) -> Client {
        Client::connect(self.cluster.brokers()[0], Speaks::NAMED).await
    }

    /// What a filter did so far.
    fn counts(&self, name: &str) -> Counts {
        let mut all = self.proxy.filters().status().into_iter();
        all.find(|status| status.name == name).unwrap().counters
    }
}

/// The committed artefact of a filter.
fn shipped(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("filters/{name}/{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Puts a file there as installers do: written beside, then moved.
fn put(folder: &Path, file: &str, bytes: &[u8]) {
    let beside = folder.join(format!(".{file}.new"));
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, folder.join(file)).unwrap();
}

/// Asks again and again until an answer is as wanted; the last one.
async fn until(
    client: &mut Client,
    (code, fields): (Code, &[(&str, &str)]),
    wanted: impl Fn(&Received) -> bool,
) -> Received {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = client.call(code, fields).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "never as wanted: {:?}", answer.command);
        tokio::task::yield_now().await;
    }
}

/// Sends a request with a body; its answer.
async fn call(
    client: &mut Client,
    code: Code,
    fields: &[(&str, &str)],
    body: impl Into<Bytes> + Send,
) -> Received {
    let command = client.command(code, fields).with_body(body);
    client.peer.put(&command).await;
    client.answer(command.opaque).await
}

/// Sends a one-way command with a body.
async fn tell(client: &mut Client, code: Code, fields: &[(&str, &str)], body: impl Into<Bytes> + Send) {
    let mut command = client.command(code, fields).with_body(body);
    command.flag |= FLAG_ONEWAY;
    client.peer.put(&command).await;
}

/// Fields of a send with short names: codes 310, 320 and 325.
fn send_fields<'a>(topic: &'a str, properties: &'a str) -> [(&'a str, &'a str); 11] {
    [
        ("a", "shop"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", "1700000000000"),
        ("h", "0"),
        ("i", properties),
        ("m", "false"),
        ("n", "broker-a"),
    ]
}

/// Sends one message to queue 0; its answer.
async fn send(client: &mut Client, topic: &str, properties: &str, body: &str) -> Received {
    let fields = send_fields(topic, properties);
    call(client, rq::SEND_MESSAGE_V2, &fields, body.to_owned()).await
}

/// The fields of a batch, and its body.
fn batch<'a>(topic: &'a str, bodies: &[&str]) -> ([(&'a str, &'a str); 11], Bytes) {
    let mut fields = send_fields(topic, "");
    fields[9].1 = "true";
    let mut items = BytesMut::new();
    for body in bodies {
        items.put_u32(u32::try_from(22 + body.len()).unwrap());
        items.put_bytes(0, 12);
        items.put_u32(u32::try_from(body.len()).unwrap());
        items.put_slice(body.as_bytes());
        items.put_u16(0);
    }
    (fields, items.freeze())
}

/// Fields of a pull from queue 0 that brings its own subscription and does not wait.
fn pull_fields<'a>(topic: &'a str, group: &'a str, offset: &'a str) -> [(&'a str, &'a str); 12] {
    [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", "4"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "15000"),
        ("subscription", "*"),
        ("subVersion", "0"),
        ("expressionType", "TAG"),
        ("bname", "broker-a"),
    ]
}

/// Pulls queue 0 from its beginning.
async fn pull(client: &mut Client, topic: &str, group: &str) -> Received {
    let fields = pull_fields(topic, group, "0");
    client.call(rq::PULL_MESSAGE, &fields).await
}

/// Fields of a pop that does not wait.
fn pop_fields<'a>(topic: &'a str, group: &'a str) -> [(&'a str, &'a str); 10] {
    [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", "0"),
        ("maxMsgNums", "32"),
        ("invisibleTime", "60000"),
        ("pollTime", "0"),
        ("bornTime", "0"),
        ("initMode", "0"),
        ("order", "false"),
        ("bname", "broker-a"),
    ]
}

/// A heartbeat of these consumer groups, each with the topic it subscribes to; its answer.
async fn beat(client: &mut Client, id: &str, groups: &[(&str, &str)]) -> Received {
    let consumers: Vec<Value> = groups
        .iter()
        .map(|(group, topic)| {
            json!({
                "groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": false,
                "subscriptionDataSet": [{"topic": topic, "subString": "*", "subVersion": 1, "expressionType": "TAG"}],
            })
        })
        .collect();
    let body = json!({
        "clientID": id, "consumerDataSet": consumers, "producerDataSet": [{"groupName": "shop"}],
        "heartbeatFingerprint": 0, "withoutSub": false,
    });
    call(client, rq::HEART_BEAT, &[], body.to_string()).await
}

/// The members of a group as the answer lists them; none when there is no such group.
fn members(answer: &Received) -> Vec<String> {
    if answer.head.code != response::SUCCESS {
        return Vec::new();
    }
    let body: Value = serde_json::from_slice(&answer.command.body).unwrap();
    let ids = body["consumerIdList"].as_array().unwrap();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// The messages in an answer.
fn messages(answer: &Received) -> Vec<StoredMessage> {
    StoredMessage::decode_all(&answer.command.body).unwrap()
}

/// The bodies of the messages in an answer.
fn bodies(answer: &Received) -> Vec<String> {
    let text = |message: &StoredMessage| String::from_utf8(message.body().to_vec()).unwrap();
    messages(answer).iter().map(text).collect()
}

/// Properties as they travel.
fn properties(pairs: &[(&str, &str)]) -> String {
    let mut properties = Properties::new("");
    for (name, value) in pairs {
        properties.set(name, value).unwrap();
    }
    properties.as_str().to_owned()
}

/// The remark of an answer.
fn remark(answer: &Received) -> String {
    let remark = answer.command.remark.as_ref();
    remark.map_or_else(String::new, |remark| remark.as_str().to_owned())
}

/// The request was refused with this code and a remark with this in it.
#[track_caller]
fn assert_refused(answer: &Received, code: Code, part: &str) {
    assert_eq!(answer.head.code, code, "{:?}", answer.command);
    let remark = remark(answer);
    assert!(remark.contains(part), "`{part}` in `{remark}`");
}

/// The request was carried out.
#[track_caller]
fn assert_done(answer: &Received) {
    assert_eq!(answer.head.code, response::SUCCESS, "{:?}", answer.command);
}
