//! Claims about JSON bodies, both ways.

use super::*;

#[test]
fn bodies_of_requests_keep_every_byte_but_those_of_names() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        (
            "request-34-java-4.4.0-json",
            &[
                ("\"g440\"", "\"B-g440\""),
                ("%g440", "%B-g440"),
                ("\"T1\"", "\"A%T1\""),
            ],
        ),
        (
            "request-34-go-2.1.2-json",
            &[
                ("\"ggo1\"", "\"B-ggo1\""),
                ("%ggo1", "%B-ggo1"),
                ("\"TGO\"", "\"A%TGO\""),
            ],
        ),
        (
            "request-41-java-5.5.0-json",
            &[("\"goJSON\"", "\"B-goJSON\""), ("\"T1\"", "\"A%T1\"")],
        ),
        (
            "request-42-java-5.5.0-json",
            &[("\"goJSON\"", "\"B-goJSON\""), ("\"T1\"", "\"A%T1\"")],
        ),
        (
            "request-46-java-5.5.0-json",
            &[("\"gs550\"", "\"B-gs550\""), ("\"T1\"", "\"A%T1\"")],
        ),
        (
            "request-400-java-5.5.0-json",
            &[("\"g_pop\"", "\"B-g_pop\""), ("\"TPOP\"", "\"A%TPOP\"")],
        ),
    ];
    for (name, replaced) in cases {
        let before = frame(name);
        let wanted = replaced
            .iter()
            .fold(body(&before).to_owned(), |body, (old, new)| {
                body.replace(old, new)
            });
        assert_ne!(wanted, body(&before), "{name}");
        assert_eq!(body(&sent(name)), wanted, "{name}");
    }
}

#[test]
fn batches_of_acks_are_mapped_in_both_spellings_and_in_retry_topics() {
    let mut command = Command::request(rq::BATCH_ACK_MESSAGE, 1).with_body(
        r#"{"acks":[{"b":"AQ==","c":"g_1","t":"%RETRY%g_1_TT","r":"1"},{"consumerGroup":"g","topic":"x"}],"brokerName":"t"}"#,
    );
    request_to_broker(&mapping(), NOBODY, &mut command).unwrap();
    assert_eq!(
        body(&command),
        r#"{"acks":[{"b":"AQ==","c":"B-g_1","t":"%RETRY%B-g_1_other","r":"1"},{"consumerGroup":"B-g","topic":"A%x"}],"brokerName":"t"}"#
    );
}

#[test]
fn no_spelling_hides_a_name() {
    for (hidden, wanted) in [
        (
            r#"{"mqSet":[{"to\u0070ic":"t"}]}"#,
            r#"{"mqSet":[{"to\u0070ic":"A%t"}]}"#,
        ),
        (
            r#"{"mqSet":[{"Topic":"t","TO_PIC":"t"}]}"#,
            r#"{"mqSet":[{"Topic":"A%t","TO_PIC":"A%t"}]}"#,
        ),
        (
            r#"{"consumer_group":"g","topic":1}"#,
            r#"{"consumer_group":"B-g","topic":"A%1"}"#,
        ),
        (r#"{"topic":"t","topic":"u"}"#, r#"{"topic":"A%t","topic":"A%u"}"#),
    ] {
        let mut command = Command::request(rq::LOCK_BATCH_MQ, 1).with_body(hidden.to_owned());
        request_to_broker(&mapping(), NOBODY, &mut command).unwrap();
        assert_eq!(body(&command), wanted);
    }
    let mut quotes = Command::request(rq::LOCK_BATCH_MQ, 1).with_body("{'topic':'t'}");
    let error = request_to_broker(&mapping(), NOBODY, &mut quotes).unwrap_err();
    assert!(matches!(error, NameError::Unreadable(_)), "{error}");
}

#[test]
fn answers_come_back_in_the_names_of_the_client() {
    let answer = |code: Code, body: &str| {
        let asked = Asked {
            code,
            topic: None,
            group: None,
        };
        let mut command = Command::request(Code(0), 1).with_body(body.to_owned());
        response_to_client(&mapping(), NOBODY, &asked, &mut command).unwrap();
        String::from_utf8(command.body.to_vec()).unwrap()
    };
    let locked =
        |topic| format!(r#"{{"lockOKMQSet":[{{"brokerName":"A%b","queueId":1,"topic":"{topic}"}}]}}"#);
    assert_eq!(answer(rq::LOCK_BATCH_MQ, &locked("A%T1")), locked("T1"));
    assert_eq!(answer(rq::LOCK_BATCH_MQ, &locked("other")), locked("TT"));
    let assigned = |topic| {
        format!(
            r#"{{"messageQueueAssignments":[{{"messageQueue":{{"queueId":-1,"topic":"{topic}"}},"mode":"POP"}}]}}"#
        )
    };
    assert_eq!(
        answer(rq::QUERY_ASSIGNMENT, &assigned("%RETRY%B-g")),
        assigned("%RETRY%g")
    );
    let route = |topic| {
        format!(
            r#"{{"brokerDatas":[{{"brokerAddrs":{{0:"a:1"}},"brokerName":"b"}}],"topicQueueMappingByBroker":{{"b":{{"bname":"b","currIdMap":{{0:0}},"topic":"{topic}"}}}}}}"#
        )
    };
    assert_eq!(answer(rq::GET_ROUTEINFO_BY_TOPIC, &route("A%t")), route("t"));
}

#[test]
fn pushes_and_their_answers_are_mapped() {
    let mut notify = frame("request-40-broker-5.5.0-json");
    notify.set_field("consumerGroup", "B-g550");
    push_to_client(&mapping(), NOBODY, &mut notify).unwrap();
    assert_eq!(notify.field("consumerGroup"), Some("g550"));

    let reset = |topic: &str, keyed: bool| {
        let queue = format!(r#""brokerName":"b","queueId":0,"topic":"{topic}""#);
        if keyed {
            format!(r#"{{"offsetTable":{{{{{queue}}}:123}}}}"#)
        } else {
            format!(r#"{{"offsetTable":[{{{queue},"offset":123}}]}}"#)
        }
    };
    for keyed in [true, false] {
        let mut push = Command::request(rq::RESET_CONSUMER_CLIENT_OFFSET, 1)
            .with_field("topic", "A%t")
            .with_field("group", "B-g")
            .with_body(reset("A%t", keyed));
        push_to_client(&mapping(), NOBODY, &mut push).unwrap();
        assert_eq!(body(&push), reset("t", keyed));
        assert_eq!((push.field("topic"), push.field("group")), (Some("t"), Some("g")));
    }
    let status =
        |topic| format!(r#"{{"consumerTable":{{}},"messageQueueTable":{{{{"topic":"{topic}"}}:5}}}}"#);
    let mut answer = Command::request(Code(0), 1).with_body(status("t"));
    push_answer_to_broker(
        &mapping(),
        NOBODY,
        rq::GET_CONSUMER_STATUS_FROM_CLIENT,
        &mut answer,
    )
    .unwrap();
    assert_eq!(body(&answer), status("A%t"));
}

#[test]
fn running_info_is_mapped_also_where_topics_are_keys() {
    for (name, group) in [
        ("answer-307-0-java-5.5.0-json", "gadm550c"),
        ("answer-307-0-java-4.9.8-json", "gadm498"),
    ] {
        let mut command = frame(name);
        let wanted = body(&command)
            .replace(&format!("\"{group}\""), &format!("\"B-{group}\""))
            .replace(&format!("%{group}\""), &format!("%B-{group}\""))
            .replace("\"T1\"", "\"A%T1\"");
        push_answer_to_broker(&mapping(), NOBODY, rq::GET_CONSUMER_RUNNING_INFO, &mut command).unwrap();
        assert_eq!(body(&command), wanted, "{name}");
    }
}

#[test]
fn a_body_that_goes_to_the_broker_and_back_has_its_first_bytes() {
    for name in [
        "request-41-java-5.5.0-json",
        "request-41-go-2173d07-json",
        "request-400-java-5.5.0-json",
    ] {
        let request = frame(name);
        let mut command = sent(name);
        command.code = Code(0);
        response_to_client(&mapping(), NOBODY, &Asked::of(&request), &mut command).unwrap();
        assert_eq!(body(&command), body(&request), "{name}");
    }
}
