//! Fuzzes the messages inside commands: read, edited, taken out, written back.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gimbal_fuzz::messages(data));
