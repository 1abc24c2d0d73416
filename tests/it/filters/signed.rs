//! Signed commands: verified at the edge, signed again after a change, never forwarded broken.

use std::sync::{Arc, Mutex};

use gimbal::auth::{Credentials, Identity, Refusal};
use gimbal::filter::{Member, Patterns, Policy, Verdict};
use gimbal::protocol::{Command, FLAG_ONEWAY, Frame, Head, request as rq, response};
use serde_json::json;

use super::{BEAT, changing, no};
use crate::support::filters::{Script, Stage, interest, recorded, with};
use crate::support::{Client, Gimbal, Received};

const ALICE: &str = "[[key]]\naccess_key = 'alice'\nsecret_key = 'tops3cret-of-alice'\n";

fn keys() -> Credentials {
    Credentials::parse(ALICE).unwrap()
}

async fn knowing(file: &'static str, members: Vec<Member>) -> Stage {
    let credentials = Some(Arc::new(Credentials::parse(file).unwrap()));
    Stage::set(members, |gimbal: Gimbal| {
        gimbal.with(|config| config.credentials = credentials)
    })
    .await
}

/// Sends a command as it is; its opaque.
async fn put(client: &mut Client, command: &Command) -> i32 {
    client.peer.put(command).await;
    command.opaque
}

/// A request of alice.
fn of_alice(
    client: &mut Client,
    code: gimbal::protocol::Code,
    fields: &[(&str, &str)],
    body: &str,
) -> Command {
    let mut command = client.command(code, fields).with_body(body.to_owned());
    keys().sign(&mut command, "alice").unwrap();
    command
}

fn verify(frame: &Frame) -> Identity {
    keys().verify(&Head::scan(frame).unwrap(), frame)
}

fn alice() -> Identity {
    Identity::Verified("alice".to_owned())
}

fn marking() -> Script {
    changing(rq::SEND_MESSAGE_V2, |subject| subject.set_field("mark", "1"))
}

const SEND: &[(&str, &str)] = &[("n", "a"), ("a", "p"), ("b", "T"), ("e", "0")];

#[tokio::test]
async fn what_real_clients_signed_passes_with_its_bytes_and_a_wrong_signature_does_not() {
    for form in ["json", "binary"] {
        let stage = knowing(ALICE, Vec::new()).await;
        stage.ns.topic("orders", &[&stage.a]);
        let mut client = stage.client().await;
        let sent = recorded(&format!("signed/send-java-5.5.0-{form}"));
        put(&mut client, &sent).await;
        let mut link = stage.a.accept().await;
        let came = link.expect(rq::SEND_MESSAGE_V2).await;
        assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
        let mut forged = sent.clone().with_body("other");
        forged.opaque = 8;
        let opaque = put(&mut client, &forged).await;
        let refused = client.answer(opaque).await;
        assert_eq!(refused.head.code, Refusal::CODE);
        assert_eq!(
            refused.command.remark.unwrap().as_str(),
            "gimbal: check signature failed. User:alice"
        );
    }
}

#[tokio::test]
async fn unknown_keys_pass_or_are_refused_as_the_file_says() {
    const BOB: &str = "[[key]]\naccess_key = 'bob'\nsecret_key = 'b'\n";
    const STRICT: &str = "unknown = 'refuse'\n[[key]]\naccess_key = 'bob'\nsecret_key = 'b'\n";
    for (file, passes) in [(BOB, true), (STRICT, false)] {
        let stage = knowing(file, Vec::new()).await;
        let mut client = stage.client().await;
        let sent = of_alice(&mut client, rq::SEND_MESSAGE_V2, SEND, "");
        put(&mut client, &sent).await;
        if passes {
            let came = stage.a.accept().await.expect(rq::SEND_MESSAGE_V2).await;
            assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
        } else {
            let came = client.answer(sent.opaque).await;
            assert_eq!(came.head.code, Refusal::CODE);
            assert_eq!(
                came.command.remark.unwrap().as_str(),
                "gimbal: User:alice is not found."
            );
        }
    }
}

#[tokio::test]
async fn filters_see_the_verified_user_both_ways_and_no_other() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (asked, answered) = (Arc::clone(&seen), Arc::clone(&seen));
    let looking = Script::of(&[rq::GET_MAX_OFFSET])
        .on_request(move |subject| {
            asked
                .lock()
                .unwrap()
                .push((subject.client().user.clone(), subject.is_signed()));
            Ok(Verdict::Forward)
        })
        .on_response(move |subject| {
            answered
                .lock()
                .unwrap()
                .push((subject.client().user.clone(), true));
            Ok(Verdict::Forward)
        });
    let only_alice = with(
        Script::wanting(vec![interest(&[rq::GET_MIN_OFFSET])])
            .always(no("alice"))
            .member("s"),
        |member| {
            member.scope.users = Patterns::new(&["al*"]);
        },
    );
    let stage = knowing(ALICE, vec![looking.member("looking"), only_alice]).await;
    let mut client = stage.client().await;
    let signed = of_alice(&mut client, rq::GET_MAX_OFFSET, &[("bname", "a")], "");
    put(&mut client, &signed).await;
    let mut link = stage.a.accept().await;
    let first = link.expect(rq::GET_MAX_OFFSET).await;
    client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&first, response::SUCCESS).await;
    client.answer(signed.opaque).await;
    let alice = || Some(Arc::from("alice"));
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, [(alice(), true), (None, false), (alice(), true)]);
    let scoped = of_alice(&mut client, rq::GET_MIN_OFFSET, &[("bname", "a")], "");
    put(&mut client, &scoped).await;
    assert_eq!(
        client
            .answer(scoped.opaque)
            .await
            .command
            .remark
            .unwrap()
            .as_str(),
        "alice"
    );
}

#[tokio::test]
async fn what_a_filter_changes_is_signed_again() {
    let changing = Script::of(&[rq::SEND_MESSAGE_V2]).on_request(|subject| {
        let messages = subject.messages_mut().unwrap().unwrap();
        messages.set_body(0, "other".into()).unwrap();
        messages.set_property(0, "p", "1").unwrap();
        subject.set_field("e", "1");
        Ok(Verdict::Forward)
    });
    let stage = knowing(ALICE, changing.alone()).await;
    stage.ns.topic("orders", &[&stage.a]);
    let mut client = stage.client().await;
    let mut link = None;
    for form in ["json", "binary"] {
        put(&mut client, &recorded(&format!("signed/send-java-5.5.0-{form}"))).await;
        let link = match &mut link {
            Some(link) => link,
            None => link.insert(stage.a.accept().await),
        };
        let came = link.expect(rq::SEND_MESSAGE_V2).await;
        assert_eq!((came.frame.body(), came.field("e")), (&b"other"[..], Some("1")));
        assert_eq!(verify(&came.frame), alice());
        link.answer(&came, response::SUCCESS).await;
        client.answer(7).await;
    }
}

/// Sends what alice signed through a filter that changes it, at a proxy without her key.
async fn without_key(
    policy: Policy,
    command: impl FnOnce(&mut Client) -> Command,
) -> (Command, Result<Received, Received>) {
    let marking = with(marking().member("marking"), |member| member.policy = policy);
    let stage = Stage::with(vec![marking]).await;
    let (mut client, mut link) = stage.linked().await;
    let sent = command(&mut client);
    put(&mut client, &sent).await;
    if policy == Policy::Open {
        return (sent, Ok(link.expect(rq::SEND_MESSAGE_V2).await));
    }
    let answer = if sent.flag & FLAG_ONEWAY == 0 {
        client.answer(sent.opaque).await
    } else {
        client.call(gimbal::protocol::Code(3_442), &[]).await
    };
    assert!(link.is_quiet(std::time::Duration::from_millis(20)).await);
    (sent, Err(answer))
}

#[tokio::test]
async fn without_the_key_a_change_is_the_failure_of_its_filter() {
    let (_, refused) = without_key(Policy::Closed, |client| {
        of_alice(client, rq::SEND_MESSAGE_V2, SEND, "")
    })
    .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.head.code, response::MESSAGE_ILLEGAL);
    let remark = refused.command.remark.unwrap();
    assert!(
        remark.as_str().contains("the client signed the command"),
        "{remark:?}"
    );

    let (sent, passed) = without_key(Policy::Open, |client| {
        of_alice(client, rq::SEND_MESSAGE_V2, SEND, "")
    })
    .await;
    assert_eq!(
        passed.unwrap().frame.to_bytes(),
        sent.encode().unwrap().to_bytes()
    );

    let oneway = |client: &mut Client| {
        let mut command = of_alice(client, rq::SEND_MESSAGE_V2, SEND, "");
        command.flag |= FLAG_ONEWAY;
        command
    };
    let (_, dropped) = without_key(Policy::Closed, oneway).await;
    assert_eq!(
        dropped.unwrap_err().head.code,
        response::REQUEST_CODE_NOT_SUPPORTED
    );
}

#[tokio::test]
async fn without_the_key_a_changed_message_is_a_failure_too() {
    let editing = changing(rq::SEND_MESSAGE_V2, |subject| {
        let refused = subject.messages_mut().map(|_| ()).unwrap_err();
        assert!(refused.contains("key that Gimbal does not have"), "{refused}");
    });
    let stage = Stage::with(editing.alone()).await;
    let mut client = stage.client().await;
    let sent = of_alice(&mut client, rq::SEND_MESSAGE_V2, SEND, "");
    put(&mut client, &sent).await;
    assert_eq!(
        client.answer(sent.opaque).await.head.code,
        response::MESSAGE_ILLEGAL
    );
}

#[tokio::test]
async fn a_command_with_temporary_keys_is_never_altered() {
    let open = with(marking().member("marking"), |member| member.policy = Policy::Open);
    let stage = knowing(ALICE, vec![open]).await;
    stage.ns.topic("orders", &[&stage.a]);
    let mut client = stage.client().await;
    for form in ["json", "binary"] {
        let sent = recorded(&format!("signed/token-java-5.5.0-{form}"));
        let opaque = put(&mut client, &sent).await;
        let mut link = stage.a.accept().await;
        let came = link.expect(rq::SEND_MESSAGE_V2).await;
        assert_eq!(came.frame.to_bytes(), sent.encode().unwrap().to_bytes());
        link.answer(&came, response::SUCCESS).await;
        client.answer(opaque).await;
        client = stage.client().await;
    }
}

#[tokio::test]
async fn locks_split_by_broker_are_signed_part_by_part() {
    let queue = |broker: &str| json!({"brokerName": broker, "queueId": 0, "topic": "T"});
    let body = json!({"clientId": "c", "consumerGroup": "g", "mqSet": [queue("a"), queue("b")]}).to_string();
    let stage = knowing(ALICE, Vec::new()).await;
    let mut client = stage.client().await;
    for code in [rq::LOCK_BATCH_MQ, rq::UNLOCK_BATCH_MQ] {
        let sent = of_alice(&mut client, code, &[], &body);
        put(&mut client, &sent).await;
        for broker in [&stage.a, &stage.b] {
            let came = broker.accept().await.expect(code).await;
            assert_eq!(verify(&came.frame), alice());
            assert!(
                came.text()
                    .contains(&format!(r#""brokerName":"{}""#, broker.name))
            );
        }
        client = stage.client().await;
    }
    // Without the key they cannot be split.
    let stage = Stage::with(Vec::new()).await;
    let mut client = stage.client().await;
    let sent = of_alice(&mut client, rq::LOCK_BATCH_MQ, &[], &body);
    put(&mut client, &sent).await;
    let came = client.answer(sent.opaque).await;
    let remark = came.command.remark.unwrap();
    assert!(remark.as_str().contains("set `credentials`"), "{remark:?}");
}

#[tokio::test]
async fn leaving_a_group_for_the_client_is_signed_in_its_name() {
    let stage = knowing(ALICE, Vec::new()).await;
    let mut client = stage.client().await;
    let body = crate::support::heartbeat(&[crate::support::Group::Consumer("g", "T")]);
    let sent = of_alice(&mut client, BEAT, &[], &body);
    put(&mut client, &sent).await;
    let mut link = stage.a.accept_greeted().await;
    let _other = stage.b.accept_greeted().await;
    client.answer(sent.opaque).await;
    let removing = changing(BEAT, |subject| assert!(subject.remove_group("g")));
    stage.swap(removing.alone());
    let beat = link.greet().await;
    assert_eq!(verify(&beat.frame), alice());
    let left = link.expect(rq::UNREGISTER_CLIENT).await;
    assert_eq!(
        (left.field("consumerGroup"), verify(&left.frame)),
        (Some("g"), alice())
    );
}
