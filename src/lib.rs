//! Gimbal, a WebAssembly-programmable proxy for Apache RocketMQ.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod dev;
pub mod downstream;
pub mod protocol;
pub mod proxy;
pub mod route;
pub mod session;
pub mod socket;
pub mod telemetry;
pub mod upstream;
pub mod worker;
