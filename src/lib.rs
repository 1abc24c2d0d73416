//! Gimbal, a WebAssembly-programmable proxy for Apache RocketMQ.
#![forbid(unsafe_code)]

pub mod dev;
pub mod protocol;
