//! Names that RocketMQ gives a meaning of their own, and the parts that such names are made of.

/// Topics of the system (`TopicValidator`).
const SYSTEM_TOPICS: [&str; 9] = [
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "BenchmarkTest",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_HALF_TOPIC",
];
/// What topics of the system begin with.
const SYSTEM_TOPIC_PREFIXES: [&str; 2] = ["RMQ_SYS_", "rmq_sys_"];
/// What the topic that answers of request and reply go through ends with; the cluster's name stands before it.
const REPLY_SUFFIX: &str = "_REPLY_TOPIC";
/// Groups that clients and brokers bring along (`MixAll`).
const SYSTEM_GROUPS: [&str; 11] = [
    "CLIENT_INNER_PRODUCER",
    "TOOLS_CONSUMER",
    "SCHEDULE_CONSUMER",
    "FILTERSRV_CONSUMER",
    "__MONITOR_CONSUMER",
    "SELF_TEST_P_GROUP",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_ONSAPI_PULL",
];
/// What groups of the system begin with; the second one are the trace producers of clients.
const SYSTEM_GROUP_PREFIXES: [&str; 2] = ["CID_RMQ_SYS_", "_INNER_TRACE_PRODUCER"];

/// Before the group in its retry topic.
pub(super) const RETRY: &str = "%RETRY%";
/// Before the group in its dead-letter topic.
pub(super) const DEAD: &str = "%DLQ%";
/// Before the name of a light queue.
pub(super) const LIGHT: &str = "%LMQ%";

/// What a topic's name is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic<'a> {
    /// A name like any other.
    Plain(&'a str),
    /// A retry or dead-letter topic: the prefix and the group.
    OfGroup(&'static str, &'a str),
    /// The retry topic of a group that pops: the group, the separator, the topic.
    PopRetry(&'a str, char, &'a str),
    /// A light queue: what stands behind its prefix.
    Light(&'a str),
}

impl<'a> Topic<'a> {
    /// Takes `name` apart. `groups` are those that it may be a pop retry topic of: without them the first form of such
    /// names, `%RETRY%group_topic`, cannot be told from the retry topic of a group with that whole name.
    pub(super) fn parse(name: &'a str, groups: &[String]) -> Self {
        if let Some(group) = name.strip_prefix(DEAD) {
            return Self::OfGroup(DEAD, group);
        }
        if let Some(rest) = name.strip_prefix(LIGHT) {
            return Self::Light(rest);
        }
        let Some(rest) = name.strip_prefix(RETRY) else {
            return Self::Plain(name);
        };
        if let Some((group, topic)) = rest.split_once('+') {
            return Self::PopRetry(group, '+', topic);
        }
        if groups.iter().any(|group| group == rest) {
            return Self::OfGroup(RETRY, rest);
        }
        let parts = groups.iter().filter(|group| !group.is_empty()).find_map(|group| {
            let topic = rest.strip_prefix(group.as_str())?.strip_prefix('_')?;
            Some((rest.get(..group.len())?, topic))
        });
        match parts {
            Some((group, topic)) => Self::PopRetry(group, '_', topic),
            None => Self::OfGroup(RETRY, rest),
        }
    }
}

/// Whether a topic is the same for every client: built in, or for replies.
pub(super) fn is_system_topic(topic: &str) -> bool {
    SYSTEM_TOPICS.contains(&topic)
        || SYSTEM_TOPIC_PREFIXES
            .iter()
            .any(|prefix| topic.starts_with(prefix))
        || topic.ends_with(REPLY_SUFFIX)
}

/// Whether a group is the same for every client.
pub(super) fn is_system_group(group: &str) -> bool {
    SYSTEM_GROUPS.contains(&group)
        || SYSTEM_GROUP_PREFIXES
            .iter()
            .any(|prefix| group.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_topics_come_apart() {
        let groups = ["g".to_owned(), "g_x".to_owned()];
        let parse = |name| Topic::parse(name, &groups);
        assert_eq!(parse("t"), Topic::Plain("t"));
        assert_eq!(parse("ns%t"), Topic::Plain("ns%t"));
        assert_eq!(parse("%DLQ%a_b"), Topic::OfGroup(DEAD, "a_b"));
        assert_eq!(parse("%RETRY%a_b"), Topic::OfGroup(RETRY, "a_b"));
        assert_eq!(
            parse("%RETRY%g_x"),
            Topic::OfGroup(RETRY, "g_x"),
            "the whole is a group"
        );
        assert_eq!(parse("%RETRY%g_t_u"), Topic::PopRetry("g", '_', "t_u"));
        assert_eq!(parse("%RETRY%a_b+t+u"), Topic::PopRetry("a_b", '+', "t+u"));
        assert_eq!(parse("%LMQ%q"), Topic::Light("q"));
    }

    #[test]
    fn what_belongs_to_the_system_is_known() {
        for topic in [
            "TBW102",
            "rmq_sys_wheel_timer",
            "RMQ_SYS_TRANS_OP_HALF_TOPIC",
            "c_REPLY_TOPIC",
        ] {
            assert!(is_system_topic(topic), "{topic}");
        }
        assert!(!is_system_topic("TBW102x"));
        for group in [
            "CLIENT_INNER_PRODUCER",
            "CID_RMQ_SYS_TRANS",
            "_INNER_TRACE_PRODUCER-g-PRODUCE",
        ] {
            assert!(is_system_group(group), "{group}");
        }
        assert!(!is_system_group("TOOLS_CONSUMER2"));
    }
}
