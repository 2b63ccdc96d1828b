//! `/load` switches to another model, `/save` saves the conversation as a model, `/clear` and `/retry` clear or repeat; also how a
//! model is loaded at the start.

use serde_json::Value;

use super::Chat;
use crate::address::ModelName;
use crate::api::{ApiError, CreateRequest, ProgressChunk};
use crate::chat::{Conversation, Message};
use crate::commands::context::Context;
use crate::commands::run::answer::AnswerOutput;
use crate::exit::{Exit, Problem};
use crate::profile::Audience;
use crate::ui::OutputOptions;

impl Chat<'_> {
    /// Loads the model in advance, so that the first answer is quick. Errors are ignored here: they recur with the first message,
    /// which reports them.
    pub(super) async fn load_model(&mut self) {
        if self.model.is_cloud() || self.context.url().is_ollama_com() {
            return;
        }
        let spinner = self.app.printer.spinner("");
        let keep_alive = self.args.keepalive.as_ref().map(|keep| keep.0.as_str());
        let work = self.session.preload(super::host_model_name(self.context.url(), &self.model), keep_alive);
        let _ = Self::unless_interrupted(&mut self.interrupts, work).await;
        spinner.clear();
    }

    /// The conversation begins with the model's own messages, which are shown.
    pub(super) fn take_messages(&mut self) -> anyhow::Result<()> {
        let read = |value: &Value| serde_json::from_value::<Message>(value.clone()).ok();
        self.conversation.loaded = self.facts.messages.iter().filter_map(read).collect();
        // The user did not ask for these, so `--raw` does not apply to them.
        let options = OutputOptions { raw: false, ..self.output_options() };
        for message in &self.conversation.loaded {
            let mut output = AnswerOutput(self.app.printer.output(options));
            match message.role.as_str() {
                "user" => {
                    output.0.write(&format!(">>> {}\n", message.content))?;
                    output.0.finish()?;
                }
                "assistant" => {
                    output.0.write(&message.content)?;
                    output.end()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// `/clear`
    pub(super) fn clear(&mut self) {
        self.conversation.clear();
        self.meter.reset();
        self.app.printer.note("Cleared the conversation.");
    }

    /// `/retry`
    pub(super) async fn retry(&mut self) -> anyhow::Result<()> {
        if self.conversation.retry() {
            return self.answer().await;
        }
        self.app.printer.warn("there is no message to send again");
        Ok(())
    }

    /// `/load MODEL`. Where that fails, the conversation continues with the old model.
    pub(super) async fn load(&mut self, typed: &str) -> anyhow::Result<()> {
        let (app, args) = (self.app, self.args);
        let work = async {
            let model = ModelName::parse(typed)
                .map_err(|error| Problem::new(Exit::Usage, format!("the model {typed:?}: {error}")))?;
            let context = Context::resolve(app, Audience::Model { cloud: model.is_cloud() })?;
            let session = context.session(app).await?;
            let name = super::host_model_name(context.url(), &model);
            let facts = match session.show(name).await {
                Ok(facts) => facts,
                Err(error) => {
                    let run = super::RunContext::new(app, args, &session, &model, name);
                    return Err(run.explain(error).await);
                }
            };
            anyhow::Ok((model, context, session, facts))
        };
        let spinner = app.printer.spinner("");
        let loaded = Self::unless_interrupted(&mut self.interrupts, work).await;
        spinner.clear();
        match loaded {
            None => return Ok(()),
            Some(Err(error)) => {
                self.show_error(&error);
                return Ok(());
            }
            Some(Ok((model, context, session, facts))) => {
                (self.model, self.context, self.session, self.facts) = (model, context, session, facts);
            }
        }
        let options = std::mem::take(&mut self.conversation.options);
        self.conversation = Conversation { options, ..Conversation::default() };
        self.meter.reset();
        self.names.forget();
        self.load_model().await;
        app.printer.note(&format!("Loaded {}.", self.model.as_str()));
        self.take_messages()
    }

    /// `/save MODEL`
    pub(super) async fn save(&mut self, name: &str) -> anyhow::Result<()> {
        if let Err(error) = ModelName::parse(name) {
            self.app.printer.warn(&format!("{name:?} is not a valid model name: {error}"));
            return Ok(());
        }
        let parent = self.facts.parent_model.as_str();
        let from = if self.is_usable_parent(parent) {
            parent
        } else {
            super::host_model_name(self.context.url(), &self.model)
        };
        let messages: Vec<Value> = self
            .conversation
            .loaded
            .iter()
            .chain(&self.conversation.messages)
            .filter_map(|message| serde_json::to_value(message).ok())
            .collect();
        let request = CreateRequest {
            model: name,
            from,
            system: self.conversation.system.as_deref(),
            parameters: &self.conversation.options,
            messages: &messages,
        };
        let spinner = self.app.printer.spinner("");
        let host = self.session.base().to_string();
        let work = async {
            let mut stream = self.session.create(&request).await?;
            let mut done = false;
            while let Some(batch) = stream.next().await? {
                for line in batch.lines() {
                    let progress: ProgressChunk = serde_json::from_slice(line).unwrap_or_default();
                    if let Some(message) = progress.error() {
                        return Err(ApiError::InStream { host: host.clone(), message });
                    }
                    done |= progress.status == "success";
                }
            }
            if done { Ok(()) } else { Err(crate::commands::run::answer::stream_cut(&host)) }
        };
        let saved = Self::unless_interrupted(&mut self.interrupts, work).await;
        spinner.clear();
        self.names.forget();
        match saved {
            None => self.app.printer.warn(&format!("stopped; {name} may have been made all the same")),
            Some(Ok(())) => self.app.printer.success(&format!("Saved this conversation as {name}")),
            Some(Err(error)) => self.show_error(&error.into()),
        }
        Ok(())
    }

    /// A model that was made from another is saved on top of that one, as stock does; not where the parent is a file, or where a
    /// cloud model would become a local one.
    fn is_usable_parent(&self, parent: &str) -> bool {
        let named = !parent.starts_with(['/', '.']) && !parent.contains('\\');
        named && ModelName::parse(parent).is_ok_and(|parent| parent.is_cloud() || !self.model.is_cloud())
    }
}
