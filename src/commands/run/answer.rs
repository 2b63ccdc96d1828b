//! The streamed answer: every line becomes an event, what has arrived is shown before the next wait, and the end is judged.

use std::borrow::Cow;

use serde::Serialize;

use crate::api::{ApiError, Batch, Chunk, GenerateRequest, LineStream};
use crate::app::App;
use crate::chat::{Event, RenderOptions, Renderer, Sink, Timings};
use crate::cli::{OutputFormat, RunArgs};
use crate::exit::{Exit, Problem};
use crate::ui::{Output, OutputOptions, Spinner, Tone};

/// The most text of an answer and its thinking that `--output json` collects, in bytes: an answer can be endless.
const MAX_COLLECTED_BYTES: usize = 64 << 20;

/// Shows the answer to a request. What came before an error stays on the screen.
pub async fn show(
    app: &App,
    args: &RunArgs,
    request: &GenerateRequest<'_>,
    stream: LineStream,
    spinner: Spinner,
) -> anyhow::Result<Exit> {
    if args.output == OutputFormat::Json || app.printer.is_json() {
        return collect(app, args, stream, spinner).await;
    }
    // Without a prompt the model is only loaded, as with stock Ollama: there is no answer to end.
    let answers = !request.prompt.is_empty() || !request.images.is_empty();
    print(app, args, answers, stream, spinner).await
}

async fn print(
    app: &App,
    args: &RunArgs,
    answers: bool,
    mut stream: LineStream,
    spinner: Spinner,
) -> anyhow::Result<Exit> {
    let output = app.printer.output(OutputOptions { raw: args.raw, no_word_wrap: args.nowordwrap });
    let mut shown = AnswerOutput(output);
    let mut renderer = Renderer::new(RenderOptions { hide_thinking: args.hidethinking });
    let mut spinner = Some(spinner);
    let host = stream.host().to_owned();
    let ended = loop {
        let batch = match stream.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => break Err(stream_cut(&host)),
            Err(error) => break Err(error),
        };
        if let Some(spinner) = spinner.take() {
            spinner.clear();
        }
        match render(&mut renderer, &mut shown, &batch, &host)? {
            Step::More => shown.0.flush()?,
            Step::Done(timings) => break Ok(timings),
            Step::Failed(error) => break Err(error),
        }
    };
    drop(spinner);
    match ended {
        Ok(timings) => {
            renderer.finish(&mut shown)?;
            if answers {
                shown.end()?;
            } else {
                shown.0.finish()?;
            }
            if app.global.verbose > 0 {
                app.printer.report(&timings.report());
            }
            Ok(Exit::Done)
        }
        Err(error) => {
            // The reason why the answer ended matters more than the failure to print the rest.
            let _ = shown.0.abandon();
            Err(error.into())
        }
    }
}

/// The answer on standard output.
pub(super) struct AnswerOutput(pub(super) Output);

impl Sink for AnswerOutput {
    fn text(&mut self, text: &str) -> std::io::Result<()> {
        self.0.write(text)
    }

    fn faint(&mut self, on: bool) -> std::io::Result<()> {
        self.0.tone(if on { Tone::Faint } else { Tone::Plain })
    }
}

impl AnswerOutput {
    /// The two newlines that stock Ollama prints after an answer; a character that was cut off belongs in front of them.
    pub(super) fn end(&mut self) -> std::io::Result<()> {
        self.0.finish()?;
        self.0.write("\n\n")?;
        self.0.flush()
    }
}

enum Step {
    More,
    Done(Timings),
    Failed(ApiError),
}

fn render(renderer: &mut Renderer, output: &mut AnswerOutput, batch: &Batch, host: &str) -> std::io::Result<Step> {
    for line in batch.lines() {
        let chunk = match Chunk::parse(line) {
            Ok(chunk) => chunk,
            Err(error) => return Ok(Step::Failed(invalid_line(host, &error))),
        };
        if let Some(message) = chunk.error {
            return Ok(Step::Failed(ApiError::InStream { host: host.to_owned(), message }));
        }
        if !chunk.thinking().is_empty() {
            renderer.event(&Event::Thinking(Cow::Borrowed(chunk.thinking())), output)?;
        }
        if !chunk.response().is_empty() {
            renderer.event(&Event::Content(Cow::Borrowed(chunk.response())), output)?;
        }
        for call in chunk.calls() {
            let name = Cow::Borrowed(call.function.name.as_str());
            let arguments = Cow::Owned(call.function.arguments.to_string());
            renderer.event(&Event::ToolCall { name, arguments }, output)?;
        }
        if chunk.done {
            return Ok(Step::Done(serde_json::from_slice(line).unwrap_or_default()));
        }
    }
    Ok(Step::More)
}

pub(super) fn stream_cut(host: &str) -> ApiError {
    ApiError::Cut { host: host.to_owned(), reason: "it ended without its last object".to_owned() }
}

pub(super) fn invalid_line(host: &str, error: &serde_json::Error) -> ApiError {
    // Half a line is the end of a stream that was cut.
    if error.is_eof() {
        return ApiError::Cut { host: host.to_owned(), reason: "it ended in the middle of a line".to_owned() };
    }
    ApiError::Protocol { host: host.to_owned(), reason: format!("a line is not JSON: {error}") }
}

/// `--output json`: one object at the end. An answer that did not end well is an error, and no object is printed.
#[derive(Debug, Default, Serialize)]
struct Answer<'a> {
    model: &'a str,
    host: String,
    response: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thinking: String,
    done_reason: Option<String>,
    #[serde(flatten)]
    timings: Timings,
}

async fn collect(app: &App, args: &RunArgs, mut stream: LineStream, spinner: Spinner) -> anyhow::Result<Exit> {
    let host = stream.host().to_owned();
    let mut answer = Answer { model: &args.model, host: host.clone(), ..Answer::default() };
    while let Some(batch) = stream.next().await? {
        for line in batch.lines() {
            let chunk = Chunk::parse(line).map_err(|error| invalid_line(&host, &error))?;
            if let Some(message) = chunk.error {
                return Err(ApiError::InStream { host, message }.into());
            }
            let size = answer.response.len() + answer.thinking.len() + chunk.response().len() + chunk.thinking().len();
            if size > MAX_COLLECTED_BYTES {
                return Err(too_long(&host));
            }
            answer.response.push_str(chunk.response());
            answer.thinking.push_str(chunk.thinking());
            if chunk.done {
                answer.done_reason = chunk.done_reason;
                answer.timings = serde_json::from_slice(line).unwrap_or_default();
                spinner.clear();
                app.printer.json(&answer)?;
                return Ok(Exit::Done);
            }
        }
    }
    Err(stream_cut(&host).into())
}

fn too_long(host: &str) -> anyhow::Error {
    let message = format!("the answer of {host} was stopped at {} MiB", MAX_COLLECTED_BYTES >> 20);
    let hint = "print it as it arrives with --output text, or limit it with --option num_predict=N";
    Problem::new(Exit::Failed, message).hint(hint).into()
}
