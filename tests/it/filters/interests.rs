//! Which commands are shown to which filter.

use gimbal::filter::{Interest, Member, Patterns, Scope};
use gimbal::protocol::{Code, request as rq, response};

use super::no;
use crate::support::filters::{Script, Stage, interest, with};
use crate::support::{Client, Group};

/// Answers 16 to whatever it is shown.
fn forbidding(interest: Interest) -> Script {
    Script::wanting(vec![interest]).always(no("shown"))
}

fn scoped(change: impl FnOnce(&mut Scope)) -> Member {
    with(forbidding(interest(&[])).member("f"), |member| {
        change(&mut member.scope);
    })
}

/// Whether the filter saw this request; what it did not see gets no further than a broker that does not exist.
async fn is_shown(client: &mut Client, code: Code, fields: &[(&str, &str)], body: &str) -> bool {
    let fields: Vec<_> = fields.iter().copied().chain([("bname", "nowhere")]).collect();
    let opaque = client.ask_with(code, &fields, body).await;
    client.answer(opaque).await.head.code == Code(16)
}

#[tokio::test]
async fn codes_select_requests_and_none_are_all() {
    for (codes, shown) in [(&[rq::GET_MAX_OFFSET][..], [true, false]), (&[], [true, true])] {
        let stage = Stage::with(forbidding(interest(codes)).alone()).await;
        let mut client = stage.client().await;
        for (code, shown) in [rq::GET_MAX_OFFSET, rq::GET_MIN_OFFSET].into_iter().zip(shown) {
            assert_eq!(is_shown(&mut client, code, &[], "").await, shown, "{code}");
        }
    }
}

#[tokio::test]
async fn topics_are_found_whichever_field_or_body_holds_them() {
    let mut wanted = interest(&[]);
    wanted.topics = Patterns::new(&["ord?rs*"]);
    let stage = Stage::with(forbidding(wanted).alone()).await;
    let mut client = stage.client().await;
    for (topic, shown) in [("orders-1", true), ("others", false)] {
        assert_eq!(
            is_shown(&mut client, rq::SEND_MESSAGE_V2, &[("b", topic)], "").await,
            shown
        );
        assert_eq!(
            is_shown(&mut client, rq::SEND_MESSAGE, &[("topic", topic)], "").await,
            shown
        );
        let locks = format!(
            r#"{{"consumerGroup":"g","mqSet":[{{"brokerName":"nowhere","queueId":0,"topic":"{topic}"}}]}}"#
        );
        assert_eq!(is_shown(&mut client, rq::LOCK_BATCH_MQ, &[], &locks).await, shown);
        let beat = client.beat(&[Group::Consumer("g", topic)]).await;
        assert_eq!(client.answer(beat).await.head.code == Code(16), shown);
    }
    assert!(
        !is_shown(
            &mut client,
            rq::GET_CONSUMER_LIST_BY_GROUP,
            &[("consumerGroup", "g")],
            ""
        )
        .await
    );
}

#[tokio::test]
async fn groups_select_and_a_send_to_a_retry_topic_counts_as_its_group() {
    let mut wanted = interest(&[]);
    wanted.groups = Patterns::new(&["g1"]);
    let stage = Stage::with(forbidding(wanted).alone()).await;
    let mut client = stage.client().await;
    assert!(is_shown(&mut client, rq::PULL_MESSAGE, &[("consumerGroup", "g1")], "").await);
    assert!(
        is_shown(
            &mut client,
            rq::SEND_MESSAGE_V2,
            &[("a", "p"), ("b", "%RETRY%g1")],
            ""
        )
        .await
    );
    assert!(!is_shown(&mut client, rq::PULL_MESSAGE, &[("consumerGroup", "g2")], "").await);
}

#[tokio::test]
async fn any_of_several_interests_is_enough_and_bodies_come_with_those_that_ask_for_them() {
    let mut plain = interest(&[rq::GET_MAX_OFFSET]);
    plain.needs_body = false;
    let script = Script::wanting(vec![plain, interest(&[rq::GET_MIN_OFFSET])]).on_request(|subject| {
        let body = subject.body();
        Ok(no(std::str::from_utf8(&body).unwrap()))
    });
    let stage = Stage::with(script.alone()).await;
    let mut client = stage.client().await;
    assert!(is_shown(&mut client, rq::GET_MIN_OFFSET, &[], "b").await);
    assert!(
        !is_shown(&mut client, rq::GET_MAX_OFFSET, &[], "b").await,
        "that is a failure"
    );
}

#[tokio::test]
async fn a_scope_narrows_by_listener_address_and_code() {
    let cases: [(Member, bool); 6] = [
        (scoped(|scope| scope.listeners = Patterns::new(&["main"])), true),
        (scoped(|scope| scope.listeners = Patterns::new(&["other"])), false),
        (
            scoped(|scope| scope.addresses = vec!["127.0.0.0/8".parse().unwrap()]),
            true,
        ),
        (
            scoped(|scope| scope.addresses = vec!["10.0.0.0/8".parse().unwrap()]),
            false,
        ),
        (scoped(|scope| scope.codes = vec![rq::GET_MAX_OFFSET]), true),
        (scoped(|scope| scope.codes = vec![rq::GET_MIN_OFFSET]), false),
    ];
    for (member, shown) in cases {
        let what = format!("{:?}", member.scope);
        let stage = Stage::with(vec![member]).await;
        let mut client = stage.client().await;
        assert_eq!(
            is_shown(&mut client, rq::GET_MAX_OFFSET, &[], "").await,
            shown,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_scope_narrows_by_topic_group_and_user() {
    let fields = [("topic", "T"), ("consumerGroup", "g")];
    let cases: [(Member, bool); 5] = [
        (scoped(|scope| scope.topics = Patterns::new(&["T"])), true),
        (scoped(|scope| scope.topics = Patterns::new(&["U"])), false),
        (scoped(|scope| scope.groups = Patterns::new(&["g"])), true),
        (scoped(|scope| scope.groups = Patterns::new(&["h"])), false),
        // Nobody signed: there is no user to fit.
        (scoped(|scope| scope.users = Patterns::new(&["*"])), false),
    ];
    for (member, shown) in cases {
        let what = format!("{:?}", member.scope);
        let stage = Stage::with(vec![member]).await;
        let mut client = stage.client().await;
        assert_eq!(
            is_shown(&mut client, rq::PULL_MESSAGE, &fields, "").await,
            shown,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_scope_knows_a_client_from_its_first_heartbeat_on() {
    let stage = Stage::with(vec![scoped(|scope| scope.clients = Patterns::new(&["c"]))]).await;
    let mut client = stage.client().await;
    assert!(
        !is_shown(&mut client, rq::GET_MAX_OFFSET, &[], "").await,
        "nobody knows who this is"
    );
    let beat = client.beat(&[Group::Producer("p")]).await;
    assert_eq!(client.answer(beat).await.head.code, Code(16));
    assert!(is_shown(&mut client, rq::GET_MAX_OFFSET, &[], "").await);
}

#[tokio::test]
async fn a_command_that_names_its_client_is_judged_as_that_client_s() {
    let stage = Stage::with(vec![scoped(|scope| scope.clients = Patterns::new(&["me"]))]).await;
    let mut client = stage.client().await;
    let fields = [("clientID", "me"), ("producerGroup", "p")];
    assert!(is_shown(&mut client, rq::UNREGISTER_CLIENT, &fields, "").await);
    let locks = r#"{"clientId":"me","consumerGroup":"g","mqSet":[]}"#;
    assert!(is_shown(&mut client, rq::LOCK_BATCH_MQ, &[], locks).await);
    assert!(!is_shown(&mut client, rq::GET_MAX_OFFSET, &[], "").await);
}

#[tokio::test]
async fn commands_that_nobody_wants_keep_their_bytes() {
    let stage = Stage::with(forbidding(interest(&[rq::GET_MIN_OFFSET])).alone()).await;
    let mut client = stage.client().await;
    let mut sent = client.command(rq::GET_MAX_OFFSET, &[("bname", "a"), ("topic", "T")]);
    sent.remark = Some("odd".into());
    client.peer.put(&sent).await;
    let mut link = stage.a.accept().await;
    let asked = link.expect(rq::GET_MAX_OFFSET).await;
    assert_eq!(asked.frame.to_bytes(), sent.encode().unwrap().to_bytes());
    link.answer(&asked, response::SUCCESS).await;
    client.answer(sent.opaque).await;
}
