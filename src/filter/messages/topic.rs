//! A message's own topic: the one it was first sent to, also where it is stored under another.

use crate::protocol::body::Properties;

const RETRY: &str = "%RETRY%";
const DLQ: &str = "%DLQ%";
/// Topics in which brokers keep messages until their time has come; the topic they go to is `REAL_TOPIC`.
const WAITING_ROOMS: [&str; 4] = [
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SCHEDULE_TOPIC_XXXX",
    "rmq_sys_wheel_timer",
];
/// Most topics one inside the other: a delayed retry of a pop retry has three.
const DEEPEST: usize = 4;

/// The own topic of a message that is stored under `stored`. `group` is the group that popped it, if it is known: without
/// it `%RETRY%<group>_<topic>` cannot be told from the retry topic of a group with a long name.
pub(super) fn own_topic<'a>(
    stored: &'a str,
    properties: &'a Properties,
    mut group: Option<&'a str>,
) -> &'a str {
    let mut topic = stored;
    for _ in 0..DEEPEST {
        let inner = if let Some(dead_for) = topic.strip_prefix(DLQ) {
            group = Some(dead_for);
            let origin = properties.find("DLQ_ORIGIN_TOPIC");
            origin.or_else(|| properties.find("RETRY_TOPIC"))
        } else if let Some(rest) = topic.strip_prefix(RETRY) {
            let popped = group.and_then(|group| rest.strip_prefix(group)?.strip_prefix('_'));
            let popped = rest.split_once('+').map(|(_, topic)| topic).or(popped);
            popped.or_else(|| properties.find("RETRY_TOPIC"))
        } else if WAITING_ROOMS.contains(&topic) {
            properties.find("REAL_TOPIC")
        } else {
            None
        };
        match inner {
            Some(inner) if !inner.is_empty() && inner != topic => topic = inner,
            _ => break,
        }
    }
    topic
}

/// Which kind of topic pop calls this one: 0 an ordinary one, 1 and 2 retry topics in two forms (`ExtraInfoUtil.getRetry`).
pub(super) fn retry_mark(stored: &str) -> &'static str {
    match stored.strip_prefix(RETRY) {
        None => "0",
        Some(rest) if rest.contains('+') => "2",
        Some(_) => "1",
    }
}

/// The topic that a message of this kind is acknowledged in (`ExtraInfoUtil.getRealTopic`).
pub(super) fn acknowledged_topic(mark: &str, topic: &str, group: &str) -> String {
    match mark {
        "1" => format!("{RETRY}{group}_{topic}"),
        "2" => format!("{RETRY}{group}+{topic}"),
        _ => topic.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topic_is_found_under_every_other() {
        let cases = [
            ("T", "RETRY_TOPIC\u{1}X\u{2}REAL_TOPIC\u{1}Y", None, "T"),
            ("%RETRY%g", "RETRY_TOPIC\u{1}T", None, "T"),
            ("%RETRY%g", "", None, "%RETRY%g"),
            ("%RETRY%g+T_1", "", None, "T_1"),
            ("%RETRY%g_T_1", "", Some("g"), "T_1"),
            ("%RETRY%g_T_1", "", None, "%RETRY%g_T_1"),
            (
                "%DLQ%g",
                "DLQ_ORIGIN_TOPIC\u{1}T\u{2}RETRY_TOPIC\u{1}X",
                None,
                "T",
            ),
            ("%DLQ%g", "RETRY_TOPIC\u{1}T", None, "T"),
            ("%DLQ%g", "RETRY_TOPIC\u{1}%RETRY%g_T", None, "T"),
            (
                "SCHEDULE_TOPIC_XXXX",
                "REAL_TOPIC\u{1}%RETRY%g\u{2}RETRY_TOPIC\u{1}T",
                None,
                "T",
            ),
            ("RMQ_SYS_TRANS_HALF_TOPIC", "REAL_TOPIC\u{1}T", None, "T"),
            (
                "%RETRY%a",
                "RETRY_TOPIC\u{1}%DLQ%b\u{2}DLQ_ORIGIN_TOPIC\u{1}%RETRY%a",
                None,
                "%RETRY%a",
            ),
        ];
        for (stored, properties, group, wanted) in cases {
            let properties = Properties::new(properties);
            assert_eq!(own_topic(stored, &properties, group), wanted, "{stored}");
        }
    }

    #[test]
    fn marks_and_topics_belong_together() {
        for (mark, topic) in [("0", "T"), ("1", "%RETRY%g_T"), ("2", "%RETRY%g+T")] {
            assert_eq!(acknowledged_topic(mark, "T", "g"), topic);
            assert_eq!(retry_mark(topic), mark);
        }
    }
}
