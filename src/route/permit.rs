//! Which request codes pass: messaging always, request-reply and admin when the operator allows them.

use crate::config::Allow;
use crate::protocol::request as rq;
use crate::protocol::{Code, request};

/// Codes that name servers answer; everything else is for brokers (`DefaultRequestProcessor` of the name server).
const NAMESERVER: [Code; 17] = [
    rq::PUT_KV_CONFIG,
    rq::GET_KV_CONFIG,
    rq::DELETE_KV_CONFIG,
    rq::GET_KVLIST_BY_NAMESPACE,
    rq::WIPE_WRITE_PERM_OF_BROKER,
    rq::ADD_WRITE_PERM_OF_BROKER,
    rq::GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
    rq::DELETE_TOPIC_IN_NAMESRV,
    rq::REGISTER_TOPIC_IN_NAMESRV,
    rq::GET_TOPICS_BY_CLUSTER,
    rq::GET_SYSTEM_TOPIC_LIST_FROM_NS,
    rq::GET_UNIT_TOPIC_LIST,
    rq::GET_HAS_UNIT_SUB_TOPIC_LIST,
    rq::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
    rq::UPDATE_NAMESRV_CONFIG,
    rq::GET_NAMESRV_CONFIG,
    rq::GET_BROKER_MEMBER_GROUP,
];

/// Codes by which brokers speak to name servers; they pass no proxy, whatever is allowed.
const NEVER: [Code; 3] = [rq::REGISTER_BROKER, rq::UNREGISTER_BROKER, rq::QUERY_DATA_VERSION];

/// Whether ordinary clients send this code.
pub(super) fn is_messaging(code: Code) -> bool {
    matches!(
        code,
        rq::SEND_MESSAGE
            | rq::SEND_MESSAGE_V2
            | rq::SEND_BATCH_MESSAGE
            | rq::PULL_MESSAGE
            | rq::LITE_PULL_MESSAGE
            | rq::QUERY_MESSAGE
            | rq::VIEW_MESSAGE_BY_ID
            | rq::QUERY_CONSUMER_OFFSET
            | rq::UPDATE_CONSUMER_OFFSET
            | rq::SEARCH_OFFSET_BY_TIMESTAMP
            | rq::GET_MAX_OFFSET
            | rq::GET_MIN_OFFSET
            | rq::GET_EARLIEST_MSG_STORETIME
            | rq::HEART_BEAT
            | rq::UNREGISTER_CLIENT
            | rq::CONSUMER_SEND_MSG_BACK
            | rq::END_TRANSACTION
            | rq::GET_CONSUMER_LIST_BY_GROUP
            | rq::LOCK_BATCH_MQ
            | rq::UNLOCK_BATCH_MQ
            | rq::CHECK_CLIENT_CONFIG
            | rq::GET_KV_CONFIG
            | rq::GET_ROUTEINFO_BY_TOPIC
            | rq::RECALL_MESSAGE
            | rq::QUERY_ASSIGNMENT
            | rq::POP_MESSAGE
            | rq::ACK_MESSAGE
            | rq::BATCH_ACK_MESSAGE
            | rq::PEEK_MESSAGE
            | rq::CHANGE_MESSAGE_INVISIBLETIME
            | rq::NOTIFICATION
            | rq::POLLING_INFO
    )
}

/// Why a request code does not pass, as a remark for the client; `None` when it passes.
pub fn refusal(code: Code, allow: &Allow) -> Option<String> {
    if is_messaging(code) || (allow.codes.contains(&code) && !NEVER.contains(&code)) {
        return None;
    }
    let Some(name) = request::name(code) else {
        // An unknown code may be one of a newer RocketMQ; `admin` lets it reach a broker that may know it.
        return (!allow.admin).then(|| format!(" request type {code} not supported"));
    };
    if NEVER.contains(&code) {
        return Some(format!(
            " request type {code} not supported: {name} is for brokers only"
        ));
    }
    let (allowed, group) = match code {
        rq::SEND_REPLY_MESSAGE | rq::SEND_REPLY_MESSAGE_V2 => (allow.request_reply, "request-reply"),
        _ => (allow.admin, "admin"),
    };
    (!allowed).then(|| {
        format!(
            " request type {code} not supported: this Gimbal does not let {name} through; the setting allow = [\"{name}\"] \
             or allow = [\"{group}\"] does"
        )
    })
}

/// Whether a name server answers this code.
pub fn is_nameserver_code(code: Code) -> bool {
    NAMESERVER.contains(&code)
}

/// Whether every name server must hear this code, because it changes something.
pub(super) fn is_nameserver_change(code: Code) -> bool {
    matches!(
        code,
        rq::PUT_KV_CONFIG
            | rq::DELETE_KV_CONFIG
            | rq::WIPE_WRITE_PERM_OF_BROKER
            | rq::ADD_WRITE_PERM_OF_BROKER
            | rq::DELETE_TOPIC_IN_NAMESRV
            | rq::REGISTER_TOPIC_IN_NAMESRV
            | rq::UPDATE_NAMESRV_CONFIG
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messaging_passes_and_the_rest_is_refused_with_the_setting_named() {
        let replies = Allow {
            request_reply: true,
            ..Allow::default()
        };
        assert_eq!(refusal(rq::SEND_MESSAGE_V2, &Allow::default()), None);
        let remark = refusal(rq::UPDATE_AND_CREATE_TOPIC, &replies).unwrap();
        assert!(
            remark.contains("allow = [\"UPDATE_AND_CREATE_TOPIC\"]") && remark.contains("admin"),
            "{remark}"
        );
        let remark = refusal(
            rq::SEND_REPLY_MESSAGE_V2,
            &Allow {
                admin: true,
                ..Allow::default()
            },
        )
        .unwrap();
        assert!(remark.contains("request-reply"), "{remark}");
        assert_eq!(
            refusal(Code(3442), &replies).as_deref(),
            Some(" request type 3442 not supported")
        );
    }

    #[test]
    fn groups_and_single_codes_open_what_they_name_and_no_more() {
        let admin = Allow {
            admin: true,
            ..Allow::default()
        };
        let single = Allow {
            codes: vec![rq::GET_CONSUMER_RUNNING_INFO, rq::REGISTER_BROKER],
            ..Allow::default()
        };
        assert_eq!(refusal(rq::UPDATE_AND_CREATE_TOPIC, &admin), None);
        assert_eq!(refusal(rq::GET_CONSUMER_RUNNING_INFO, &single), None);
        assert!(refusal(rq::GET_ALL_TOPIC_CONFIG, &single).is_some());
        assert!(
            refusal(rq::REGISTER_BROKER, &single).is_some(),
            "brokers speak to name servers themselves"
        );
    }
}
