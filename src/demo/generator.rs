//! The demonstration model itself: a small statistical text generator. It has read one page and remembers which word
//! follows which two. The same prompt and seed always give the same words.

use std::collections::HashMap;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// All that the model has read.
const TEXT: &str = include_str!("text.txt");

/// Stands before the first word of a sentence.
const START: u32 = u32::MAX;

/// From this length on, in words, a sentence ends as soon as it can.
const LONG_SENTENCE: usize = 24;

/// An answer without a limit stops at the end of the sentence that reaches so many words.
const DEFAULT_WORDS: usize = 28;

/// And here at the latest.
const AT_MOST: usize = 60;

/// What was learned from the text.
pub struct Chain {
    /// Every word, sorted; elsewhere a word is its place here.
    vocabulary: Vec<&'static str>,
    after_two: HashMap<(u32, u32), Vec<u32>>,
    after_one: HashMap<u32, Vec<u32>>,
}

/// What the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The words; each but the first has a space in front.
    pub words: Vec<String>,
    /// It was cut off by the limit, not ended.
    pub cut: bool,
}

/// The model, which learns when it is first asked.
pub static CHAIN: LazyLock<Chain> = LazyLock::new(|| Chain::learn(TEXT));

/// Its name, as a digest of what it has read, in hexadecimal.
pub fn digest() -> String {
    Sha256::digest(TEXT).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Its size in bytes.
pub fn size() -> usize {
    TEXT.len()
}

impl Chain {
    fn learn(text: &'static str) -> Self {
        let mut vocabulary: Vec<_> = text.split_whitespace().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let mut chain = Self { vocabulary, after_two: HashMap::new(), after_one: HashMap::new() };
        let mut before = (START, START);
        for word in text.split_whitespace() {
            let id = chain.id(word);
            chain.after_two.entry(before).or_default().push(id);
            chain.after_one.entry(before.1).or_default().push(id);
            before = if ends_sentence(word) { (START, START) } else { (before.1, id) };
        }
        chain
    }

    /// The number of a word; 0 for one that the model does not know.
    pub fn id(&self, word: &str) -> u32 {
        let place = self.vocabulary.binary_search(&word).unwrap_or_default();
        u32::try_from(place).unwrap_or_default()
    }

    /// How many words it knows.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary.len()
    }

    /// How many rules it has learned.
    pub fn parameters(&self) -> usize {
        self.after_two.values().chain(self.after_one.values()).map(Vec::len).sum()
    }

    /// Answers a prompt, with exactly `limit` words if there is a limit.
    pub fn answer(&self, prompt: &str, seed: i64, limit: Option<usize>) -> Answer {
        let mut random = Random::new(prompt, seed);
        let (mut words, mut before, mut in_sentence) = (Vec::new(), (START, START), 0);
        let at_most = limit.unwrap_or(AT_MOST);
        while words.len() < at_most {
            let id = self.next(before, in_sentence, &mut random);
            let word = self.vocabulary[id as usize];
            let space = if words.is_empty() { "" } else { " " };
            words.push(format!("{space}{word}"));
            if ends_sentence(word) {
                (before, in_sentence) = ((START, START), 0);
                if limit.is_none() && words.len() >= DEFAULT_WORDS {
                    break;
                }
            } else {
                (before, in_sentence) = ((before.1, id), in_sentence + 1);
            }
        }
        let whole = words.last().is_some_and(|word| ends_sentence(word));
        if let (false, None, Some(last)) = (whole, limit, words.last_mut()) {
            *last = format!("{}.", last.trim_end_matches([',', ';']));
        }
        Answer { words, cut: limit.is_some() }
    }

    fn next(&self, before: (u32, u32), in_sentence: usize, random: &mut Random) -> u32 {
        // Every word but the last of a sentence is followed by one, and a sentence always has a first.
        let two = self.after_two.get(&before).map_or(&[][..], Vec::as_slice);
        let one = self.after_one.get(&before.1).map_or(&[][..], Vec::as_slice);
        if in_sentence >= LONG_SENTENCE {
            let ends = |id: &&u32| ends_sentence(self.vocabulary[**id as usize]);
            if let Some(end) = two.iter().chain(one).find(ends) {
                return *end;
            }
        }
        // Where two words leave no choice, one word may: else the model would only recite.
        let from = if two.is_empty() || (two.len() == 1 && random.below(3) == 0) { one } else { two };
        from.get(random.below(from.len())).copied().unwrap_or_default()
    }
}

fn ends_sentence(word: &str) -> bool {
    word.ends_with(['.', '?', '!'])
}

/// A small generator of even numbers (SplitMix64), seeded from the prompt.
struct Random(u64);

impl Random {
    fn new(prompt: &str, seed: i64) -> Self {
        let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(prompt).finalize();
        Self(digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// A number from 0 to below `end`; 0 when that is 0.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let end = (end as u64).max(1);
        usize::try_from((mixed ^ (mixed >> 31)) % end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn said(prompt: &str, seed: i64) -> String {
        CHAIN.answer(prompt, seed, None).words.concat()
    }

    #[test]
    fn the_same_question_has_the_same_answer_and_another_has_another() {
        assert_eq!(said("hello", 0), said("hello", 0));
        assert_ne!(said("hello", 0), said("hello", 1));
        let all: HashSet<_> = (0..200).map(|n| said(&format!("question {n}"), 0)).collect();
        assert!(all.len() > 190, "{}", all.len());
    }

    #[test]
    fn sentences_begin_with_a_capital_and_end_properly() {
        for n in 0..500 {
            let text = said(&format!("question {n}"), n);
            assert!(text.starts_with(|c: char| c.is_ascii_uppercase()) && text.ends_with('.'), "{text}");
            assert!(!text.ends_with(",.") && !text.contains("  "), "{text}");
            let words: Vec<_> = text.split(' ').collect();
            assert!((DEFAULT_WORDS..=AT_MOST).contains(&words.len()), "{text}");
            for pair in words.windows(2).filter(|pair| ends_sentence(pair[0])) {
                assert!(pair[1].starts_with(|c: char| c.is_ascii_uppercase()), "{text}");
            }
        }
    }

    #[test]
    fn it_does_not_only_recite() {
        let read = TEXT.split_whitespace().collect::<Vec<_>>().join(" ");
        let new = (0..100).filter(|n| !read.contains(&said("x", *n))).count();
        assert!(new > 90, "{new}");
    }

    #[test]
    fn a_limit_is_kept_to_the_word() {
        for limit in [1, 7, 300] {
            let answer = CHAIN.answer("hi", 3, Some(limit));
            assert_eq!((answer.words.len(), answer.cut), (limit, true));
        }
    }
}
