//! Gimbal, a WebAssembly-programmable proxy for Apache RocketMQ.
//!
//! # The map of the house
//!
//! ```text
//!             downstream          session                             upstream
//!  client ──▶ listener, port ──▶ frame ─▶ head ─▶ dispatch ─▶ forward ─▶ link, one per ──▶ broker
//!                                                    ▲                   (session, broker)
//!                                              route: plan, directory ◀── name servers
//!  client ◀── outbox ◀── answers and pushes, put right where they name a broker ◀──────── broker
//! ```
//!
//! | room | what lives there |
//! |---|---|
//! | [`protocol`] | the wire format: bytes in, values out |
//! | [`socket`] | one TCP stream seen as frames |
//! | [`downstream`] | listeners, broker ports, the first bytes of a connection |
//! | [`session`] | one client connection and all it owns |
//! | [`route`] | where a command goes, whether it may, how long it may take |
//! | [`upstream`] | links to brokers, and asking name servers |
//! | [`tls`] | certificates and keys; how handshakes are made, on both sides |
//! | [`auth`] | who signed a command, and signing it again |
//! | [`filter`] | what a filter is and decides, whatever it is written in; the folder they are loaded from |
//! | [`wasm`] | filters that are WebAssembly; the only room that names the engine |
//! | [`author`] | what makers of filters use: a stand to try them on, projects, recorded traffic |
//! | [`config`] | what the operator wrote becomes what the proxy runs |
//! | [`proxy`] | the wiring: one generation after another, and the drain |
//! | [`worker`] | the threads that run sessions |
//! | [`telemetry`] | logs, and the record of every command for those who look: live tail, access log, spans |
//! | [`metrics`] | the numbers; their whole list is in [`metrics::list`] |
//! | [`admin`] | what operators look at: the admin API, the console |
//! | [`cli`] | the subcommands; the only room that prints |
//! | [`dev`] | a stand-in cluster in memory; shares only [`protocol`] with the proxy |
//!
//! Imports point downwards: [`cli`] to [`proxy`] to [`downstream`] to [`session`] to [`route`] to [`upstream`] to
//! [`socket`] to [`protocol`]. The whole table is in `CONTRIBUTING.md` and enforced by `tests/tidy.rs`.
//!
//! # The life of a command
//!
//! A `SEND_MESSAGE_V2` of a client, file by file:
//!
//! | # | file | what happens |
//! |---|---|---|
//! | 1 | `downstream/listener.rs`, `downstream/admission.rs` | accepts while the limits on connections allow it, on the shared address or on a broker's port, and hands the socket to a worker |
//! | 2 | `downstream/opening/mod.rs` | the first bytes show that this is remoting, after a PROXY protocol header and under TLS if it comes so |
//! | 3 | `session/task.rs` | reads when the client and its brokers have room; keeps time; ends the session |
//! | 4 | `session/incoming.rs`, `socket/inbox.rs`, `protocol/frame.rs` | bytes become frames, without copying bodies; large ones reserve memory first (`socket/budget.rs`) |
//! | 5 | `protocol/head.rs` | one scan finds code, opaque and flag; ext fields are looked up on demand; nothing is decoded |
//! | 6 | `session/dispatch.rs`, `route/permit.rs` | a code that may not pass is answered 3, with the setting that would let it through |
//! | 7 | `session/filtering.rs`, `route/max_wait.rs` | does any filter want this code? If not, on to 9 with the bytes untouched; the time by which the client must have an answer begins |
//! | a | `auth/seal.rs` | if keys are configured: who signed it |
//! | b | `filter/chain.rs`, `filter/subject` | scope and interest of each filter in turn; the command is decoded when one reads or changes it |
//! | c | `wasm/guest.rs`, `wasm/host/*` | a warm instance is called within its budget; what it asks of the host lands in `host` |
//! | d | `session/filtering.rs`, `session/held.rs` | the verdict is followed: answered, held, dropped, closed; or names are mapped, the change is signed, and it goes on |
//! | e | `session/born_host.rs` | only if asked for: a send gets the client's address as a property |
//! | 8 | `route/router.rs` | the plan: the broker it names, its port's broker, any broker of a topic, all of them, a name server |
//! | 9 | `session/lookups.rs`, `route/directory.rs` | only if the plan needs a topic route: asked once, however many wait for it |
//! | 10 | `session/forward.rs` | to the link of that broker name, which is opened when there is none |
//! | 11 | `session/link_open.rs`, `upstream/dialler.rs` | a new link resolves the name, asks whether the broker is there, dials, says whom it is for, and sends the client's last heartbeat first |
//! | 12 | `upstream/link.rs` | the opaque is noted, unless the command is one-way |
//! | 13 | `socket/outbox.rs` | written to the broker at once; what the socket does not take waits, and then the client is not read |
//! | 14 | `session/link_task.rs` | the broker's answer comes in; the link tells whose it is |
//! | 15 | `session/responses.rs` | passed on with its bytes, unless it names slaves or store hosts that must not reach the client |
//! | - | `session/delivery.rs`, `filter/chain.rs` | names as the client knows them; response hooks, last filter first |
//! | 16 | `socket/outbox.rs` | written to the client at once; while the client takes no bytes, its brokers are not read |
//!
//! What goes another way:
//!
//! | what | where |
//! |---|---|
//! | `GET_ROUTEINFO_BY_TOPIC`: answered with our addresses, in the dialect the client reads | `session/lookups.rs`, `protocol/body/route.rs`, `downstream/ports.rs` |
//! | heartbeats and unregistrations: to every broker the client talks to, one answer | `session/heartbeat.rs`, `session/gather.rs` |
//! | queries and order locks of several brokers: split, gathered | `session/query.rs`, `session/forward.rs`, `session/gather.rs` |
//! | requests of brokers to the client, and its answers to them | `session/pushes.rs` |
//! | a filter is dropped into the folder: loaded off the data path, then a new chain | `filter/folder`, `session/meeting.rs` |
//! | clients that speak gRPC: passed on to their upstream, byte for byte | `downstream/grpc/mod.rs` |
//! | new certificates: in force for the next connection | `tls/kept.rs`, `downstream/handshakes.rs` |
//! | half messages of clients that do not name the broker | `route/transactions.rs` |
//! | a broker that is lost: what waited is answered, and the client is announced again | `session/link_task.rs`, `session/link_open.rs` |
//! | a broker that cannot be reached: its circuit opens, and one attempt a second is made for all | `upstream/health.rs` |
//! | the proxy leaves: parked pulls are answered, the rest is finished | [`proxy::Proxy::drain`], `session/drain.rs` |
//! | the settings change: swapped as a whole, under running sessions | [`proxy::Proxy::reload`], `config/watch.rs` |
// SPDX-License-Identifier: Apache-2.0
#![deny(unsafe_code)]

pub mod admin;
pub mod auth;
pub mod author;
pub mod cli;
pub mod config;
pub mod dev;
pub mod downstream;
pub mod filter;
pub mod metrics;
pub mod protocol;
pub mod proxy;
pub mod route;
pub mod session;
pub mod socket;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod wasm;
pub mod worker;
