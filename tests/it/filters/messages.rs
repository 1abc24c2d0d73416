//! Filters that change and remove the messages inside commands.

use gimbal::protocol::body::{BatchItem, StoredMessage};
use gimbal::protocol::{Code, Command, request as rq, response};

use super::{changing, changing_answers};
use crate::support::filters::{Stage, recorded};
use crate::support::{Client, Peer, Received};

/// Sends a recorded request, naming broker `a`; what the broker gets.
async fn through(client: &mut Client, link: &mut Peer, name: &str, broker: &str) -> (Command, Received) {
    let mut sent = recorded(name);
    sent.set_field(broker, "a");
    client.peer.put(&sent).await;
    let came = link.expect(sent.code).await;
    (sent, came)
}

#[tokio::test]
async fn the_message_of_a_send_may_get_other_properties_and_another_body() {
    let sends = [
        (
            rq::SEND_MESSAGE,
            "wire/request-10-go-2173d07-json",
            "bname",
            "properties",
        ),
        (rq::SEND_MESSAGE_V2, "wire/request-310-java-5.5.0-json", "n", "i"),
        (
            rq::SEND_MESSAGE_V2,
            "wire/request-310-java-5.5.0-binary",
            "n",
            "i",
        ),
    ];
    for (code, name, broker, properties) in sends {
        let editing = changing(code, |subject| {
            let messages = subject.messages_mut().unwrap().unwrap();
            assert_eq!((messages.len(), messages.tags(0)), (1, Some("tag0")));
            messages.set_property(0, "tenant", "blue").unwrap();
            messages.remove_property(0, "KEYS").unwrap();
            messages.set_body(0, "other".into()).unwrap();
        });
        let stage = Stage::with(editing.alone()).await;
        let (mut client, mut link) = stage.linked().await;
        let (sent, came) = through(&mut client, &mut link, name, broker).await;
        assert_eq!(
            (came.frame.kind(), came.frame.body()),
            (sent.kind(), &b"other"[..]),
            "{name}"
        );
        let properties = came.field(properties).unwrap();
        assert!(
            properties.contains("tenant\u{1}blue") && properties.contains("UNIQ_KEY\u{1}"),
            "{properties:?}"
        );
        assert!(
            !properties.contains("KEYS\u{1}dn") && !properties.contains("\u{2}KEYS"),
            "{properties:?}"
        );
    }
}

#[tokio::test]
async fn a_batch_is_edited_message_by_message() {
    let editing = changing(rq::SEND_BATCH_MESSAGE, |subject| {
        let messages = subject.messages_mut().unwrap().unwrap();
        messages.set_property(1, "x", "1").unwrap();
        messages.set_body(2, "other".into()).unwrap();
        messages.remove(0).unwrap();
    });
    let stage = Stage::with(editing.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    for form in ["json", "binary"] {
        let name = format!("wire/request-320-java-5.5.0-{form}");
        let (sent, came) = through(&mut client, &mut link, &name, "n").await;
        let before = BatchItem::decode_all(&sent.body).unwrap();
        let after = BatchItem::decode_all(&came.command.body).unwrap();
        assert_eq!((came.frame.kind(), after.len()), (sent.kind(), before.len() - 1));
        assert_eq!(after[0].properties().find("x"), Some("1"));
        assert_eq!(after[0].body(), before[1].body());
        assert_eq!(after[1].body(), "other");
        assert_eq!(after[1].properties(), before[2].properties());
    }
}

/// Asks, lets the broker answer with a recorded answer, and gives what the client gets.
async fn answered(client: &mut Client, link: &mut Peer, code: Code, answer: &Command) -> Received {
    let fields = [("bname", "a"), ("topic", "TPOP"), ("consumerGroup", "g")];
    let opaque = client.ask(code, &fields).await;
    let asked = link.expect(code).await;
    link.answer_with(&asked, answer.clone()).await;
    client.answer(opaque).await
}

#[tokio::test]
async fn pulled_messages_may_be_edited() {
    let editing = changing_answers(rq::PULL_MESSAGE, |subject| {
        let messages = subject.messages_mut().unwrap().unwrap();
        assert_eq!(messages.topic(0), Some("TGO"));
        messages.set_property(0, "seen", "yes").unwrap();
        messages.set_body(0, "masked".into()).unwrap();
    });
    let stage = Stage::with(editing.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let answer = recorded("wire/answer-11-0-broker-5.5.0-json");
    let came = answered(&mut client, &mut link, rq::PULL_MESSAGE, &answer).await;
    assert_eq!(came.head.code, response::SUCCESS);
    let messages = StoredMessage::decode_all(&came.command.body).unwrap();
    assert_eq!(messages[0].properties().find("seen"), Some("yes"));
    assert_eq!(messages[0].body(), "masked");
    assert_eq!(came.field("nextBeginOffset"), answer.field("nextBeginOffset"));
}

#[tokio::test]
async fn a_pull_of_which_nothing_is_left_goes_on_behind_it() {
    let removing = changing_answers(rq::PULL_MESSAGE, |subject| {
        subject.messages_mut().unwrap().unwrap().remove(0).unwrap();
    });
    // Nearer to the client: it sees the answer as it has become.
    let looking = changing_answers(rq::PULL_MESSAGE, |subject| {
        assert_eq!(subject.body_size(), 0);
        let code = subject.code().0.to_string();
        subject.set_field("seen", &code);
    });
    let stage = Stage::with(vec![looking.member("looking"), removing.member("removing")]).await;
    let (mut client, mut link) = stage.linked().await;
    let answer = recorded("wire/answer-11-0-broker-5.5.0-json");
    let came = answered(&mut client, &mut link, rq::PULL_MESSAGE, &answer).await;
    assert_eq!(came.head.code, response::PULL_RETRY_IMMEDIATELY);
    assert_eq!(came.field("nextBeginOffset"), Some("1"));
    assert_eq!(came.field("seen"), Some("20"), "the code is what it has become");
}

#[tokio::test]
async fn a_message_taken_out_of_a_pop_is_acknowledged_at_its_broker() {
    let removing = changing_answers(rq::POP_MESSAGE, |subject| {
        subject.messages_mut().unwrap().unwrap().remove(0).unwrap();
    });
    let stage = Stage::with(removing.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let answer = recorded("wire/answer-200050-0-broker-5.5.0-json");
    let came = answered(&mut client, &mut link, rq::POP_MESSAGE, &answer).await;
    let ack = link.expect(rq::ACK_MESSAGE).await;
    let fields = [
        "consumerGroup",
        "topic",
        "queueId",
        "offset",
        "extraInfo",
        "bname",
    ];
    assert_eq!(
        fields.map(|name| ack.field(name).unwrap()),
        ["g", "TPOP", "1", "0", "0 1795438948969 60000 0 0 a 1 0", "a"]
    );
    link.answer(&ack, response::SUCCESS).await;
    assert_eq!(came.field("msgOffsetInfo"), Some("0 0 0;0 3 0;0 2 0"));
    assert_eq!(came.field("startOffsetInfo"), Some("0 0 0;0 3 0;0 2 0"));
    assert_eq!(StoredMessage::decode_all(&came.command.body).unwrap().len(), 3);
    client.sync().await;
    assert!(
        client.leftovers().is_empty(),
        "the acknowledgement is not the client's"
    );
}

#[tokio::test]
async fn a_pop_that_a_filter_moved_is_acknowledged_where_it_popped() {
    let moving = changing(rq::POP_MESSAGE, |subject| {
        subject.set_field("topic", "TOTHER");
        subject.set_field("consumerGroup", "h");
    });
    let moving = moving.on_response(|subject| {
        assert_eq!(subject.topic().as_deref(), Some("TPOP"), "as the client asked");
        subject.messages_mut().unwrap().unwrap().remove(0).unwrap();
        Ok(gimbal::filter::Verdict::Forward)
    });
    let stage = Stage::with(moving.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let answer = recorded("wire/answer-200050-0-broker-5.5.0-json");
    answered(&mut client, &mut link, rq::POP_MESSAGE, &answer).await;
    let ack = link.expect(rq::ACK_MESSAGE).await;
    assert_eq!(
        (ack.field("topic"), ack.field("consumerGroup")),
        (Some("TOTHER"), Some("h"))
    );
}

#[tokio::test]
async fn the_message_of_a_send_cannot_be_removed() {
    let removing = changing(rq::SEND_MESSAGE_V2, |subject| {
        let refused = subject.messages_mut().unwrap().unwrap().remove(0).unwrap_err();
        subject.set_field("why", &refused.to_string());
    });
    let stage = Stage::with(removing.alone()).await;
    let (mut client, mut link) = stage.linked().await;
    let (_, came) = through(&mut client, &mut link, "wire/request-310-java-5.5.0-json", "n").await;
    assert!(came.field("why").unwrap().contains("answer it instead"));
}
