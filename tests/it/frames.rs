//! What passes through the relay, and what must never come out of it.

use gimbal::protocol::{Code, Command, FLAG_ONEWAY, request as rq, response};

use crate::support::{Broker, Gimbal, NameServer, Speaks};

/// JSON headers as no encoder of ours would write them: order, spaces, unknown members and numbers as values.
const ODD_REQUEST: &str = r#"{ "version":479,"opaque":77, "extFields":{"bname":"a","topic":"T","queueId":3,"x":"\u00e9"},"code":31,"language":"KLINGON","flag":0,"new":[1,{}]}"#;
const ODD_ANSWER: &str =
    r#"{"flag":1,"extFields":{"offset":12,"later":null}, "opaque":77,"code":0,"remark":"\/"}"#;

fn json_frame(header: &str, body: &[u8]) -> Vec<u8> {
    let header_len = u32::try_from(header.len()).unwrap();
    let total = 4 + header_len + u32::try_from(body.len()).unwrap();
    [
        &total.to_be_bytes()[..],
        &header_len.to_be_bytes()[..],
        header.as_bytes(),
        body,
    ]
    .concat()
}

#[tokio::test]
async fn json_frames_go_through_byte_for_byte_in_both_directions() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let request = json_frame(ODD_REQUEST, b"\0body\xff");
    client.peer.put_bytes(&request).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    assert_eq!(asked.frame.to_bytes(), request);
    let answer = json_frame(ODD_ANSWER, &[7; 5_000]);
    link.put_bytes(&answer).await;
    assert_eq!(client.peer.expect_answer(77).await.frame.to_bytes(), answer);
}

#[tokio::test]
async fn binary_frames_go_through_byte_for_byte_in_both_directions() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client_that(Speaks::NAMED.in_binary()).await;
    let request = client
        .command(
            rq::GET_MIN_OFFSET,
            &[("bname", "a"), ("topic", "T"), ("empty", "")],
        )
        .with_body(vec![0, 255]);
    let bytes = request.encode().unwrap().to_bytes();
    client.peer.put_bytes(&bytes).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    assert_eq!(asked.frame.to_bytes(), bytes);
    let mut answer =
        Command::answer(&asked.head, asked.frame.kind(), response::SUCCESS).with_field("offset", "");
    answer.version = 503;
    let answer = answer.encode().unwrap().to_bytes();
    link.put_bytes(&answer).await;
    assert_eq!(client.answer(request.opaque).await.frame.to_bytes(), answer);
}

#[tokio::test]
async fn an_answer_in_the_other_serialisation_is_passed_on_as_it_is() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    let mut answer = Command::answer(&asked.head, gimbal::protocol::Kind::Binary, response::SUCCESS);
    answer.set_field("offset", "3");
    link.answer_with(&asked, answer).await;
    let answer = client.answer(opaque).await;
    assert_eq!(
        (answer.frame.kind(), answer.field("offset")),
        (gimbal::protocol::Kind::Binary, Some("3"))
    );
}

#[tokio::test]
async fn a_response_nobody_waits_for_is_dropped() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    let mut stranger = Command::answer(&asked.head, asked.frame.kind(), response::SUCCESS);
    stranger.opaque = 4_711;
    link.put(&stranger).await;
    link.answer(&asked, response::SUCCESS).await;
    // A second answer to the same request finds nobody either.
    link.answer(&asked, response::SYSTEM_ERROR).await;
    assert_eq!(client.answer(opaque).await.head.code, response::SUCCESS);
    let next = client.ask(rq::GET_MAX_OFFSET, &[("bname", "a")]).await;
    let asked = link.expect(rq::GET_MAX_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    client.answer(next).await;
    assert!(client.leftovers().is_empty(), "{:?}", client.leftovers());
}

#[tokio::test]
async fn a_client_answer_to_no_push_is_dropped() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    client.peer.answer(&asked, response::SUCCESS).await;
    client.tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "a")]).await;
    link.expect(rq::UPDATE_CONSUMER_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    client.answer(opaque).await;
}

#[tokio::test]
async fn one_way_commands_are_never_answered_whatever_becomes_of_them() {
    let gone = Broker::start("gone");
    let ns = NameServer::knowing(&[&gone]).await;
    drop(gone);
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    client
        .tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "gone")])
        .await;
    client
        .tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "unheard-of")])
        .await;
    client.tell(rq::END_TRANSACTION, &[("msgId", "x")]).await;
    client.tell(rq::PULL_MESSAGE, &[]).await;
    client.tell(rq::UPDATE_AND_CREATE_TOPIC, &[]).await;
    client
        .tell(rq::GET_ROUTEINFO_BY_TOPIC, &[("topic", "none")])
        .await;
    client.tell(rq::HEART_BEAT, &[]).await;
    client.tell(rq::UNREGISTER_CLIENT, &[]).await;
    client.tell(rq::LOCK_BATCH_MQ, &[]).await;
    client.tell(rq::QUERY_MESSAGE, &[("topic", "none")]).await;
    // The same broker is asked after, so its failure is known by then.
    let after = client.call(rq::GET_MIN_OFFSET, &[("bname", "gone")]).await;
    assert_eq!(after.head.code, response::SERVICE_NOT_AVAILABLE);
    let after = client.call(rq::GET_MIN_OFFSET, &[("bname", "unheard-of")]).await;
    assert_eq!(after.head.code, response::SERVICE_NOT_AVAILABLE);
    client.sync().await;
    assert!(client.leftovers().is_empty(), "{:?}", client.leftovers());
}

#[tokio::test]
async fn an_answer_from_a_broker_to_a_one_way_command_stays_there() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    client.tell(rq::UPDATE_CONSUMER_OFFSET, &[("bname", "a")]).await;
    let mut link = broker.accept().await;
    let told = link.expect(rq::UPDATE_CONSUMER_OFFSET).await;
    assert_eq!(told.head.flag & FLAG_ONEWAY, FLAG_ONEWAY);
    link.answer(&told, response::SYSTEM_ERROR).await;
    let opaque = client.ask(rq::GET_MIN_OFFSET, &[("bname", "a")]).await;
    let asked = link.expect(rq::GET_MIN_OFFSET).await;
    link.answer(&asked, response::SUCCESS).await;
    client.answer(opaque).await;
    assert!(client.leftovers().is_empty(), "{:?}", client.leftovers());
}

#[tokio::test]
async fn unknown_codes_are_answered_not_supported_with_the_setting_named() {
    let ns = NameServer::start().await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    for code in [
        rq::UPDATE_AND_CREATE_TOPIC,
        rq::SEND_REPLY_MESSAGE_V2,
        Code(9_999),
        Code(3_442),
    ] {
        let answer = client.call(code, &[]).await;
        assert_eq!(answer.head.code, response::REQUEST_CODE_NOT_SUPPORTED, "{code}");
    }
    let remark = client
        .call(rq::UPDATE_AND_CREATE_TOPIC, &[])
        .await
        .command
        .remark
        .unwrap();
    assert!(remark.as_str().contains("allow"), "{remark:?}");
}

#[tokio::test]
async fn a_frame_of_sixteen_mebibytes_goes_through() {
    let broker = Broker::start("a");
    let ns = NameServer::knowing(&[&broker]).await;
    let proxy = Gimbal::before(&[&ns]).start().await;
    let mut client = proxy.client().await;
    let body = vec![b'x'; (16 << 20) - 1_024];
    let mut send = client.command(rq::SEND_MESSAGE_V2, &[("n", "a"), ("b", "T")]);
    send.body = body.clone().into();
    let frame = send.encode().unwrap().to_bytes();
    let writing = client.peer.put_bytes(&frame);
    let reading = async {
        let mut link = broker.accept().await;
        let asked = link.expect(rq::SEND_MESSAGE_V2).await;
        (link, asked)
    };
    let ((), (mut link, asked)) = tokio::join!(writing, reading);
    assert_eq!(asked.command.body.len(), body.len());
    let answer = Command::answer(&asked.head, asked.frame.kind(), response::SUCCESS).with_body(body.clone());
    let (answer, ()) = tokio::join!(client.answer(send.opaque), link.answer_with(&asked, answer));
    assert_eq!(answer.command.body.len(), body.len());
}
