//! `/set`, `/show`, `/list` and `/status`: changing and showing the state of this conversation.

use serde_json::{Map, Value};

use crate::api::Think;
use crate::chat::{Section, Setting, Thinking, parameters};
use crate::commands::models::{has_prefix, model_table, render};
use crate::commands::run::chat::{Chat, Flow};
use crate::profile::CredentialSource;

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
                        self.conversation.options.insert(name, value);
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
                format!("The input history is {}.", on_off(on))
            }
            Setting::WordWrap(on) => {
                self.settings.word_wrap = on;
                format!("Word wrapping is {}.", on_off(on))
            }
            Setting::JsonFormat(on) => {
                self.settings.format = on.then(json_format).flatten();
                if on { "Answers are in JSON.".to_owned() } else { "Answers are plain text.".to_owned() }
            }
            Setting::Verbose(on) => {
                self.settings.verbose = on;
                format!("Timings after each answer are {}.", on_off(on))
            }
            Setting::Think(thinking) => self.set_thinking(thinking),
        };
        self.app.printer.note(&said);
    }

    /// Sets the system message.
    pub(super) fn set_system(&mut self, text: &str) -> Flow {
        self.conversation.set_system(text);
        self.app.printer.note("Set the system message.");
        Flow::Prompt
    }

    fn set_thinking(&mut self, thinking: Thinking) -> String {
        if !self.facts.can("thinking") && thinking != Thinking::Off {
            self.app.printer.warn(&format!("{} does not list thinking as a capability", self.model.as_str()));
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

/// Columns of a parameter's name, as servers write them.
const NAME: usize = 30;

impl Chat<'_> {
    /// `/show SECTION`
    pub(super) async fn show(&mut self, section: Section) -> anyhow::Result<()> {
        let name = super::host_model_name(self.context.url(), &self.model).to_owned();
        // Fetched again: the model may have been changed meanwhile.
        let asked = self.session.show(&name);
        match Self::unless_interrupted(&mut self.interrupts, asked).await {
            None => return Ok(()),
            Some(Err(error)) => {
                self.show_error(&error.into());
                return Ok(());
            }
            Some(Ok(facts)) => self.facts = facts,
        }
        let facts = &self.facts;
        let system = self.conversation.system.as_deref().unwrap_or(&facts.system);
        let (text, what) = match section {
            Section::Info => (&*self.info(), "facts"),
            Section::License => (facts.license.as_str(), "license"),
            Section::Modelfile => (facts.modelfile.as_str(), "Modelfile"),
            Section::Template => (facts.template.as_str(), "template"),
            Section::System => (system, "system message"),
            Section::Parameters => (&*self.parameters(), "parameters"),
        };
        if text.trim().is_empty() {
            self.app.printer.note(&format!("{} has no {what}", self.model.as_str()));
        } else {
            self.app.printer.data(&format!("{}\n", text.trim_end()))?;
        }
        Ok(())
    }

    fn info(&self) -> String {
        let mut text = render(&self.facts, false);
        if !self.conversation.options.is_empty() {
            text.push_str("  Set in this conversation\n");
            text.push_str(&option_lines(&self.conversation.options, "    "));
        }
        text
    }

    fn parameters(&self) -> String {
        let mut text = String::new();
        for line in self.facts.parameters.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        if !text.is_empty() {
            text.insert_str(0, "Set by the model:\n");
        }
        if !self.conversation.options.is_empty() {
            text.push_str(&format!("Set in this conversation:\n{}", option_lines(&self.conversation.options, "  ")));
        }
        text
    }

    /// `/list`
    pub(super) async fn list(&mut self, beginning: Option<&str>) -> anyhow::Result<()> {
        let asked = self.session.models();
        let mut models = match Self::unless_interrupted(&mut self.interrupts, asked).await {
            None => return Ok(()),
            Some(Err(error)) => {
                self.show_error(&error.into());
                return Ok(());
            }
            Some(Ok(models)) => models,
        };
        models.retain(|model| has_prefix(&model.name, beginning));
        self.app.printer.table(&model_table(models, (self.app.now)()))?;
        Ok(())
    }
}

fn option_lines(options: &Map<String, Value>, margin: &str) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    options.iter().map(|(name, value)| format!("{margin}{name:<NAME$} {}\n", plain(value))).collect()
}

impl Chat<'_> {
    /// Prints the model, host and credential in use, without asking the host whether the credential is still accepted.
    pub(super) fn status(&self) -> anyhow::Result<()> {
        let profile = self.context.profile.as_ref();
        let store = self.context.store_in_use().map(|store| format!(", in the {store} store")).unwrap_or_default();
        let credential = match self.context.source {
            CredentialSource::None => "none".to_owned(),
            CredentialSource::File => "an API key from the credentials file".to_owned(),
            CredentialSource::Environment => "the API key in OLLAMA_API_KEY".to_owned(),
            CredentialSource::Token(origin) => origin.describe().to_owned(),
            CredentialSource::ProfileKey => format!("an API key{store}"),
            CredentialSource::ProfileDevice => format!("this device's key{store}"),
        };
        let of_profile = matches!(self.context.source, CredentialSource::ProfileKey | CredentialSource::ProfileDevice);
        let account = profile.filter(|_| of_profile).and_then(|profile| profile.account.as_ref());
        let said = self.conversation.messages.iter().filter(|message| message.role != "system").count();
        let context = match (self.meter.used(), self.window()) {
            (Some(used), Some(window)) => format!("{used} of {window} tokens"),
            (Some(used), None) => format!("{used} tokens"),
            (None, Some(window)) => format!("{window} tokens"),
            (None, None) => "not known".to_owned(),
        };
        let mut facts = vec![
            ("Model", self.model.as_str().to_owned()),
            ("Host", self.context.url().to_string()),
            ("Credential", credential),
        ];
        facts.extend(account.map(|account| ("Account", account.label().to_owned())));
        facts.push(("Messages", said.to_string()));
        facts.push(("Context", context));
        self.app.printer.facts(&facts)?;
        Ok(())
    }
}
