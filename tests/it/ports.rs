//! A port means one broker name for good.

use std::net::SocketAddr;

use gimbal::protocol::{request as rq, response};
use serde_json::json;

use crate::support::{Broker, Client, Gimbal, NameServer, Running, Speaks, address_of};

async fn port_of(proxy: &Running, broker: &str) -> SocketAddr {
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    address_of(&client.route("T").await, broker).parse().unwrap()
}

async fn reaches(address: SocketAddr, broker: &Broker) {
    let mut client = Client::connect(address, Speaks::NAMELESS).await;
    client.ask(rq::PULL_MESSAGE, &[("topic", "T")]).await;
    broker.accept().await.expect(rq::PULL_MESSAGE).await;
}

#[tokio::test]
async fn every_broker_has_a_port_of_its_own_that_leads_there() {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let (at_a, at_b) = (port_of(&proxy, "a").await, port_of(&proxy, "b").await);
    assert_ne!(at_a, at_b);
    reaches(at_a, &a).await;
    reaches(at_b, &b).await;
}

#[tokio::test]
async fn a_port_serves_two_below_itself_too() {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    for (broker, name) in [(&a, "a"), (&b, "b")] {
        let mut address = port_of(&proxy, name).await;
        address.set_port(address.port() - 2);
        reaches(address, broker).await;
    }
}

#[tokio::test]
async fn ports_survive_a_restart_whatever_is_asked_first() {
    let (a, b) = (Broker::start("a"), Broker::start("b"));
    let ns = NameServer::knowing(&[&a, &b]).await;
    let folder = tempfile::tempdir().unwrap();
    let gimbal = Gimbal::before(&[&ns]).remembering(folder.path().to_owned());
    let config = gimbal.config.clone();
    let proxy = gimbal.start().await;
    let before = (port_of(&proxy, "a").await, port_of(&proxy, "b").await);
    proxy.proxy.drain().await;
    ns.topic("T", &[&b, &a]);
    let proxy = Gimbal { config }.start().await;
    // Clients come back to ports they know without asking for a route.
    reaches(before.1, &b).await;
    reaches(before.0, &a).await;
    assert_eq!((port_of(&proxy, "a").await, port_of(&proxy, "b").await), before);
}

#[tokio::test]
async fn a_fixed_port_is_the_one_given_out_and_serves_two_below() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let mut gimbal = Gimbal::before(&[&ns]).at_a_fixed_port();
    let listener = gimbal.listener();
    let (_, last) = listener.broker_ports.unwrap();
    listener.brokers.insert("a".to_owned(), last);
    let proxy = gimbal.start().await;
    let mut address = port_of(&proxy, "a").await;
    assert_eq!(address.port(), last);
    reaches(address, &a).await;
    address.set_port(last - 2);
    reaches(address, &a).await;
    let mut vip = proxy.address;
    vip.set_port(vip.port() - 2);
    Client::connect(vip, Speaks::NAMED).await.route("T").await;
}

#[tokio::test]
async fn a_broker_keeps_its_port_through_a_failover() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let port = port_of(&proxy, "a").await;
    reaches(port, &a).await;
    let moved = Broker::start("a");
    ns.topic("T", &[&moved]);
    drop(a);
    assert_eq!(port_of(&proxy, "a").await, port);
    reaches(port, &moved).await;
}

#[tokio::test]
async fn the_port_of_a_retired_broker_answers_unavailable_and_goes_to_nobody_else() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let folder = tempfile::tempdir().unwrap();
    let gimbal = Gimbal::before(&[&ns]).remembering(folder.path().to_owned());
    let config = gimbal.config.clone();
    let proxy = gimbal.start().await;
    let port = port_of(&proxy, "a").await;
    proxy.proxy.drain().await;
    ns.retire("a");
    let b = Broker::start("b");
    ns.topic("T", &[&b]);
    let proxy = Gimbal { config }.start().await;
    assert_ne!(port_of(&proxy, "b").await, port);
    let mut client = Client::connect(port, Speaks::NAMELESS).await;
    let answer = client.call(rq::PULL_MESSAGE, &[("topic", "T")]).await;
    assert_eq!(answer.head.code, response::SERVICE_NOT_AVAILABLE);
}

#[tokio::test]
async fn a_full_range_is_an_error_that_names_the_setting() {
    let mut brokers = Vec::new();
    for number in 0..9 {
        brokers.push(Broker::start(&format!("b{number}")));
    }
    let ns = NameServer::knowing(&brokers.iter().collect::<Vec<_>>()).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let answer = client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
    assert_eq!(answer.head.code, response::SYSTEM_ERROR);
    let remark = answer.command.remark.unwrap();
    assert!(remark.as_str().contains("broker_ports"), "{remark:?}");
    assert_eq!(
        proxy.client().await.route("T").await["brokerDatas"]
            .as_array()
            .unwrap()
            .len(),
        9
    );
}

#[tokio::test]
async fn a_broker_without_a_master_keeps_its_port_for_reading() {
    let a = Broker::start("a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let port = port_of(&proxy, "a").await;
    ns.broker("a", &[(1, a.address)]);
    let route = json!({"queueDatas": [], "brokerDatas": [
        {"brokerName": "a", "cluster": "C", "brokerAddrs": {"1": a.address.to_string()}}]});
    ns.route("T", &route.to_string());
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let route = client.route("T").await;
    assert_eq!(
        route["brokerDatas"][0]["brokerAddrs"],
        json!({"1": port.to_string()})
    );
    reaches(port, &a).await;
}
