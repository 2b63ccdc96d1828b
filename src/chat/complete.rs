//! What Tab offers: commands, their words, parameters, and the names of models.

use super::command::SECTIONS;
use super::parameters;

const COMMANDS: [&str; 14] = [
    "/?", "/bye", "/clear", "/copy", "/exit", "/export", "/help", "/list", "/load", "/retry", "/save", "/set", "/show",
    "/status",
];
const SETTINGS: [&str; 12] = [
    "format json",
    "history",
    "noformat",
    "nohistory",
    "nothink",
    "nowordwrap",
    "parameter",
    "quiet",
    "system",
    "think",
    "verbose",
    "wordwrap",
];
const LEVELS: [&str; 4] = ["high", "low", "max", "medium"];
const SUBJECTS: [&str; 4] = ["parameters", "set", "shortcuts", "show"];

/// The completions of the text in front of the cursor: where the word begins (a byte position), and the whole words that it may
/// become. `models` is asked for names only where a model is named.
pub fn complete(before: &str, models: impl FnOnce() -> Vec<String>) -> (usize, Vec<String>) {
    let start =
        before.rfind(char::is_whitespace).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let word = &before[start..];
    let words: Vec<&str> = before[..start].split_whitespace().collect();
    let fixed = |known: &[&str]| -> Vec<String> { known.iter().map(|each| (*each).to_owned()).collect() };
    let known: Vec<String> = match words.as_slice() {
        [] if word.starts_with('/') => fixed(&COMMANDS),
        ["/load" | "/save"] => models(),
        ["/set"] => fixed(&SETTINGS),
        ["/set", "format"] => fixed(&["json"]),
        ["/set", "think"] => fixed(&LEVELS),
        ["/set", "parameter"] => parameters::names().map(str::to_owned).collect(),
        ["/show"] => SECTIONS.iter().map(|(word, _)| (*word).to_owned()).collect(),
        ["/?" | "/help"] => fixed(&SUBJECTS),
        _ => Vec::new(),
    };
    let mut found: Vec<String> = known.into_iter().filter(|each| each.starts_with(word)).collect();
    found.sort();
    // What takes more is completed with the space in front of it.
    if let [only] = found.as_mut_slice()
        && ["/set", "/show", "/load", "/save", "/export", "parameter", "system"].contains(&only.as_str())
    {
        only.push(' ');
    }
    (start, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(before: &str) -> (usize, Vec<String>) {
        complete(before, || vec!["tiny:latest".into(), "tall".into()])
    }

    #[test]
    fn completes_the_word_at_the_cursor() {
        assert_eq!(found("/sh"), (0, vec!["/show ".into()]));
        assert_eq!(found("/e"), (0, vec!["/exit".into(), "/export".into()]));
        assert_eq!(found("/show te"), (6, vec!["template".into()]));
        assert_eq!(found("/set parameter temp"), (15, vec!["temperature".into()]));
        assert_eq!(found("/load t"), (6, vec!["tall".into(), "tiny:latest".into()]));
        assert_eq!(found("/load ti"), (6, vec!["tiny:latest".into()]));
        assert_eq!(found("/? sh"), (3, vec!["shortcuts".into(), "show".into()]));
    }

    #[test]
    fn text_is_left_alone_and_models_are_not_asked_for() {
        for before in ["", "hello /se", "x", "/bye now", "/set system y"] {
            assert_eq!(complete(before, || unreachable!()).1, Vec::<String>::new(), "{before}");
        }
    }
}
