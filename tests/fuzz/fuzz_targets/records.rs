//! Fuzzes stored messages, in which store hosts are replaced.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gimbal_fuzz::records(data));
