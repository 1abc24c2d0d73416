//! Gimbal, a WebAssembly-programmable proxy for Apache RocketMQ.
#![forbid(unsafe_code)]

pub mod config;
pub mod downstream;
pub mod protocol;
pub mod proxy;
pub mod route;
pub mod session;
pub mod socket;
pub mod upstream;
pub mod worker;
