//! Who may import whom: read it as the architecture. `tidy` enforces it.

/// Which modules of the crate each module may import.
pub(crate) const MAY_IMPORT: &[(&str, &[&str])] = &[
    // Bytes in, values out: the wire format knows nobody.
    ("protocol", &[]),
    ("filter", &["protocol"]),
    // Who signed a command, and signing it again.
    ("auth", &["protocol"]),
    // The only room that names the engine.
    ("wasm", &["protocol", "filter"]),
    // Files that settings name are looked at where the settings are checked.
    ("config", &["protocol", "filter", "auth", "tls"]),
    // What makers of filters use: the engine and its commands without a proxy around them.
    ("author", &["protocol", "filter", "wasm", "config"]),
    // These know nobody, so that anybody may use them.
    ("metrics", &[]),
    ("tls", &[]),
    ("worker", &[]),
    // What is told of every command: records, the tail, logs, traces.
    ("telemetry", &["metrics"]),
    // Frames over a connection, whoever is at the other end.
    ("socket", &["protocol"]),
    // Brokers and name servers; then where a command goes; then one client; then the doors that clients come in by.
    (
        "upstream",
        &[
            "protocol",
            "config",
            "filter",
            "socket",
            "tls",
            "metrics",
            "telemetry",
        ],
    ),
    (
        "route",
        &["protocol", "config", "auth", "upstream", "metrics", "telemetry"],
    ),
    (
        "session",
        &[
            "protocol",
            "config",
            "filter",
            "auth",
            "route",
            "upstream",
            "socket",
            "tls",
            "metrics",
            "telemetry",
        ],
    ),
    (
        "downstream",
        &[
            "protocol",
            "config",
            "filter",
            "route",
            "session",
            "upstream",
            "socket",
            "tls",
            "worker",
            "metrics",
            "telemetry",
        ],
    ),
    // What operators look at; all it shows is handed to it.
    ("admin", &["metrics", "telemetry", "tls"]),
    // A stand-in for a cluster: of the proxy it has the codec only.
    ("dev", &["protocol"]),
    // What puts the pieces together, and what the operator types.
    (
        "proxy",
        &[
            "protocol",
            "config",
            "filter",
            "auth",
            "wasm",
            "route",
            "session",
            "upstream",
            "downstream",
            "socket",
            "tls",
            "worker",
            "metrics",
            "telemetry",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "config",
            "author",
            "proxy",
            "filter",
            "wasm",
            "auth",
            "dev",
            "telemetry",
            "metrics",
            "admin",
            "tls",
            "protocol",
        ],
    ),
];
