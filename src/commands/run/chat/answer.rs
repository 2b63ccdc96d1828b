//! One message and its answer: streamed to the terminal, stopped by Ctrl-C, which keeps the text so far.

use std::borrow::Cow;

use super::Chat;
use crate::api::{ApiError, Batch, ChatRequest, Chunk, LineStream, Think};
use crate::app::App;
use crate::chat::{Event, Message, RenderOptions, Renderer, Timings};
use crate::commands::run::answer::{AnswerOutput, invalid_line, stream_cut};
use crate::commands::run::wait::Patience;
use crate::exit::{Exit, Problem};
use crate::signals::Interrupts;
use crate::ui::Spinner;

/// The most that is kept of an answer and its thinking, in bytes: an endless answer must not fill the memory.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How an answer ended.
enum Outcome {
    /// With its last object.
    Whole(Timings),
    /// By Ctrl-C.
    Stopped,
    /// By us: it grew beyond [`MAX_ANSWER_BYTES`].
    TooLong,
    /// By an error.
    Failed(ApiError),
}

impl Chat<'_> {
    /// Sends the message that is up, and shows the answer. Where a sign-in is needed, it is offered, and the same message goes
    /// on.
    pub(super) async fn answer(&mut self) -> anyhow::Result<()> {
        let mut offered = false;
        loop {
            let (said, ended) = self.try_answer().await?;
            let error = match ended {
                Outcome::Whole(timings) => {
                    self.conversation.answered(said);
                    self.finish(&timings);
                    return Ok(());
                }
                Outcome::Stopped => {
                    self.conversation.answered(said);
                    return Ok(());
                }
                Outcome::TooLong => {
                    self.conversation.answered(said);
                    let limit = MAX_ANSWER_BYTES >> 20;
                    self.app.printer.warn(&format!(
                        "the answer was stopped at {limit} MiB; /retry asks for another, /clear starts over"
                    ));
                    return Ok(());
                }
                Outcome::Failed(error) => error,
            };
            let error = self.explain(error).await;
            let problem = Problem::from_error(&error);
            if problem.exit == Exit::SignIn && !offered && self.offer_signin(&problem).await? {
                offered = true;
                continue;
            }
            let hint = match problem.hint {
                Some(hint) => format!("{hint}\nthe conversation is kept; /retry sends the message again"),
                None => "the conversation is kept; /retry sends the message again".to_owned(),
            };
            self.app.printer.error_human(&problem.message, Some(&hint));
            return Ok(());
        }
    }

    async fn explain(&self, error: ApiError) -> anyhow::Error {
        let (app, args, session, model) = (self.app, self.args, &self.session, &self.model);
        super::RunContext::new(app, args, session, model, self.name()).explain(error).await
    }

    /// Only an error of the terminal is returned: a conversation is impossible without it.
    async fn try_answer(&mut self) -> anyhow::Result<(Message, Outcome)> {
        let think = self.settings.think.clone();
        let think = think.or_else(|| self.facts.can("thinking").then_some(Think::Switch(true)));
        let request = ChatRequest {
            model: super::host_model_name(self.context.url(), &self.model),
            messages: self.conversation.sent(),
            format: self.settings.format.as_deref(),
            options: &self.conversation.options,
            keep_alive: self.args.keepalive.as_ref().map(|keep| keep.0.as_str()),
            think: think.as_ref(),
        };
        let (app, session, timeout) = (self.app, &self.session, self.args.timeout.map(|limit| limit.0));
        let patience = Patience::new(app, self.args.wait);
        let sent = patience.ask(async || {
            let spinner = app.printer.spinner("");
            Ok((session.chat(&request, timeout).await?, spinner))
        });
        let mut shown = StreamingAnswer::new(self);
        let ended = match Self::unless_interrupted(&mut self.interrupts, sent).await {
            None => Outcome::Stopped,
            Some(Err(error)) => Outcome::Failed(error),
            Some(Ok((stream, spinner))) => shown.stream(stream, spinner, &mut self.interrupts).await?,
        };
        Ok((shown.end(self.app, &ended)?, ended))
    }

    fn finish(&mut self, timings: &Timings) {
        if self.settings.verbose {
            self.app.printer.report(&format!("{}\n", timings.report()));
        }
        let window = self.window();
        if let Some(note) = self.meter.update(timings.prompt_eval_count, timings.eval_count, window) {
            self.app.printer.warn(&note);
        }
    }
}

/// An answer on its way to the terminal, and what it has said.
struct StreamingAnswer {
    output: AnswerOutput,
    renderer: Renderer,
    said: Message,
    /// What `said` takes up, in bytes.
    size: usize,
}

impl StreamingAnswer {
    fn new(chat: &Chat<'_>) -> Self {
        Self {
            output: AnswerOutput(chat.app.printer.output(chat.output_options())),
            renderer: Renderer::new(RenderOptions { hide_thinking: chat.args.hidethinking }),
            said: Message::new("assistant", ""),
            size: 0,
        }
    }

    async fn stream(
        &mut self,
        mut stream: LineStream,
        spinner: Spinner,
        interrupts: &mut Interrupts,
    ) -> std::io::Result<Outcome> {
        let host = stream.host().to_owned();
        let mut spinner = Some(spinner);
        loop {
            let next = tokio::select! {
                biased;
                // The request ends at the host when the stream is dropped.
                () = interrupts.next() => return Ok(Outcome::Stopped),
                next = stream.next() => next,
            };
            let batch = match next {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(Outcome::Failed(stream_cut(&host))),
                Err(error) => return Ok(Outcome::Failed(error)),
            };
            if let Some(spinner) = spinner.take() {
                spinner.clear();
            }
            if let Some(ended) = self.batch(&batch, &host)? {
                return Ok(ended);
            }
            self.output.0.flush()?;
        }
    }

    fn batch(&mut self, batch: &Batch, host: &str) -> std::io::Result<Option<Outcome>> {
        for line in batch.lines() {
            let chunk = match Chunk::parse(line) {
                Ok(chunk) => chunk,
                Err(error) => return Ok(Some(Outcome::Failed(invalid_line(host, &error)))),
            };
            if let Some(message) = chunk.error {
                return Ok(Some(Outcome::Failed(ApiError::InStream { host: host.to_owned(), message })));
            }
            let calls = if chunk.calls().is_empty() { 0 } else { line.len() };
            self.size += chunk.thinking().len() + chunk.response().len() + calls;
            if self.size > MAX_ANSWER_BYTES {
                return Ok(Some(Outcome::TooLong));
            }
            self.said.thinking.push_str(chunk.thinking());
            self.said.content.push_str(chunk.response());
            self.renderer.event(&Event::Thinking(Cow::Borrowed(chunk.thinking())), &mut self.output)?;
            self.renderer.event(&Event::Content(Cow::Borrowed(chunk.response())), &mut self.output)?;
            for call in chunk.calls() {
                let name = Cow::Borrowed(call.function.name.as_str());
                let arguments = Cow::Owned(call.function.arguments.to_string());
                self.renderer.event(&Event::ToolCall { name, arguments }, &mut self.output)?;
                self.said.tool_calls.extend(serde_json::to_value(call).ok());
            }
            if chunk.done {
                return Ok(Some(Outcome::Whole(serde_json::from_slice(line).unwrap_or_default())));
            }
        }
        Ok(None)
    }

    fn end(mut self, app: &App, ended: &Outcome) -> std::io::Result<Message> {
        self.renderer.finish(&mut self.output)?;
        match ended {
            Outcome::Whole(_) => self.output.end()?,
            Outcome::Stopped => {
                self.output.0.abandon()?;
                app.printer.report("[stopped]\n");
            }
            Outcome::Failed(_) | Outcome::TooLong => self.output.0.abandon()?,
        }
        Ok(self.said)
    }
}
