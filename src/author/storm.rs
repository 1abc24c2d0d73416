//! Verdicts after which RocketMQ's clients try again at once, or for ever.

use super::cases::Shown;
use super::stand::Decision;
use crate::filter::{Verdict, waits_for_messages};
use crate::protocol::request as rq;
use crate::protocol::{Code, response as rs};

/// Why clients would start a storm after this decision; `None` when they would not.
pub fn after(shown: &Shown, decision: &Decision) -> Option<String> {
    // What the policy does after a failure is chosen so that there is none.
    if decision.failure.is_some() {
        return None;
    }
    match shown {
        Shown::Request(command) => after_request(command.code, decision),
        Shown::Response { request, answer } => after_response(request.code, answer.code, decision),
        Shown::Connection => match decision.verdict {
            Verdict::Close(_) => Some(CLOSED.to_owned()),
            _ => None,
        },
    }
}

const CLOSED: &str =
    "clients connect again at once; refuse the command with an answer instead, unless the client is hostile";

fn after_request(code: Code, decision: &Decision) -> Option<String> {
    match &decision.verdict {
        Verdict::Answer(answer) if is_send(code) => after_send(answer.code),
        Verdict::Answer(answer) if waits_for_messages(code) => after_pull(answer.code),
        Verdict::Close(_) => Some(CLOSED.to_owned()),
        Verdict::Delay(wait) => {
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let asked = decision.asked_delay.filter(|asked| *asked > wait)?;
            Some(format!(
                "it asks for {asked} ms, and such a command is held {wait} ms at most: its client gives up after that, \
                 closes its connection and tries again"
            ))
        }
        // A delay that is not followed at all.
        Verdict::Forward if decision.asked_delay.is_some_and(|asked| asked > 0) => Some(format!(
            "its delay is not followed: {} is never held, or the client would be thrown out of its group",
            rq::name(code).unwrap_or("this command")
        )),
        _ => None,
    }
}

fn is_send(code: Code) -> bool {
    matches!(
        code,
        rq::SEND_MESSAGE
            | rq::SEND_MESSAGE_V2
            | rq::SEND_BATCH_MESSAGE
            | rq::SEND_REPLY_MESSAGE
            | rq::SEND_REPLY_MESSAGE_V2
    )
}

/// Producers send again after what looks like the broker's trouble (`DefaultMQProducer.retryResponseCodes`).
fn after_send(code: Code) -> Option<String> {
    let is_retried = matches!(
        code,
        rs::SYSTEM_ERROR
            | rs::SYSTEM_BUSY
            | rs::SERVICE_NOT_AVAILABLE
            | rs::NO_PERMISSION
            | rs::TOPIC_NOT_EXIST
            | rs::NO_BUYER_ID
            | rs::NOT_IN_CURRENT_UNIT
            | rs::GO_AWAY
    );
    is_retried.then(|| {
        format!(
            "producers send again after {code}, twice and to other brokers; 215 (too much) and 13 (never) are final for \
             them"
        )
    })
}

/// Consumers ask again for what they were not given.
fn after_pull(code: Code) -> Option<String> {
    let when = match code {
        rs::SUCCESS => return None,
        rs::FLOW_CONTROL => "after 20 ms",
        rs::PULL_NOT_FOUND | rs::PULL_RETRY_IMMEDIATELY | rs::POLLING_TIMEOUT => "at once",
        _ => "every second, for each queue",
    };
    Some(format!(
        "consumers ask again {when} after {code}; hold the request with delay instead"
    ))
}

fn after_response(request: Code, before: Code, decision: &Decision) -> Option<String> {
    let Verdict::Answer(answer) = &decision.verdict else {
        return matches!(decision.verdict, Verdict::Close(_)).then(|| CLOSED.to_owned());
    };
    if before != rs::SUCCESS || answer.code == rs::SUCCESS {
        return None;
    }
    if is_send(request) {
        return Some(format!(
            "the message is stored, and its producer hears {}: it sends the message again",
            answer.code
        ));
    }
    let ends = "take the messages out instead, so that it goes on behind them";
    waits_for_messages(request).then(|| {
        format!(
            "messages were found, and the consumer hears {}: it asks for the same ones for ever; {ends}",
            answer.code
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Answer;

    fn warned(code: Code, verdict: Verdict) -> bool {
        after_request(code, &Decision::of(verdict)).is_some()
    }

    fn answers(code: Code, with: Code) -> bool {
        warned(code, Verdict::Answer(Answer::new(with, "")))
    }

    #[test]
    fn producers_take_215_and_13_for_final_and_try_again_after_others() {
        for final_code in [rs::FLOW_CONTROL, rs::MESSAGE_ILLEGAL, rs::SUCCESS] {
            assert!(!answers(rq::SEND_MESSAGE_V2, final_code), "{final_code}");
        }
        for retried in [
            rs::SYSTEM_ERROR,
            rs::SYSTEM_BUSY,
            rs::SERVICE_NOT_AVAILABLE,
            rs::TOPIC_NOT_EXIST,
        ] {
            for send in [rq::SEND_MESSAGE, rq::SEND_MESSAGE_V2, rq::SEND_BATCH_MESSAGE] {
                assert!(answers(send, retried), "{send} {retried}");
            }
        }
    }

    #[test]
    fn consumers_are_held_and_not_answered() {
        for code in [rq::PULL_MESSAGE, rq::POP_MESSAGE] {
            assert!(answers(code, rs::FLOW_CONTROL), "{code}");
            assert!(answers(code, rs::PULL_NOT_FOUND), "{code}");
            assert!(!answers(code, rs::SUCCESS), "{code}");
            assert!(
                !warned(code, Verdict::Delay(std::time::Duration::from_secs(1))),
                "{code}"
            );
        }
    }

    #[test]
    fn a_heartbeat_that_should_wait_and_a_closed_connection_are_warned_of() {
        let mut decision = Decision::of(Verdict::Forward);
        assert_eq!(after_request(rq::HEART_BEAT, &decision), None);
        decision.asked_delay = Some(100);
        let why = after_request(rq::HEART_BEAT, &decision).unwrap();
        assert!(why.contains("HEART_BEAT is never held"), "{why}");
        assert!(warned(rq::SEND_MESSAGE_V2, Verdict::Close("no".to_owned())));
    }

    #[test]
    fn a_found_message_must_not_become_an_error() {
        let refused = Decision::of(Verdict::Answer(Answer::new(rs::SYSTEM_ERROR, "")));
        for code in [rq::PULL_MESSAGE, rq::SEND_MESSAGE_V2] {
            assert!(after_response(code, rs::SUCCESS, &refused).is_some(), "{code}");
            assert!(
                after_response(code, rs::SYSTEM_BUSY, &refused).is_none(),
                "{code}"
            );
        }
    }
}
