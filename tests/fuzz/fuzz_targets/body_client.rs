//! Fuzzes bodies of clients: heartbeats, queue sets, batch acks, client checks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gimbal_fuzz::body_client(data));
