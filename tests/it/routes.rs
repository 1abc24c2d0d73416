//! Routes as clients get them: rewritten, complete, the same at every poll, and there when name servers are not.

use std::sync::Arc;
use std::time::Duration;

use gimbal::auth::Credentials;
use gimbal::config::Addressing;
use gimbal::protocol::{Kind, Language, request as rq, response};

use crate::support::{Broker, Gimbal, NameServer, Received, Speaks, address_of};

/// With every field a name server may send, and some that it may send one day. `broker-b` has no master.
const ROUTE: &str = r#"{"brokerDatas":[{"brokerAddrs":{"0":"10.9.9.1:10911","1":"10.9.9.2:10911"},"brokerName":"broker-a","cluster":"C","enableActingMaster":false,"zoneName":"z1"},{"brokerAddrs":{"2":"10.9.9.3:10911","3":"10.9.9.4:10911"},"brokerName":"broker-b","cluster":"C","enableActingMaster":false}],"filterServerTable":{"10.9.9.1:10911":["f"]},"orderTopicConf":"broker-a:4;broker-b:4","queueDatas":[{"brokerName":"broker-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}],"some":{"day":[1,null]},"topicQueueMappingByBroker":{"broker-a":{"bname":"broker-a","currIdMap":{"0":0},"epoch":1,"scope":"__global__","topic":"T","totalQueues":8}}}"#;

/// What a client of the shared address must get in the standard dialect.
fn rewritten(port: u16) -> String {
    ROUTE
        .replace(
            r#"{"0":"10.9.9.1:10911","1":"10.9.9.2:10911"}"#,
            &format!(r#"{{"0":"127.0.0.1:{port}"}}"#),
        )
        .replace("10.9.9.3:10911", &format!("127.0.0.1:{port}"))
        .replace("10.9.9.4:10911", &format!("127.0.0.1:{port}"))
}

fn bare(route: &str) -> String {
    ["0", "2", "3"].iter().fold(route.to_owned(), |text, id| {
        text.replace(&format!("\"{id}\":"), &format!("{id}:"))
    })
}

async fn ask(proxy: &crate::support::Running, speaks: Speaks, fields: &[(&str, &str)]) -> Received {
    let mut client = proxy.client_that(speaks).await;
    client.call(rq::GET_ROUTEINFO_BY_TOPIC, fields).await
}

#[tokio::test]
async fn a_route_keeps_every_field_and_hides_slaves_that_have_a_master() {
    let ns = NameServer::start().await;
    ns.route("T", ROUTE);
    let proxy = Gimbal::before(&[&ns]).start().await;
    let answer = ask(&proxy, Speaks::NAMED, &[("topic", "T")]).await;
    assert_eq!(answer.text(), rewritten(proxy.address.port()));
}

#[tokio::test]
async fn a_route_has_the_same_text_at_every_poll() {
    let ns = NameServer::start().await;
    ns.route("T", ROUTE);
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client_that(Speaks::NAMELESS).await;
    let first = client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
    for _ in 0..20 {
        let again = client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
        assert_eq!(again.text(), first.text());
    }
}

#[tokio::test]
async fn the_dialect_follows_the_version_and_the_flag_of_the_client() {
    let ns = NameServer::start().await;
    ns.route("T", ROUTE);
    let proxy = Gimbal::before(&[&ns])
        .addressing(Addressing::Shared)
        .start()
        .await;
    let standard = rewritten(proxy.address.port());
    let answer = ask(&proxy, Speaks::java(401), &[("topic", "T")]).await;
    assert_eq!(answer.text(), standard);
    let answer = ask(&proxy, Speaks::java(400), &[("topic", "T")]).await;
    assert_eq!(answer.text(), bare(&standard));
    let flagged = [("topic", "T"), ("acceptStandardJsonOnly", "true")];
    let answer = ask(&proxy, Speaks::java(100), &flagged).await;
    assert_eq!(answer.text(), standard);
}

#[tokio::test]
async fn a_route_is_answered_in_the_serialisation_of_the_name_server_or_the_client_and_is_readable_either_way()
 {
    let ns = NameServer::start().await;
    ns.route("T", ROUTE);
    let proxy = Gimbal::before(&[&ns]).start().await;
    let answer = ask(&proxy, Speaks::NAMED.in_binary(), &[("topic", "T")]).await;
    assert_eq!(answer.head.code, response::SUCCESS);
    assert_eq!(answer.text(), rewritten(proxy.address.port()));
}

/// Which ages and languages get the shared address (design D3).
#[tokio::test]
async fn the_shared_address_goes_to_clients_that_name_the_broker_and_to_no_others() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let speaks = |language, version| Speaks {
        language,
        version,
        kind: Kind::Json,
    };
    let shared = proxy.address.to_string();
    for version in [403, 405, 411, 433, 453, 479, 600] {
        let mut client = proxy.client_that(Speaks::java(version)).await;
        assert_eq!(
            address_of(&client.route("T").await, "broker-a"),
            shared,
            "Java {version}"
        );
    }
    let nameless = [
        (Language::JAVA, 0),
        (Language::JAVA, 275),
        (Language::JAVA, 401),
        (Language::JAVA, 402),
        (Language::JAVA, 412),
        (Language::JAVA, 413),
        (Language::JAVA, 432),
        (Language::GO, 317),
        (Language::GO, 500),
        (Language(1), 433),
        (Language(3), 433),
        (Language(12), 433),
        (Language::UNKNOWN, 433),
    ];
    let mut ports = std::collections::BTreeSet::new();
    for (language, version) in nameless {
        let mut client = proxy.client_that(speaks(language, version)).await;
        let address = address_of(&client.route("T").await, "broker-a");
        assert_ne!(address, shared, "{language:?} {version}");
        ports.insert(address);
    }
    assert_eq!(ports.len(), 1, "one port stands for the broker: {ports:?}");
}

#[tokio::test]
async fn addressing_shared_and_per_broker_treat_all_clients_alike() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let shared = Gimbal::before(&[&ns])
        .addressing(Addressing::Shared)
        .start()
        .await;
    let route = shared.client_that(Speaks::NAMELESS).await.route("T").await;
    assert_eq!(address_of(&route, "broker-a"), shared.address.to_string());
    let ports = Gimbal::before(&[&ns])
        .addressing(Addressing::PerBroker)
        .start()
        .await;
    let route = ports.client().await.route("T").await;
    assert_ne!(address_of(&route, "broker-a"), ports.address.to_string());
}

#[tokio::test]
async fn tools_get_ports_once_admin_is_allowed_and_the_broker_table_always_has_them() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns])
        .with(|c| c.allow.admin = true)
        .start()
        .await;
    let mut client = proxy.client().await;
    let port = address_of(&client.route("T").await, "broker-a");
    assert_ne!(port, proxy.address.to_string());
    let table = client.call(rq::GET_BROKER_CLUSTER_INFO, &[]).await;
    // Name servers write bare keys here, whoever asks.
    let expected = format!(r#""brokerAddrs":{{0:"{port}"}}"#);
    assert!(table.text().contains(&expected), "{}", table.text());
}

#[tokio::test]
async fn the_advertised_host_replaces_the_local_address() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let mut gimbal = Gimbal::before(&[&ns]);
    gimbal.listener().advertise = Some("mq.example".to_owned());
    let proxy = gimbal.start().await;
    let route = proxy.client().await.route("T").await;
    assert_eq!(
        address_of(&route, "broker-a"),
        format!("mq.example:{}", proxy.address.port())
    );
}

#[tokio::test]
async fn ipv6_literals_are_bracketed_and_never_given_to_go_clients() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let mut gimbal = Gimbal::before(&[&ns]);
    gimbal.listener().advertise = Some("2001:db8::1".to_owned());
    let proxy = gimbal.start().await;
    let route = proxy.client().await.route("T").await;
    assert_eq!(
        address_of(&route, "broker-a"),
        format!("[2001:db8::1]:{}", proxy.address.port())
    );
    let go = Speaks {
        language: Language::GO,
        version: 317,
        kind: Kind::Json,
    };
    let answer = ask(&proxy, go, &[("topic", "T")]).await;
    assert_ne!(answer.head.code, response::SUCCESS);
    let remark = answer.command.remark.unwrap();
    assert!(remark.as_str().contains("advertise"), "{remark:?}");
}

#[tokio::test]
async fn an_unknown_topic_is_answered_in_the_words_of_the_name_server() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let answer = ask(&proxy, Speaks::NAMED, &[("topic", "nowhere")]).await;
    assert_eq!(answer.head.code, response::TOPIC_NOT_EXIST);
    let remark = answer.command.remark.unwrap();
    assert_eq!(
        remark.as_str(),
        "No topic route info in name server for the topic: nowhere"
    );
}

#[tokio::test]
async fn questions_of_gimbals_own_are_signed_with_its_own_key() {
    let ns = NameServer::start().await;
    ns.route("T", ROUTE);
    let text = "own = 'gimbal'\n[[key]]\naccess_key = 'gimbal'\nsecret_key = 's'\n";
    let credentials = Arc::new(Credentials::parse(text).unwrap());
    let signing = Gimbal::before(&[&ns]).with(|config| config.credentials = Some(Arc::clone(&credentials)));
    let proxy = signing.start().await;
    let signed = [("topic", "T"), ("AccessKey", "orders"), ("Signature", "theirs")];
    let answer = ask(&proxy, Speaks::NAMED, &signed).await;
    assert_eq!(answer.head.code, response::SUCCESS);
    for asked in ns.asked() {
        let signer = credentials.verify(&asked.head, &asked.frame);
        assert_eq!(signer.user(), Some("gimbal"), "{}", asked.head.code);
    }
    assert_eq!(ns.asked_for("T"), 1);
}

#[tokio::test]
async fn many_clients_asking_at_once_cost_one_lookup() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = proxy.client().await;
        client.sync().await;
        clients.push((client, 0));
    }
    // Silence is short: a name server that says nothing for a second is asked again.
    ns.hush();
    for (client, opaque) in &mut clients {
        *opaque = client.ask(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
    }
    for (client, _) in &mut clients {
        // The first answer may overtake the lookup, which the same thread begins before the second.
        client.sync().await;
        client.sync().await;
    }
    ns.speak();
    for (client, opaque) in &mut clients {
        assert_eq!(client.answer(*opaque).await.head.code, response::SUCCESS);
    }
    assert_eq!(ns.asked_for("T"), 1);
}

#[tokio::test]
async fn a_name_server_that_is_gone_is_passed_over() {
    let a = Broker::start("broker-a");
    let gone = NameServer::knowing(&[&a]).await;
    let ns = NameServer::knowing(&[&a]).await;
    let gimbal = Gimbal::before(&[&gone, &ns]);
    gone.stop().await;
    let proxy = gimbal.start().await;
    proxy.client().await.route("T").await;
}

#[tokio::test]
async fn a_name_server_that_goes_while_connected_is_left_for_the_next() {
    let a = Broker::start("broker-a");
    let first = NameServer::knowing(&[&a]).await;
    let second = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&first, &second]).start().await;
    let mut client = proxy.client().await;
    client.route("T").await;
    first.stop().await;
    client.route("T").await;
    assert_eq!(second.asked_for("T"), 1);
}

#[tokio::test]
async fn a_name_server_that_stops_answering_is_left_for_the_next_in_time_for_the_client() {
    let a = Broker::start("broker-a");
    let first = NameServer::knowing(&[&a]).await;
    let second = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&first, &second]).start().await;
    first.hush();
    let asked = tokio::time::Instant::now();
    proxy.client().await.route("T").await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn the_last_known_route_is_served_when_every_name_server_is_gone() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let before = client.route("T").await;
    ns.stop().await;
    assert_eq!(client.route("T").await, before);
    let unknown = client.call(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "U")]).await;
    assert_eq!(unknown.head.code, response::SYSTEM_ERROR);
}

#[tokio::test]
async fn the_last_known_route_is_served_in_time_when_every_name_server_is_silent() {
    let a = Broker::start("broker-a");
    let first = NameServer::knowing(&[&a]).await;
    let second = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&first, &second]).start().await;
    let mut client = proxy.client().await;
    let before = client.route("T").await;
    first.hush();
    second.hush();
    let asked = tokio::time::Instant::now();
    assert_eq!(client.route("T").await, before);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_binary_client_gets_its_route_in_time_too_and_one_way_questions_nothing() {
    let a = Broker::start("broker-a");
    let ns = NameServer::knowing(&[&a]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client_that(Speaks::NAMED.in_binary()).await;
    client.tell(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "T")]).await;
    client.route("T").await;
    assert!(client.leftovers().is_empty());
}
