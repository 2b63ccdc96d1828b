//! See `ollama_auth::fuzzing::usage`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ollama_auth::fuzzing::usage(data));
