//! Fuzzes the first bytes of a connection: what they announce, and PROXY protocol headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gimbal_fuzz::opening::check(data));
