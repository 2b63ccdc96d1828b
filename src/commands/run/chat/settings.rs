//! `/set`.

use super::{Chat, Next};
use crate::api::Think;
use crate::chat::{Setting, Thinking, parameters};

impl Chat<'_> {
    /// Changes a setting and says so.
    pub(super) fn set(&mut self, setting: Setting) {
        let on_off = |on: bool| if on { "on" } else { "off" };
        let said = match setting {
            Setting::System(text) => {
                self.set_system(&text);
                return;
            }
            Setting::Parameter(name, words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                match parameters::parse(&name, &words) {
                    Ok(value) => {
                        let said = format!("Set {name} to {}.", words.join(", "));
                        self.talk.options.insert(name, value);
                        said
                    }
                    Err(error) => {
                        self.app.printer.warn(&format!("{error}; /? parameters shows the common ones"));
                        return;
                    }
                }
            }
            Setting::History(on) => {
                self.history.switch(on);
                format!("Keeping what is typed is {}.", on_off(on))
            }
            Setting::WordWrap(on) => {
                self.settings.word_wrap = on;
                format!("Wrapping of words is {}.", on_off(on))
            }
            Setting::JsonFormat(on) => {
                self.settings.format = on.then(json_format).flatten();
                if on { "Answers are in JSON.".to_owned() } else { "Answers come as they are.".to_owned() }
            }
            Setting::Verbose(on) => {
                self.settings.verbose = on;
                format!("Timings after an answer are {}.", on_off(on))
            }
            Setting::Think(thinking) => self.set_thinking(thinking),
        };
        self.app.printer.note(&said);
    }

    /// Sets the system message.
    pub(super) fn set_system(&mut self, text: &str) -> Next {
        self.talk.set_system(text);
        self.app.printer.note("Set the system message.");
        Next::Prompt
    }

    fn set_thinking(&mut self, thinking: Thinking) -> String {
        if !self.facts.can("thinking") && thinking != Thinking::Off {
            self.app.printer.warn(&format!("{} does not say that it can think", self.model.as_str()));
        }
        let (think, said) = match thinking {
            Thinking::Off => (Think::Switch(false), "Thinking is off.".to_owned()),
            Thinking::On => (Think::Switch(true), "Thinking is on.".to_owned()),
            Thinking::Level(level) => {
                let said = format!("Thinking is set to {level}.");
                (Think::Level(level), said)
            }
        };
        self.settings.think = Some(think);
        said
    }
}

fn json_format() -> Option<Box<serde_json::value::RawValue>> {
    serde_json::value::RawValue::from_string("\"json\"".to_owned()).ok()
}
