//! Fuzzes frames: split, scan, decode, encode.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gimbal_fuzz::frame(data));
