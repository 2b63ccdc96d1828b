//! Whatever the pieces, a terminal shows what wrapping the whole text at once would show.

use super::cluster::EMOJI_SELECTOR;
use super::*;
use proptest::prelude::*;
use std::num::NonZero;
use unicode_width::UnicodeWidthChar as _;

fn stream(columns: usize, chunks: &[&str]) -> String {
    let (mut wrapper, mut out) = (Wrapper::new(columns), String::new());
    for chunk in chunks {
        wrapper.push(chunk, &mut out);
    }
    out
}

/// What a terminal of that width shows, without trailing blanks and without characters of no width (vt100 keeps only a few a cell).
fn screen(columns: usize, output: &str) -> Vec<String> {
    let mut terminal =
        vt100::Parser::new(NonZero::new(800).unwrap(), NonZero::new(u16::try_from(columns).unwrap()).unwrap(), 0);
    terminal.process(output.replace('\n', "\r\n").as_bytes());
    tidy(terminal.screen().rows(0, u16::try_from(columns).unwrap()))
}

fn tidy(lines: impl Iterator<Item = String>) -> Vec<String> {
    let visible = |line: String| -> String { line.chars().filter(|c| c.width().unwrap_or(0) > 0).collect() };
    let mut lines: Vec<String> = lines.map(|l| visible(l).trim_end().to_owned()).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// The same rules over the whole text at once: words are collected first, then put where they fit.
fn reference(columns: usize, text: &str) -> Vec<String> {
    let limit = (columns - 1).max(1);
    let mut lines = vec![String::new()];
    let (mut column, mut due) = (0, false);
    let mut clusters: Vec<(&str, Class, usize)> = Vec::new();
    let mut rest = text;
    while let Some(g) = rest.graphemes(true).next() {
        let g = cut(g);
        let class = classify(g);
        clusters.push((g, class, cluster_width(g, class)));
        rest = &rest[g.len()..];
    }
    let mut i = 0;
    while i < clusters.len() {
        let (g, class, width) = clusters[i];
        i += 1;
        match class {
            Class::Newline => {
                lines.push(String::new());
                (column, due) = (0, false);
            }
            Class::Space | Class::Tab => {
                let n = if class == Class::Tab { 8 - column % 8 } else { width };
                if due || column + n > limit {
                    due = true;
                } else {
                    let line = lines.last_mut().unwrap();
                    if class == Class::Tab {
                        line.extend(std::iter::repeat_n(' ', n))
                    } else {
                        line.push_str(g)
                    }
                    column += n;
                }
            }
            Class::Alone => {
                if due || (column > 0 && column + width > limit) {
                    lines.push(String::new());
                    (column, due) = (0, false);
                }
                lines.last_mut().unwrap().push_str(g);
                column += width;
            }
            Class::Word => {
                let end = clusters[i..].iter().position(|c| c.1 != Class::Word).map_or(clusters.len(), |n| i + n);
                let word = &clusters[i - 1..end];
                i = end;
                let total: usize = word.iter().map(|c| c.2).sum();
                if due || (column > 0 && total > 0 && column + total > limit) {
                    lines.push(String::new());
                    (column, due) = (0, false);
                }
                for (g, _, width) in word {
                    if column > 0 && *width > 0 && column + width > limit {
                        lines.push(String::new());
                        column = 0;
                    }
                    lines.last_mut().unwrap().push_str(g);
                    column += width;
                }
            }
        }
    }
    tidy(lines.into_iter())
}

#[test]
fn prints_at_once_and_moves_a_word_that_does_not_fit() {
    let (mut wrapper, mut out) = (Wrapper::new(11), String::new());
    wrapper.push("hello wo", &mut out);
    assert_eq!(out, "hello wo");
    out.clear();
    wrapper.push("rld", &mut out);
    assert_eq!(out, "rl\x1b[4D\x1b[K\nworld");
    assert_eq!(wrapper.column, 5);
}

#[test]
fn breaks_long_words_and_swallows_spaces_at_the_margin() {
    assert_eq!(screen(6, &stream(6, &["abcdefghijk"])), ["abcde", "fghij", "k"]);
    assert_eq!(stream(6, &["abcde   fg"]), "abcde\nfg");
    assert_eq!(stream(6, &["abcde   \nfg"]), "abcde\nfg");
    assert_eq!(stream(20, &["a\tb"]), "a       b");
}

#[test]
fn clusters_arriving_in_parts_stay_whole() {
    // The mark belongs to the letter that was printed before it.
    assert_eq!(stream(10, &["e", "\u{301}", "x"]), "e\u{301}x");
    let family = ["ab ", "👨", "\u{200d}", "👩", "\u{200d}", "👧", "!"];
    // Narrower, the family is wider than the line in a terminal that adds its members up.
    for columns in 7..16 {
        assert_eq!(screen(columns, &stream(columns, &family)), reference(columns, &family.concat()), "{columns}");
    }
}

#[test]
fn a_selector_may_come_later() {
    assert_eq!(
        stream(20, &["1", "\u{fe0f}", "\u{20e3}", " one ", "❤", "\u{fe0f}", "!"]).replace("\x1b7", ""),
        "1\u{fe0f}\u{20e3} one ❤\u{fe0f}!"
    );
    for columns in 5..30 {
        let pieces =
            ["step 1", "\u{fe0f}", "\u{20e3}", " one ", "❤", "\u{fe0f}", " two 2", "\u{fe0f}\u{20e3}", " and more"];
        let letters = |lines: Vec<String>| lines.concat().replace(' ', "");
        assert_eq!(
            letters(screen(columns, &stream(columns, &pieces))),
            letters(reference(columns, &pieces.concat())),
            "{columns}"
        );
    }
}

#[test]
fn a_selector_behind_a_letter_with_a_mark_changes_nothing() {
    let text = "aaaaaaaaa aaa\u{301}\u{fe0f}";
    for pieces in [&[text][..], &["aaaaaaaaa aaa", "\u{301}\u{fe0f}"], &["aaaaaaaaa aaa\u{301}", "\u{fe0f}"]] {
        assert_eq!(screen(5, &stream(5, pieces)), ["aaaa", "aaaa", "a", "aaa"], "{pieces:?}");
    }
}

#[test]
fn a_new_width_holds_from_the_next_piece_on() {
    let (mut wrapper, mut out) = (Wrapper::new(40), String::new());
    wrapper.push("one two three four", &mut out);
    wrapper.set_columns(10);
    wrapper.push(" five six seven", &mut out);
    assert_eq!(out, "one two three four \nfive six \nseven");
}

#[test]
fn width_one_and_zero_do_not_loop_or_panic() {
    assert_eq!(stream(1, &["ab c", "漢"]), "a\nb\nc\n漢");
    assert_eq!(stream(0, &["ab"]), "a\nb");
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    let atom = prop_oneof![
        8 => "[a-z]{1,7}",
        6 => Just(" ".to_owned()),
        1 => prop::sample::select(vec![
            "\n", "\t", "  ", "漢字", "、", "é", "e\u{301}", "\u{301}", "\u{200d}", "👨", "👩", "🏽", "❤", "\u{fe0f}", "🇩", "🇪", "नि", "क्ष",
            "한", "\u{1100}", "\u{1161}", "—", "…", "\u{a0}", "\u{3000}", "☺", "-", "مرحبا", "\u{200b}", "\u{20e3}", "ｱ",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_filter("shown by vt100", |c| *c != char::REPLACEMENT_CHARACTER && !crate::ui::sanitize::is_dangerous(*c)).prop_map(String::from),
    ];
    prop::collection::vec(atom, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn any_split_shows_what_the_reference_shows(atoms in pieces(), columns in 3usize..30, by_char in any::<bool>(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10)) {
        let text = atoms.concat();
        // What is wider than the line is left to the terminal.
        prop_assume!(text.graphemes(true).all(|g| g == "\t" || cluster_width(g, Class::Alone) < columns));
        // A selector that comes after a digit was printed turns the digit into a keycap: that may leave a break
        // in front of the word which the whole text would not have had.
        let starts: Vec<usize> = text.char_indices().filter(|&(_, c)| c != EMOJI_SELECTOR).map(|(i, _)| i).chain([text.len()]).collect();
        let mut at: Vec<usize> = if by_char { starts.clone() } else { cuts.iter().map(|c| starts[c.index(starts.len())]).collect() };
        at.extend([0, text.len()]);
        at.sort_unstable();
        let chunks: Vec<&str> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        let output = stream(columns, &chunks);
        prop_assert_eq!(screen(columns, &output), reference(columns, &text), "output {:?}", output);
    }
}
