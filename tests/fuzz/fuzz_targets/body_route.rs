//! Fuzzes bodies of name servers: routes and cluster tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gimbal_fuzz::body_route(data));
