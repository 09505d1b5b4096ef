//! See `journal` in `bodies.rs`.

#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code)] // each target uses one of them
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::journal(data));
