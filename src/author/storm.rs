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
