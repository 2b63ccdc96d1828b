//! See `ollama_auth::fuzzing::answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ollama_auth::fuzzing::answer(data));
