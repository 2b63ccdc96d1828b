//! Matches a text against any number of patterns at once.
//!
//! An automaton with one bit for each place in a pattern: bit `n` is set while the first `n` characters and stars of that pattern fit what
//! was read. So a text costs its own length times that of all patterns together, divided by 64, however the stars stand.

const BITS: usize = u64::BITS as usize;

/// A character or a star of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece {
    Is(u8),
    /// Any characters but a slash.
    Run,
    /// Any characters.
    Runs,
}

/// The pieces of a pattern, which is in ASCII.
fn pieces(pattern: &str) -> impl Iterator<Item = Piece> {
    let mut rest = pattern.as_bytes();
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        if *first != b'*' {
            rest = after;
            return Some(Piece::Is(*first));
        }
        // No star follows another one, which the steps below rely on.
        let stars = rest.iter().take_while(|byte| **byte == b'*').count();
        rest = &rest[stars..];
        Some(if stars == 1 { Piece::Run } else { Piece::Runs })
    })
}

/// See the module.
#[derive(Debug)]
pub struct PatternMatcher {
    /// The length of each bit set below.
    words: usize,
    /// Where a pattern begins.
    start: Vec<u64>,
    /// Behind the last place of a pattern.
    end: Vec<u64>,
    /// The same of patterns that name a registry, which alone fit names of another registry.
    end_of_registry: Vec<u64>,
    /// The stars that take no slash.
    run: Vec<u64>,
    /// The stars that take every character.
    runs: Vec<u64>,
    /// The places of each character, one bit set after the other. The first one is of characters that no pattern has.
    places: Vec<u64>,
    /// The number of a character's bit set in `places`.
    number: [u8; 256],
}

impl PatternMatcher {
    /// Reads the patterns, each with whether it names a registry. They hold fewer than 255 different characters, since they are model
    /// patterns.
    pub fn new<'a>(patterns: impl Iterator<Item = (&'a str, bool)> + Clone) -> Self {
        let bits: usize = patterns.clone().map(|(pattern, _)| pattern.len() + 1).sum();
        let words = bits.div_ceil(BITS);
        let empty = || vec![0; words];
        let mut matcher = Self {
            words,
            start: empty(),
            end: empty(),
            end_of_registry: empty(),
            run: empty(),
            runs: empty(),
            places: empty(),
            number: [0; 256],
        };
        let mut at = 0;
        for (pattern, names_registry) in patterns {
            set(&mut matcher.start, at);
            for piece in pieces(pattern) {
                match piece {
                    Piece::Is(byte) => set(matcher.places_of(byte), at),
                    Piece::Run => set(&mut matcher.run, at),
                    Piece::Runs => set(&mut matcher.runs, at),
                }
                at += 1;
            }
            set(&mut matcher.end, at);
            if names_registry {
                set(&mut matcher.end_of_registry, at);
            }
            at += 1;
        }
        matcher
    }

    fn places_of(&mut self, byte: u8) -> &mut [u64] {
        let number = &mut self.number[usize::from(byte)];
        if *number == 0 {
            *number = u8::try_from(self.places.len() / self.words).unwrap_or_default();
            self.places.resize(self.places.len() + self.words, 0);
        }
        let from = usize::from(*number) * self.words;
        &mut self.places[from..from + self.words]
    }

    /// Whether `text`, which may name a registry, fits a pattern.
    pub fn matches(&self, text: &str, names_registry: bool) -> bool {
        self.fits(text.bytes().map(Piece::Is), names_registry)
    }

    /// Whether one of the patterns fits whatever `pattern` fits. A star in it is a character that only a star as wide takes, so the result
    /// may be false for a covered pattern, and is never true for one that is not covered.
    pub fn covers(&self, pattern: &str, names_registry: bool) -> bool {
        self.fits(pieces(pattern), names_registry)
    }

    fn fits(&self, text: impl Iterator<Item = Piece>, names_registry: bool) -> bool {
        let mut row = self.start.clone();
        // A star may stand for nothing.
        let mut carry = 0;
        for (at, word) in row.iter_mut().enumerate() {
            let stars = *word & (self.run[at] | self.runs[at]);
            *word |= (stars << 1) | carry;
            carry = stars >> (BITS - 1);
        }
        for piece in text {
            let number = match piece {
                Piece::Is(byte) => self.number[usize::from(byte)],
                Piece::Run | Piece::Runs => 0,
            };
            let places = &self.places[usize::from(number) * self.words..][..self.words];
            let run_takes = if matches!(piece, Piece::Is(b'/') | Piece::Runs) { 0 } else { u64::MAX };
            let (mut moved, mut skipped, mut alive) = (0, 0, 0);
            for (at, word) in row.iter_mut().enumerate() {
                let taken = if number == 0 { 0 } else { *word & places[at] };
                let stays = *word & (self.runs[at] | (self.run[at] & run_takes));
                let next = (taken << 1) | moved | stays;
                let stars = next & (self.run[at] | self.runs[at]);
                *word = next | (stars << 1) | skipped;
                moved = taken >> (BITS - 1);
                skipped = stars >> (BITS - 1);
                alive |= *word;
            }
            if alive == 0 {
                return false;
            }
        }
        let end = if names_registry { &self.end_of_registry } else { &self.end };
        row.iter().zip(end).any(|(word, end)| word & end != 0)
    }
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / BITS] |= 1 << (at % BITS);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by definition, slowly.
    fn fits(pattern: &[Piece], text: &[Piece]) -> bool {
        let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
        let takes = |piece: &Piece| match first {
            Piece::Is(_) => piece == first,
            Piece::Run => !matches!(piece, Piece::Is(b'/') | Piece::Runs),
            Piece::Runs => true,
        };
        let is_star = !matches!(first, Piece::Is(_));
        let taken = text.split_first().filter(|(piece, _)| takes(piece)).map(|(_, after)| after);
        (is_star && fits(rest, text)) || taken.is_some_and(|after| fits(if is_star { pattern } else { rest }, after))
    }

    fn by_definition(patterns: &[String], text: &[Piece]) -> bool {
        patterns.iter().any(|pattern| fits(&pieces(pattern).collect::<Vec<_>>(), text))
    }

    proptest! {
        #[test]
        fn it_matches_as_defined(
            patterns in proptest::collection::vec("[ab/*]{0,9}", 0..12), text in "[abc/*]{0,9}", long in 0..130_usize,
        ) {
            // So that places are in several words, and at their ends.
            let patterns: Vec<String> =
                [format!("{}*", "c".repeat(long))].into_iter().chain(patterns).collect();
            // Every other one names a registry.
            let named = patterns.iter().enumerate().map(|(at, pattern)| (pattern.as_str(), at % 2 == 1));
            let matcher = PatternMatcher::new(named);
            let odd: Vec<String> = patterns.iter().skip(1).step_by(2).cloned().collect();
            let literal: Vec<Piece> = text.bytes().map(Piece::Is).collect();
            let covered: Vec<Piece> = pieces(&text).collect();
            for (names_registry, patterns) in [(false, &patterns), (true, &odd)] {
                let fits = by_definition(patterns, &literal);
                prop_assert_eq!(matcher.matches(&text, names_registry), fits, "{:?} {:?}", patterns, &text);
                let covers = by_definition(patterns, &covered);
                prop_assert_eq!(matcher.covers(&text, names_registry), covers, "{:?} {:?}", patterns, &text);
            }
        }
    }

    #[test]
    fn no_pattern_matches_nothing() {
        assert!(!PatternMatcher::new([].into_iter()).matches("", false));
        assert!(!PatternMatcher::new([].into_iter()).covers("*", false));
    }

    /// The most that was ever accepted: thousands of patterns, each of which is compared with each.
    #[test]
    fn thousands_of_patterns_are_compared_at_once() {
        let patterns: Vec<String> = (0..2047).map(|n: u32| format!("*{}", char::from(b'a' + (n % 26) as u8))).collect();
        let matcher = PatternMatcher::new(patterns.iter().map(|pattern| (pattern.as_str(), false)));
        assert_eq!(matcher.words, (2047 * 3_usize).div_ceil(64));
        assert!((0..2048).all(|_| !matcher.covers("*1", false) && matcher.covers("b*z", false)));
    }
}
