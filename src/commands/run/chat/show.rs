//! `/show` and `/list`, as the commands of these names have them, with what was set here.

use serde_json::{Map, Value};

use super::Chat;
use crate::chat::Section;
use crate::commands::models::{has_prefix, model_table, render};

/// Columns of a parameter's name, as servers write them.
const NAME: usize = 30;

impl Chat<'_> {
    /// `/show SECTION`
    pub(super) async fn show(&mut self, section: Section) -> anyhow::Result<()> {
        let name = super::name_for(self.context.url(), &self.model).to_owned();
        // Asked for anew: the model may have been changed meanwhile.
        let asked = self.session.show(&name);
        match Self::unless_interrupted(&mut self.interrupts, asked).await {
            None => return Ok(()),
            Some(Err(error)) => {
                self.complain(&error.into());
                return Ok(());
            }
            Some(Ok(facts)) => self.facts = facts,
        }
        let facts = &self.facts;
        let system = self.talk.system.as_deref().unwrap_or(&facts.system);
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
        if !self.talk.options.is_empty() {
            text.push_str("  Set here\n");
            text.push_str(&set_here(&self.talk.options, "    "));
        }
        text
    }

    fn parameters(&self) -> String {
        let mut text = String::new();
        for line in self.facts.parameters.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        if !text.is_empty() {
            text.insert_str(0, "Of the model:\n");
        }
        if !self.talk.options.is_empty() {
            text.push_str(&format!("Set here:\n{}", set_here(&self.talk.options, "  ")));
        }
        text
    }

    /// `/list`
    pub(super) async fn list(&mut self, beginning: Option<&str>) -> anyhow::Result<()> {
        let asked = self.session.models();
        let mut models = match Self::unless_interrupted(&mut self.interrupts, asked).await {
            None => return Ok(()),
            Some(Err(error)) => {
                self.complain(&error.into());
                return Ok(());
            }
            Some(Ok(models)) => models,
        };
        models.retain(|model| has_prefix(&model.name, beginning));
        self.app.printer.table(&model_table(models, (self.app.now)()))?;
        Ok(())
    }
}

fn set_here(options: &Map<String, Value>, margin: &str) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    options.iter().map(|(name, value)| format!("{margin}{name:<NAME$} {}\n", plain(value))).collect()
}
