//! See `ollama_auth::fuzzing::log_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ollama_auth::fuzzing::log_text(data));
