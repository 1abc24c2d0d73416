//! Integration tests, all in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod abuse;
mod access_log;
mod admin;
mod artefacts;
mod author_cases;
mod author_new;
mod author_stand;
mod backpressure;
mod born_host;
mod cli;
mod cli_filters;
mod deadlines;
mod dev;
mod drain;
mod examples;
mod filters;
mod folder;
mod frames;
mod heartbeat;
mod links;
mod metrics;
mod mux;
mod opening;
mod ports;
mod proxy_protocol;
mod pushes;
mod query;
mod record;
mod reload;
mod replay;
mod routes;
mod routing;
mod shipped;
mod support;
mod tls;
mod tracing;
mod transactions;
mod upstream;
mod upstream_tls;
mod wire;
