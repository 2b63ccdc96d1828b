//! How much of the model's context window a conversation fills. The server silently drops what does not fit.

use serde_json::{Map, Value};

/// From here on the chat warns that a conversation is long, in percent of the window.
const NEARLY: u64 = 80;
/// And from here on that the beginning is being lost.
const FULL: u64 = 97;

/// How far a window is filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Room,
    Nearly,
    Full,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    used: Option<u64>,
    said: Level,
}

impl Meter {
    /// Notes the tokens of the last exchange; returns the warning to print, once for each level.
    pub fn update(
        &mut self,
        prompt_tokens: Option<u64>,
        answer_tokens: Option<u64>,
        window: Option<u64>,
    ) -> Option<String> {
        self.used = Some(prompt_tokens?.saturating_add(answer_tokens.unwrap_or(0)));
        let (used, window) = (self.used?, window.filter(|&window| window > 0)?);
        let level = match used.saturating_mul(100) / window {
            FULL.. => Level::Full,
            NEARLY.. => Level::Nearly,
            _ => Level::Room,
        };
        let rose = level > self.said;
        self.said = level;
        let what = match level {
            Level::Full => "is full: the model no longer sees the beginning of this conversation",
            Level::Nearly => "is nearly full",
            Level::Room => return None,
        };
        let todo = "/clear starts over, /set parameter num_ctx enlarges it";
        rose.then(|| format!("the context window {what} ({used} of {window} tokens); {todo}"))
    }

    /// Starts again for a new conversation.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Tokens of the last exchange and everything before it, where they are known.
    pub fn used(&self) -> Option<u64> {
        self.used
    }
}

/// The window's size in tokens: as set here, as the model sets it (`parameters` of `/api/show`, a text of lines), or what the model
/// was made for.
pub fn window(options: &Map<String, Value>, parameters: &str, model_info: Option<&Map<String, Value>>) -> Option<u64> {
    let of_model = || {
        let mut lines = parameters.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
        lines.find(|(name, _)| *name == "num_ctx").and_then(|(_, value)| value.trim().parse().ok())
    };
    let made_for = || {
        let mut members = model_info?.iter();
        members.find(|(name, _)| name.ends_with(".context_length")).and_then(|(_, value)| value.as_u64())
    };
    options.get("num_ctx").and_then(Value::as_u64).or_else(of_model).or_else(made_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_said_once_and_again_after_a_new_beginning() {
        let mut meter = Meter::default();
        assert_eq!(meter.update(Some(10), Some(10), Some(100)), None);
        let said = meter.update(Some(70), Some(12), Some(100)).unwrap();
        assert!(said.contains("nearly full (82 of 100 tokens)"), "{said}");
        assert_eq!(meter.update(Some(80), Some(5), Some(100)), None);
        assert!(meter.update(Some(90), Some(9), Some(100)).unwrap().contains("no longer sees"));
        assert_eq!(meter.update(Some(95), Some(9), Some(100)), None);
        // After it was emptied or enlarged, warnings start again.
        assert_eq!(meter.update(Some(95), Some(9), Some(1000)), None);
        assert!(meter.update(Some(95), Some(9), Some(100)).is_some());
        meter.reset();
        assert!(meter.update(Some(85), None, Some(100)).is_some());
        assert_eq!(meter.used(), Some(85));
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let mut meter = Meter::default();
        assert_eq!(meter.update(None, Some(10), Some(10)), None);
        assert_eq!(meter.update(Some(10), Some(10), None), None);
        assert_eq!(meter.update(Some(10), Some(10), Some(0)), None);
        assert_eq!(meter.update(Some(u64::MAX), Some(10), Some(u64::MAX)), None);
    }

    #[test]
    fn the_window_is_what_was_set_last() {
        let map = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let info = map(r#"{"general.architecture":"llama","llama.context_length":8192}"#);
        let (set, unset) = (map(r#"{"num_ctx":100}"#), Map::new());
        let parameters = "temperature                    0\nnum_ctx                        2048\n";
        assert_eq!(window(&set, parameters, Some(&info)), Some(100));
        assert_eq!(window(&unset, parameters, Some(&info)), Some(2048));
        assert_eq!(window(&unset, "", Some(&info)), Some(8192));
        assert_eq!(window(&unset, "num_ctx x", None), None);
    }
}
