//! Every metric of Gimbal: name, kind, unit, labels and help, in the order in which they are told.
//!
//! Where RocketMQ's brokers and proxy (5.x) or OpenTelemetry have a name for the same thing, that is its name here and
//! the help says so; all others begin with `gimbal_`. Times are in seconds, sizes in bytes. In OTLP a counter has the
//! same name without `_total`.

use super::family::{Family, Kind};

macro_rules! families {
    ($($(#[$doc:meta])* $id:ident = $kind:ident $name:literal in $unit:literal by [$($label:literal),*] $help:literal;)*) => {
        $(
            $(#[$doc])*
            #[doc = concat!("`", $name, "`")]
            pub const $id: &Family = &Family {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*

        /// All of them.
        pub const ALL: &[&Family] = &[$($id),*];
    };
}

families! {
    BUILD_INFO = Gauge "gimbal_build_info" in "1" by ["version"] "Always 1; its label says which version runs.";
    UPTIME = Gauge "gimbal_uptime_seconds" in "s" by [] "Time since this Gimbal began to serve.";

    CONNECTIONS = Gauge "gimbal_connections" in "{connection}" by ["listener"] "Client connections that speak remoting now.";
    CONNECTIONS_OPENED = Counter "gimbal_connections_opened_total" in "{connection}" by ["listener"] "Client connections that began to speak remoting.";
    CONNECTIONS_CLOSED = Counter "gimbal_connections_closed_total" in "{connection}" by ["reason"] "Client connections that ended: gone (by the client, or its socket failed), malformed (it sent what is no command), oversized (a command above limits.frame), frame-late (one took longer than timeouts.frame), stalled (it read nothing), idle (silent for too long), drained (this Gimbal leaves), filter (a filter or a limit closed it).";
    CONNECTIONS_ACCEPTED = Counter "gimbal_connections_accepted_total" in "{connection}" by [] "Connections accepted, whatever they came to speak.";
    CONNECTIONS_REFUSED = Counter "gimbal_connections_refused_total" in "{connection}" by ["cause"] "Connections closed before or instead of being served: slow (said too little in time), left (by the client), failed (its socket), header_forbidden, header_malformed and header_missing (PROXY protocol), tls_disabled, tls_required, tls_failed, grpc_disabled, foreign (a protocol not spoken here), openings_limit (made room for others before it had said what it is), address_limit and user_limit (too many of one).";
    CONNECTION_WAITS = Counter "gimbal_connection_waits_total" in "{connection}" by ["limit"] "Connections that had to wait for being accepted, by the limit that was reached: connections, listener, openings.";
    ACCEPT_FAILURES = Counter "gimbal_accept_failures_total" in "{failure}" by ["cause"] "Accepts that failed: exhausted (descriptors or memory of the system ran out), aborted (the client was gone).";
    OPENINGS = Counter "gimbal_connections_spoken_total" in "{connection}" by ["protocol"] "Connections by what their first bytes turned out to be: remoting, http2 (passed on to the gRPC upstream), http1 (told where it is).";
    TLS_CONNECTIONS = Counter "gimbal_tls_connections_total" in "{connection}" by [] "Connections under TLS, whatever is spoken inside.";
    PROXIED_CONNECTIONS = Counter "gimbal_proxied_connections_total" in "{connection}" by [] "Connections that a PROXY protocol header began.";
    GRPC_CONNECTIONS = Gauge "gimbal_grpc_connections" in "{connection}" by [] "Connections passed on to a gRPC upstream now.";
    GRPC_BYTES = Counter "gimbal_grpc_bytes_total" in "By" by ["to"] "Bytes passed on to a gRPC upstream and back, without what TLS adds.";
    GRPC_FAILED = Counter "gimbal_grpc_unreachable_total" in "{connection}" by [] "Connections closed since their gRPC upstream could not be reached.";
    CERTIFICATE_EXPIRY = Gauge "gimbal_certificate_expiry_timestamp_seconds" in "s" by ["listener", "subject"] "When a certificate that clients are shown expires, seconds since 1970.";
    CERTIFICATE_TROUBLE = Gauge "gimbal_certificate_trouble" in "1" by ["listener"] "1 while newer files of certificates or keys cannot be used and the old ones serve.";

    COMMANDS_BEGUN = Counter "gimbal_commands_begun_total" in "{command}" by ["way", "code"] "Commands that came in, by name of their request code; way is request (of a client) or push (of a broker to its client). Each ends exactly once, in gimbal_commands_total.";
    COMMANDS = Counter "gimbal_commands_total" in "{command}" by ["way", "code", "outcome"] "Commands that ended, by outcome: forwarded (its answer came from the other side, or it was one-way and went on), answered (by Gimbal), denied (a filter answered), dropped and closed (by a filter), refused (by Gimbal's own rules), failed (no answer in time, or nobody could be reached), abandoned (the connection ended first).";
    COMMANDS_IN_FLIGHT = Gauge "gimbal_commands_in_flight" in "{command}" by ["way"] "Commands that came in and have not ended, long polls among them.";
    COMMANDS_HELD = Gauge "gimbal_commands_held" in "{command}" by [] "Commands that a filter's delay holds now.";
    COMMANDS_PARKED = Gauge "gimbal_commands_parked" in "{command}" by [] "Commands that wait for a topic's route now.";
    RESULTS = Counter "gimbal_results_total" in "{answer}" by ["code", "result"] "Answers to clients' requests, by name of the request code and of the response code; codes without a name are other.";
    BYTES_RECEIVED = Counter "gimbal_received_bytes_total" in "By" by ["side"] "Bytes of commands that came in: downstream from clients, upstream from brokers and name servers.";
    BYTES_SENT = Counter "gimbal_sent_bytes_total" in "By" by ["side"] "Bytes of commands that went out: downstream to clients, upstream to brokers.";

    COMMAND_SECONDS = Histogram "gimbal_command_duration_seconds" in "s" by ["code"] "From the arrival of a client's request to its answer, long polls included; what OpenTelemetry calls messaging.client.operation.duration at the client and RocketMQ rocketmq_rpc_latency at the broker.";
    UPSTREAM_SECONDS = Histogram "gimbal_upstream_duration_seconds" in "s" by ["code"] "The part of it that was spent waiting for brokers and name servers.";
    CHAIN_SECONDS = Histogram "gimbal_chain_duration_seconds" in "s" by [] "The part of it that was spent in filters, of commands that some filter saw.";

    MESSAGES_IN = Counter "rocketmq_messages_in_total" in "{message}" by ["topic"] "Messages that producers sent through here and brokers took; the name of RocketMQ's own metric. The first topics that were used have a series each, as many as metrics.topics says; the rest is other.";
    THROUGHPUT_IN = Counter "rocketmq_throughput_in_total" in "By" by ["topic"] "Bytes of their bodies; the name of RocketMQ's own metric.";
    MESSAGES_OUT = Counter "rocketmq_messages_out_total" in "{message}" by ["topic", "consumer_group"] "Messages that consumers received through here; the name of RocketMQ's own metric. The first pairs of topic and group that were used have a series each, as many as metrics.groups says; the rest is other.";
    THROUGHPUT_OUT = Counter "rocketmq_throughput_out_total" in "By" by ["topic", "consumer_group"] "Bytes of them as they are stored; the name of RocketMQ's own metric.";
    TOPIC_COMMANDS = Counter "gimbal_topic_commands_total" in "{command}" by ["topic", "outcome"] "Commands of clients about a topic that ended, by outcome; topics as in rocketmq_messages_in_total.";

    FILTER_INFO = Gauge "gimbal_filter_info" in "1" by ["filter", "version", "mode", "serving"] "Always 1; its labels say what serves under a filter's name: current (what the folder holds), kept, accepted (an older version, since the folder's cannot be used), refusal (every command in its scope is refused), nothing.";
    FILTER_TROUBLE = Gauge "gimbal_filter_trouble" in "1" by ["filter"] "1 while what the folder holds under this name cannot be used.";
    FILTER_CALLS = Counter "gimbal_filter_calls_total" in "{call}" by ["filter"] "Calls of a filter.";
    FILTER_VERDICTS = Counter "gimbal_filter_verdicts_total" in "{verdict}" by ["filter", "verdict"] "What a filter decided, in shadow mode too: forward, answer, delay, drop, close.";
    FILTER_SHADOWED = Counter "gimbal_filter_shadowed_total" in "{verdict}" by ["filter"] "Verdicts other than forward that were not followed, since the filter is in shadow mode.";
    FILTER_FAILURES = Counter "gimbal_filter_failures_total" in "{failure}" by ["filter"] "Calls of a filter that failed; what becomes of the command then is its policy.";
    FILTER_SECONDS = Histogram "gimbal_filter_duration_seconds" in "s" by ["filter"] "Time of one call of a filter.";
    FILTER_OWN_TOTAL = Counter "gimbal_filter_own_events_total" in "{event}" by ["filter", "name"] "Counters of filters' own; labels of theirs come on top.";
    FILTER_OWN_LEVEL = Gauge "gimbal_filter_own_level" in "1" by ["filter", "name"] "Gauges of filters' own; labels of theirs come on top.";
    FILTER_OWN_SPREAD = Histogram "gimbal_filter_own_distribution" in "1" by ["filter", "name"] "Histograms of filters' own; labels of theirs come on top.";
    CHAIN_GENERATION = Gauge "gimbal_chain_generation" in "1" by [] "Number of the chain of filters in force; every change of it has a higher one.";

    RELOADS = Counter "gimbal_reloads_total" in "{reload}" by ["what", "outcome"] "Times that config or a filter was put in force or refused: outcome is ok or failed, and the old one stays when it failed.";
    RELOAD_TIME = Gauge "gimbal_last_reload_timestamp_seconds" in "s" by ["what"] "When that was put in force last, seconds since 1970.";

    ROUTE_CACHE_SIZE = Gauge "gimbal_route_cache_routes" in "{route}" by [] "Topic routes kept.";
    ROUTE_CACHE_LOOKUPS = Counter "gimbal_route_cache_lookups_total" in "{lookup}" by ["outcome"] "Questions for a topic's route on the data path: hit (it was kept and young), miss (a name server had to be asked).";

    MEMORY_RESERVED = Gauge "gimbal_memory_reserved_bytes" in "By" by ["side"] "Memory that large commands on their way have reserved: clients for their requests, brokers for their answers.";
    MEMORY_BUDGET = Gauge "gimbal_memory_budget_bytes" in "By" by ["side"] "Memory that they may reserve.";
    MEMORY_QUEUED = Gauge "gimbal_memory_queued_bytes" in "By" by [] "Bytes that wait in the queues of all sessions.";
    MEMORY_WAITS = Counter "gimbal_memory_waits_total" in "{wait}" by ["what"] "Waits for memory: frame (a large command waited for its share), queues (a session was not read since queues were too long in all).";
    ANSWERS_LATE = Counter "gimbal_upstream_answers_late_total" in "{connection}" by [] "Connections to brokers given up since an answer took longer than timeouts.frame to come.";
    BORN_HOSTS = Counter "gimbal_born_hosts_total" in "{message}" by ["outcome"] "Messages with upstream.born_host: stamped, or not since the send was signed, full or unreadable.";

    UPSTREAM_CONNECTIONS = Gauge "gimbal_upstream_connections" in "{connection}" by ["role", "name", "address"] "Connections to a broker or name server now.";
    UPSTREAM_DIALS = Counter "gimbal_upstream_dials_total" in "{dial}" by ["role", "name", "address", "outcome"] "Attempts to connect to it: ok, failed, or refused at once since its circuit was open.";
    UPSTREAM_CIRCUIT = Gauge "gimbal_upstream_circuit_open" in "1" by ["role", "name", "address"] "1 while it is not tried since it could not be reached several times in a row, 0.5 while one attempt is made.";
    LINKS = Gauge "gimbal_upstream_links" in "{connection}" by ["broker"] "Connections to a broker that commands flow on now.";
    LINKS_OPENED = Counter "gimbal_upstream_links_opened_total" in "{connection}" by ["broker"] "Connections to a broker that were opened.";
    LINKS_LOST = Counter "gimbal_upstream_links_lost_total" in "{connection}" by ["broker"] "Connections to a broker that were lost, or could not be opened.";
    UPSTREAM_FAILURES = Counter "gimbal_upstream_unanswered_total" in "{command}" by ["broker"] "Commands that a broker did not answer in time, or at all.";

    SESSIONS_DRAINING = Gauge "gimbal_draining" in "1" by [] "1 while this Gimbal leaves.";
    TRACES = Counter "gimbal_trace_spans_total" in "{span}" by ["outcome"] "Spans of sampled commands: exported, or dropped since the collector could not take them.";
    TRACES_NOT_PASSED_ON = Counter "gimbal_trace_not_propagated_total" in "{command}" by ["reason"] "Sampled sends whose trace was not written into the message: signed (nobody here can sign it again), unreadable, too-large.";
    ACCESS_LINES = Counter "gimbal_access_log_lines_total" in "{line}" by ["outcome"] "Lines of the access log: written, dropped since its writer was too slow, failed since the file could not be written.";
    RECORDED = Counter "gimbal_recorded_commands_total" in "{command}" by [] "Commands handed to somebody who records: requests, responses and pushes, once for each recording.";
    RECORDING_DROPPED = Counter "gimbal_recording_dropped_total" in "{command}" by [] "Commands left out of a recording since whoever records was too slow.";
    OTLP_PUSHES = Counter "gimbal_otlp_pushes_total" in "{push}" by ["outcome"] "Pushes of metrics to the collector: ok or failed.";

    PROCESS_CPU = Counter "process_cpu_seconds_total" in "s" by [] "Processor time of the process, as Prometheus' own clients call it; OpenTelemetry's process.cpu.time.";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" in "By" by [] "Resident memory of the process; OpenTelemetry's process.memory.usage.";
    PROCESS_DESCRIPTORS = Gauge "process_open_fds" in "{descriptor}" by [] "Open file descriptors; OpenTelemetry's process.unix.file_descriptor.count.";
    PROCESS_DESCRIPTOR_LIMIT = Gauge "process_max_fds" in "{descriptor}" by [] "Most file descriptors that the process may have open.";
    PROCESS_START = Gauge "process_start_time_seconds" in "s" by [] "When the process began, seconds since 1970.";
    PROCESS_THREADS = Gauge "process_threads" in "{thread}" by [] "Threads of the process; OpenTelemetry's process.thread.count.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_as_prometheus_wants() {
        let names: BTreeSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            assert_eq!(
                family.kind == Kind::Counter,
                family.name.ends_with("_total"),
                "{}",
                family.name
            );
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(family.name.chars().all(is_plain), "{}", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }
}
