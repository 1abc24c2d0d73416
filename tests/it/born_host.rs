//! The client's address in the messages it sends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gimbal::auth::Credentials;
use gimbal::protocol::body::Properties;
use gimbal::protocol::{Code, Command, request as rq, response};

use crate::support::{Broker, Client, Gimbal, NameServer, Peer, Received, Running, Speaks};

const KEYS: &str = "[[key]]\naccess_key = 'alice'\nsecret_key = 'secret-of-alice'";

fn keys() -> Arc<Credentials> {
    Arc::new(Credentials::parse(KEYS).unwrap())
}

async fn stamping(credentials: Option<Arc<Credentials>>) -> (Broker, NameServer, Running) {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns])
        .with(|config| {
            config.upstream.born_host = true;
            config.allow.request_reply = true;
            config.credentials = credentials;
        })
        .start()
        .await;
    (a, ns, proxy)
}

/// A command as its broker gets it; the answer is awaited.
async fn through(client: &mut Client, link: &mut Peer, command: &Command) -> Received {
    client.peer.put(command).await;
    let came = link.expect(command.code).await;
    link.answer(&came, response::SUCCESS).await;
    client.answer(command.opaque).await;
    came
}

/// A client and its link to the broker.
async fn linked(proxy: &Running, a: &Broker, speaks: Speaks) -> (Client, Peer) {
    let mut client = Client::connect_from([127, 0, 0, 9], proxy.address, speaks).await;
    let asked = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = a.accept().await;
    let request = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&request, response::SUCCESS).await;
    client.answer(asked).await;
    (client, link)
}

fn host_in(came: &Received, field: &str) -> Option<String> {
    let properties = Properties::new(came.field(field).unwrap_or_default());
    properties.find("__BORNHOST").map(str::to_owned)
}

fn sends() -> [(Code, &'static str, &'static str); 4] {
    [
        (rq::SEND_MESSAGE, "properties", "bname"),
        (rq::SEND_MESSAGE_V2, "i", "n"),
        (rq::SEND_REPLY_MESSAGE, "properties", "bname"),
        (rq::SEND_REPLY_MESSAGE_V2, "i", "n"),
    ]
}

#[tokio::test]
async fn every_kind_of_send_carries_the_address_of_its_client() {
    let (a, _ns, proxy) = stamping(None).await;
    for speaks in [Speaks::NAMED, Speaks::NAMED.in_binary()] {
        let (mut client, mut link) = linked(&proxy, &a, speaks).await;
        let ours = client.address().to_string();
        assert!(ours.starts_with("127.0.0.9:"));
        for (code, field, broker) in sends() {
            let fields = [
                (broker, "a"),
                (field, "TAGS\u{1}x\u{2}__BORNHOST\u{1}6.6.6.6:6\u{2}"),
            ];
            let command = client.command(code, &fields).with_body("body");
            let came = through(&mut client, &mut link, &command).await;
            assert_eq!(host_in(&came, field).as_deref(), Some(&*ours), "{code}");
            assert_eq!(came.text(), "body");
            let properties = Properties::new(came.field(field).unwrap());
            assert_eq!(properties.find("TAGS"), Some("x"));
        }
    }
    assert_eq!(proxy.proxy.born_hosts().stamped.load(Ordering::Relaxed), 8);
}

#[tokio::test]
async fn nothing_else_is_touched_and_neither_is_anything_without_the_option() {
    let (a, ns, proxy) = stamping(None).await;
    let (mut client, mut link) = linked(&proxy, &a, Speaks::NAMED).await;
    let fields = [("bname", "a"), ("properties", "TAGS\u{1}x\u{2}")];
    let command = client.command(rq::CONSUMER_SEND_MSG_BACK, &fields);
    let came = through(&mut client, &mut link, &command).await;
    assert_eq!(came.frame.to_bytes(), command.encode().unwrap().to_bytes());
    let plain = Gimbal::before(&[&ns]).start().await;
    let (mut client, mut link) = linked(&plain, &a, Speaks::NAMED).await;
    let fields = [("n", "a"), ("i", "__BORNHOST\u{1}6.6.6.6:6\u{2}")];
    let command = client.command(rq::SEND_MESSAGE_V2, &fields);
    let came = through(&mut client, &mut link, &command).await;
    assert_eq!(came.frame.to_bytes(), command.encode().unwrap().to_bytes());
}

#[tokio::test]
async fn a_signed_send_is_signed_again_if_its_key_is_known() {
    let (a, _ns, proxy) = stamping(Some(keys())).await;
    let (mut client, mut link) = linked(&proxy, &a, Speaks::NAMED).await;
    let ours = client.address().to_string();
    let mut command = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("i", "TAGS\u{1}x\u{2}")]);
    keys().sign(&mut command, "alice").unwrap();
    let came = through(&mut client, &mut link, &command).await;
    assert_eq!(host_in(&came, "i"), Some(ours));
    let identity = keys().verify(&came.head, &came.frame);
    assert_eq!(identity.user(), Some("alice"), "{identity:?}");
}

#[tokio::test]
async fn a_signed_send_goes_on_as_it_is_if_its_key_is_not_known() {
    let strangers = "[[key]]\naccess_key = 'bob'\nsecret_key = 'secret-of-bob-1'";
    let strangers = Arc::new(Credentials::parse(strangers).unwrap());
    for credentials in [None, Some(strangers)] {
        let (a, _ns, proxy) = stamping(credentials).await;
        let (mut client, mut link) = linked(&proxy, &a, Speaks::NAMED).await;
        let mut command = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("i", "TAGS\u{1}x\u{2}")]);
        keys().sign(&mut command, "alice").unwrap();
        let came = through(&mut client, &mut link, &command).await;
        assert_eq!(came.frame.to_bytes(), command.encode().unwrap().to_bytes());
        let counts = proxy.proxy.born_hosts();
        assert_eq!(counts.skipped_signed.load(Ordering::Relaxed), 1);
        assert_eq!(counts.stamped.load(Ordering::Relaxed), 0);
    }
}
