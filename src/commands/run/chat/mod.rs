//! `run` without a prompt, on a terminal: the conversation. This file holds its state and its loop; each group of slash commands has a
//! file of its own. No failure of a host ends the conversation: the prompt returns and the messages are kept.

mod answer;
mod export;
mod history;
mod models;
mod prompt;
mod settings;
mod signin;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use self::history::History;
use self::prompt::ModelNames;
use super::{RunContext, host_model_name, think_option};
use crate::address::ModelName;
use crate::api::{Session, ShowResponse, Think};
use crate::app::App;
use crate::chat::{Command, CommandError, Conversation, Message, Meter, help, window};
use crate::cli::RunArgs;
use crate::commands::context::Context;
use crate::exit::{Exit, Problem};
use crate::signals::{Interrupts, terminal_closed};
use crate::ui::{LineEditor, OutputOptions};

/// Holds the conversation until the person leaves.
pub async fn run(
    app: &App,
    args: &RunArgs,
    context: Context,
    model: ModelName,
    format: Option<Box<RawValue>>,
    options: Map<String, Value>,
) -> anyhow::Result<Exit> {
    let (context, session, facts) = begin(app, args, context, &model).await?;
    if facts.can("image") || facts.can("embedding") {
        let message = format!("{} has no chat mode", args.model);
        let hint =
            format!("give the prompt on the command line: ollama-auth run {} TEXT", crate::shell::quoted(&args.model));
        return Err(Problem::new(Exit::Usage, message).hint(hint).into());
    }
    let settings =
        Settings { word_wrap: !args.nowordwrap, verbose: app.global.verbose > 0, format, think: think_option(args) };
    let history = History::open(app);
    let (names, complete) = ModelNames::new();
    let editor = LineEditor::start(&app.printer, complete, history.entries())?;
    let mut conversation = Conversation { options, ..Conversation::default() };
    if let Some(text) = &args.system {
        conversation.set_system(text);
    }
    let mut chat = Chat {
        app,
        args,
        context,
        session,
        model,
        facts,
        conversation,
        settings,
        meter: Meter::default(),
        history,
        names,
        editor,
        interrupts: Interrupts::claim(),
    };
    tokio::select! {
        done = chat.run_loop() => done,
        () = terminal_closed() => Ok(Exit::Interrupted),
    }
}

/// What the host knows of the model, signed in where that is needed and wanted.
async fn begin<'a>(
    app: &'a App,
    args: &RunArgs,
    mut context: Context,
    model: &ModelName,
) -> anyhow::Result<(Context, Session<'a>, ShowResponse)> {
    let mut offered = false;
    loop {
        let session = context.session(app).await?;
        let name = host_model_name(context.url(), model);
        let spinner = app.printer.spinner("");
        let found = RunContext::new(app, args, &session, model, name).show_or_pull().await;
        spinner.clear();
        let error = match found {
            Ok(facts) => return Ok((context, session, facts)),
            Err(error) => error,
        };
        let problem = Problem::from_error(&error);
        if offered || problem.exit != Exit::SignIn || !signin::offer_signin(app, &context, model, &problem).await? {
            return Err(error);
        }
        offered = true;
        context = signin::resolve_again(app, context, model)?;
    }
}

/// What was set for this conversation.
struct Settings {
    word_wrap: bool,
    verbose: bool,
    format: Option<Box<RawValue>>,
    /// As it was asked for; otherwise models think that can.
    think: Option<Think>,
}

/// The conversation.
struct Chat<'a> {
    app: &'a App,
    args: &'a RunArgs,
    context: Context,
    session: Session<'a>,
    model: ModelName,
    facts: ShowResponse,
    conversation: Conversation,
    settings: Settings,
    meter: Meter,
    history: History,
    names: ModelNames,
    editor: LineEditor,
    interrupts: Interrupts,
}

/// What was asked for at the prompt.
enum UserInput {
    Command(String),
    Message(String),
    System(String),
    End,
}

/// Whether the conversation continues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Prompt,
    Leave,
}

impl<'a> Chat<'a> {
    async fn run_loop(&mut self) -> anyhow::Result<Exit> {
        self.load_model().await;
        self.take_messages()?;
        loop {
            let next = match self.prompt().await? {
                UserInput::End => Flow::Leave,
                UserInput::Message(text) => self.send_message(&text).await?,
                UserInput::System(text) => self.set_system(&text),
                UserInput::Command(line) => self.command(&line).await?,
            };
            if next == Flow::Leave {
                return Ok(Exit::Done);
            }
        }
    }

    async fn command(&mut self, line: &str) -> anyhow::Result<Flow> {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(CommandError::Unknown(_)) if super::media::begins_with_file(line) => {
                return self.send_message(line).await;
            }
            Err(misread) => {
                match misread {
                    CommandError::Unknown(what) => {
                        self.app.printer.warn(&format!("unknown command {what}; /? lists all commands"))
                    }
                    CommandError::Usage(usage) => self.app.printer.warn(&format!("usage: {usage}")),
                    CommandError::Explain(about) => self.app.printer.report(&help(about, self.facts.takes_media())),
                }
                return Ok(Flow::Prompt);
            }
        };
        match command {
            Command::Bye => return Ok(Flow::Leave),
            Command::Help(about) => self.app.printer.report(&help(about, self.facts.takes_media())),
            Command::Set(setting) => self.set(setting),
            Command::Show(section) => self.show(section).await?,
            Command::Load(model) => self.load(&model).await?,
            Command::Save(model) => self.save(&model).await?,
            Command::List(beginning) => self.list(beginning.as_deref()).await?,
            Command::Clear => self.clear(),
            Command::Retry => self.retry().await?,
            Command::Copy => self.copy().await?,
            Command::Export(file) => self.export(&file).await?,
            Command::Status => self.status()?,
        }
        Ok(Flow::Prompt)
    }

    /// Takes a message, with the files it names, and shows the answer.
    async fn send_message(&mut self, text: &str) -> anyhow::Result<Flow> {
        if !self.facts.takes_media() {
            if super::media::begins_with_file(text) {
                self.app.printer.warn(&format!("{} does not take images or sounds", self.model.as_str()));
                return Ok(Flow::Prompt);
            }
            self.conversation.ask(Message::new("user", text));
        } else {
            match super::media::attach(self.app, text) {
                Ok((text, images)) => self.conversation.ask(Message { images, ..Message::new("user", text) }),
                Err(error) => {
                    self.show_error(&error);
                    return Ok(Flow::Prompt);
                }
            }
        }
        self.answer().await?;
        Ok(Flow::Prompt)
    }

    /// The model, as the host calls it.
    fn name(&self) -> &str {
        host_model_name(self.context.url(), &self.model)
    }

    /// Says what went wrong, and leaves it at that.
    fn show_error(&self, error: &anyhow::Error) {
        let problem = Problem::from_error(error);
        if problem.exit != Exit::Interrupted {
            self.app.printer.error_human(&problem.message, problem.hint.as_deref());
        }
    }

    /// Waits for something that Ctrl-C may break off; `None` when it did.
    async fn unless_interrupted<T>(interrupts: &mut Interrupts, work: impl Future<Output = T>) -> Option<T> {
        interrupts.forget();
        tokio::select! {
            biased;
            () = interrupts.next() => None,
            done = work => Some(done),
        }
    }

    fn output_options(&self) -> OutputOptions {
        OutputOptions { raw: self.args.raw, no_word_wrap: !self.settings.word_wrap }
    }

    /// The context window of the model, in tokens, where it is known.
    fn window(&self) -> Option<u64> {
        window(&self.conversation.options, &self.facts.parameters, self.facts.model_info.as_ref())
    }
}
