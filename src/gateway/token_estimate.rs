//! Estimates how many tokens a text has, where the upstream server does not say it.
//!
//! A tokenizer has a token for most short words together with the space before them, for three digits, and for one or two characters of
//! punctuation. So spaces are free, and digits and punctuation count twice. `scripts/token_counts` counts the tokens of the texts that
//! the tests of this module compare with.

/// The units of two tokens: a token has 3½.
const UNITS_PER_TWO_TOKENS: u64 = 7;
/// As many bytes at once as are counted in one byte.
const CHUNK: usize = 240;

/// The units of a text, or of a part of it: one for each byte, none for a space or a backslash, two for a digit or other punctuation. In JSON
/// a backslash begins an escape.
pub fn text_units(text: &[u8]) -> u64 {
    let mut units = text.len() as u64;
    for chunk in text.chunks(CHUNK) {
        let (mut free, mut double) = (0_u8, 0_u8);
        for byte in chunk {
            let is_free = matches!(byte, b' ' | b'\\');
            free += u8::from(is_free);
            double += u8::from(byte.is_ascii_graphic() & !byte.is_ascii_alphabetic() & !is_free);
        }
        units = units - u64::from(free) + u64::from(double);
    }
    units
}

/// The tokens of a text of so many units, rounded up.
pub fn tokens(units: u64) -> u64 {
    units.saturating_mul(2).div_ceil(UNITS_PER_TWO_TOKENS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::gateway::policy::RequestUse;
    use crate::gateway::usage::response::{Api, ResponseScan};
    use crate::http::BodyFilter as _;

    /// A text, and its tokens as the tokenizer of Llama 3 counts them.
    #[derive(Deserialize)]
    struct Entry {
        language: String,
        kind: String,
        text: String,
        tokens: u64,
    }

    /// As Ollama and its client write JSON.
    fn escaped_by_go(json: &str) -> String {
        json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    }

    /// As Python writes it by default.
    fn ascii(json: &str) -> String {
        let mut ascii = String::new();
        for unit in json.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
                _ => ascii.push_str(&format!("\\u{unit:04x}")),
            }
        }
        ascii
    }

    #[test]
    fn estimates_are_near_the_counts_of_a_tokenizer() {
        let entries = include_str!("../../tests/it/fixtures/vectors/token_counts.json");
        let entries: Vec<Entry> = serde_json::from_str(entries).unwrap();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        // The lowest and the highest ratio of each language, of all that are not within 32 tokens.
        let mut ratios: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        let mut missed = Vec::new();
        for Entry { language, kind, text, tokens } in &entries {
            *counts.entry((language, kind)).or_default() += 1;
            let estimates = if kind == "prompt" {
                let body = json!({ "model": "tiny", "messages": [{ "role": "user", "content": text }] }).to_string();
                let read = |body: &str| RequestUse::read("/api/chat", body.as_bytes()).unwrap().0.input();
                vec![read(&body), read(&escaped_by_go(&body)), read(&ascii(&body))]
            } else {
                let body = json!({ "model": "tiny", "message": { "role": "assistant", "content": text } }).to_string();
                let read = |body: String| {
                    let mut scan = ResponseScan::new(Api::Chat, 200, "application/json; charset=utf-8", false);
                    scan.pass(body.into());
                    scan.output_so_far()
                };
                vec![read(escaped_by_go(&body)), read(body)]
            };
            for estimate in estimates {
                if estimate.abs_diff(*tokens) <= 32 {
                    continue;
                }
                let ratio = estimate as f64 / *tokens as f64;
                let (low, high) = ratios.entry(language).or_insert((ratio, ratio));
                (*low, *high) = (low.min(ratio), high.max(ratio));
                if estimate * 2 < *tokens || tokens * 2 < estimate {
                    missed.push(format!("{language} {kind}: {estimate} for {tokens} tokens: {text:.40}"));
                }
            }
        }
        println!("the lowest and the highest ratios: {ratios:.2?}");
        assert_eq!(missed, [""; 0], "{ratios:.2?}");
        for language in ["english", "german", "chinese", "code"] {
            assert_eq!((counts[&(language, "prompt")], counts[&(language, "answer")]), (13, 12), "{language}");
        }
        assert_eq!(entries.len(), 100);
    }

    #[test]
    fn spaces_are_free_and_digits_and_punctuation_count_twice() {
        for (text, units) in [("", 0), ("two words", 8), ("1,2", 6), ("中文", 6), ("a\\n", 2), ("~!@\t\n\x7f", 9)] {
            assert_eq!(text_units(text.as_bytes()), units, "{text}");
        }
        assert_eq!([0, 1, 3, 4, 7, u64::MAX].map(tokens), [0, 1, 1, 2, 2, u64::MAX.div_ceil(7)]);
    }

    proptest! {
        #[test]
        fn the_parts_of_a_text_have_the_units_of_the_whole(
            text in proptest::collection::vec(proptest::sample::select(&b" \\a1.\n\xe4"[..]), 0..600),
            at in any::<proptest::sample::Index>(),
        ) {
            let (one, other) = text.split_at(at.index(text.len() + 1));
            prop_assert_eq!(text_units(one) + text_units(other), text_units(&text));
        }
    }
}
