//! `run`: one prompt, one streamed answer; without a prompt, on a terminal, a conversation.

mod answer;
mod chat;
mod media;
mod wait;

use std::io::{self, Read as _};
use std::time::Duration;

use serde_json::{Map, Value};

use super::context::{Context, withheld_note};
use super::models::{explain_missing, explain_pull, missing_model, try_pull};
use crate::address::{BaseUrl, ModelName};
use crate::api::{ApiError, EmbedRequest, ForbiddenReason, GenerateRequest, Session, ShowResponse, Think};
use crate::app::App;
use crate::chat::parameters::{self, ParameterError};
use crate::cli::{OutputFormat, RunArgs, ThinkArg};
use crate::exit::{Exit, Problem};
use crate::identity::ConnectUrl;
use crate::profile::{Audience, CredentialSource};
use crate::shell::quoted;
use wait::Patience;

/// Runs it.
pub async fn run(app: &App, args: RunArgs) -> anyhow::Result<Exit> {
    let model = ModelName::parse(&args.model)
        .map_err(|error| Problem::new(Exit::Usage, format!("the model {:?}: {error}", args.model)))?;
    let typed = args.prompt.join(" ");
    let piped = read_piped(app, &args).await?;
    let wants_text = args.output == OutputFormat::Text && !app.printer.is_json();
    let conversation = typed.is_empty()
        && piped.is_none()
        && wants_text
        && app.printer.is_interactive()
        && app.printer.stdout_is_terminal();
    if typed.is_empty() && piped.is_none() && !conversation && app.printer.stdout_is_terminal() {
        let hint = format!(
            "pass it after the model: ollama-auth run {0} \"Why is the sky blue?\"\nor pipe it in: echo … | ollama-auth run {0}",
            quoted(&args.model)
        );
        return Err(Problem::new(Exit::Usage, "no prompt given").hint(hint).into());
    }
    let options = model_options(app, &args)?;
    let wanted_format = args.format.as_deref().map(media::read_format).transpose()?;
    let context = Context::resolve(app, Audience::Model { cloud: model.is_cloud() })?;
    let unsent = context.withheld.filter(|_| context.source == CredentialSource::None && !context.url().is_loopback());
    if let Some(withheld) = unsent {
        app.printer.warn(&withheld_note(withheld, context.url()));
    }
    if conversation {
        return chat::run(app, &args, context, model, wanted_format, options).await;
    }
    let session = context.session(app).await?;
    let name = host_model_name(context.url(), &model);
    let work = RunContext::new(app, &args, &session, &model, name);
    let info = work.show_or_pull().await?;
    if info.can("image") {
        let message = format!("{} generates images, which a terminal cannot show", args.model);
        return Err(Problem::new(Exit::Failed, message).into());
    }
    if info.can("embedding") {
        return work.embed(&join_prompt(piped, typed), &options).await;
    }
    // Only what was typed may name files: piped text may come from others and must not select files to send.
    let (typed, images) = if info.takes_media() { media::attach(app, &typed)? } else { (typed, Vec::new()) };
    let prompt = join_prompt(piped, typed);
    let think = think_option(&args).or_else(|| info.can("thinking").then_some(Think::Switch(true)));
    let request = GenerateRequest {
        model: work.name,
        prompt: &prompt,
        system: args.system.as_deref(),
        images,
        format: wanted_format.as_deref(),
        options: &options,
        keep_alive: args.keepalive.as_ref().map(|keep| keep.0.as_str()),
        think: think.as_ref(),
    };
    let timeout = args.timeout.map(|limit| limit.0);
    let ask = async || {
        let spinner = app.printer.spinner("");
        Ok((session.generate(&request, timeout).await?, spinner))
    };
    match work.patience.ask(ask).await {
        Ok((stream, spinner)) => answer::show(app, &args, &request, stream, spinner).await,
        Err(error) => Err(work.explain(error).await),
    }
}

/// The request of one run: host, model and options.
struct RunContext<'a> {
    app: &'a App,
    args: &'a RunArgs,
    session: &'a Session<'a>,
    model: &'a ModelName,
    /// The model as the host calls it.
    name: &'a str,
    patience: Patience<'a>,
}

impl<'a> RunContext<'a> {
    fn new(app: &'a App, args: &'a RunArgs, session: &'a Session<'a>, model: &'a ModelName, name: &'a str) -> Self {
        Self { app, args, session, model, name, patience: Patience::new(app, args.wait) }
    }

    /// What the server knows of the model. One that is missing, and is not a cloud model, is pulled first.
    async fn show_or_pull(&self) -> anyhow::Result<ShowResponse> {
        let can_be_pulled = !self.session.base().is_ollama_com() && !self.model.is_cloud();
        match self.show().await {
            Ok(info) => return Ok(info),
            Err(ApiError::NotFound { recognised: true, .. }) if can_be_pulled => {}
            Err(error) => return Err(self.explain(error).await),
        }
        let timeout = self.args.timeout.map(|limit| limit.0);
        match try_pull(self.app, self.session, self.name, self.args.insecure, timeout).await {
            Ok(()) => {}
            // A CI key has no right to pull; what its user needs to know is that the name is wrong.
            Err(ApiError::Forbidden {
                host,
                had_credential: true,
                reason: ForbiddenReason::Other,
                missing: None,
                ..
            }) => {
                let message = format!("{host} has no model {:?} (and this key may not pull it)", self.name);
                return Err(missing_model(self.session, self.name, message).await.into());
            }
            Err(error) => return Err(explain_pull(self.session, self.name, error).await),
        }
        match self.show().await {
            Ok(info) => Ok(info),
            Err(error) => Err(self.explain(error).await),
        }
    }

    async fn show(&self) -> Result<ShowResponse, ApiError> {
        self.patience.ask(async || self.session.show(self.name).await).await
    }

    async fn embed(&self, input: &str, options: &Map<String, Value>) -> anyhow::Result<Exit> {
        if input.is_empty() {
            let message = format!("{} is an embedding model and needs text", self.args.model);
            return Err(Problem::new(Exit::Usage, message).hint("pass the text after the model, or pipe it in").into());
        }
        let request = EmbedRequest {
            model: self.name,
            input,
            truncate: self.args.truncate,
            dimensions: self.args.dimensions,
            keep_alive: self.args.keepalive.as_ref().map(|keep| keep.0.as_str()),
            options,
        };
        let timeout = self.args.timeout.map(|limit| limit.0);
        let embed = async || self.session.embed(&request, timeout).await;
        let vector = match self.patience.ask(embed).await {
            Ok(vector) => vector,
            Err(error) => return Err(self.explain(error).await),
        };
        if self.args.output == OutputFormat::Json || self.app.printer.is_json() {
            self.app.printer.json(&serde_json::json!({ "model": self.args.model, "embedding": vector }))?;
        } else {
            self.app.printer.data(vector.get())?;
        }
        Ok(Exit::Done)
    }

    /// Adds what this command knows: which model it was, and whose sign-in a refused cloud model needs.
    async fn explain(&self, error: ApiError) -> anyhow::Error {
        let host = self.session.base();
        match &error {
            ApiError::NotFound { message, recognised: true, .. } if self.model.is_cloud() => {
                let message = format!("{host} has no model {:?}: {message}", self.model.as_str());
                let hint = "check the name; cloud models are listed at https://ollama.com/search?c=cloud";
                Problem::new(Exit::NotFound, message).hint(hint).into()
            }
            // A local server passes on what its cloud thinks of the *server's* key (`docs/explanation/protocol.md`, "Traps"), with the
            // headers of a gateway if that is its cloud. A gateway itself offers no link to a request that is not signed.
            ApiError::Unauthorized { message, signin_url, had_credential: false, from_gateway, .. }
                if self.model.is_cloud() && !host.is_ollama_com() && (!from_gateway || signin_url.is_some()) =>
            {
                server_signed_out(host, self.model, message, signin_url.as_deref()).into()
            }
            ApiError::TryLater { retry_after, .. } => {
                let waiting = self.patience.hint(*retry_after, &quoted(self.model.as_str()).to_string());
                let problem = Problem::from_error(&error.into());
                let hints: Vec<String> = problem.hint.clone().into_iter().chain(waiting).collect();
                if hints.is_empty() { problem.into() } else { problem.hint(hints.join("\n")).into() }
            }
            _ => explain_missing(self.session, self.model.as_str(), error).await,
        }
    }
}

/// A cloud model at a server whose own key its cloud does not know. That cloud is ollama.com, or what `OLLAMA_CLOUD_BASE_URL` of the
/// server says, which its link tells.
fn server_signed_out(host: &BaseUrl, model: &ModelName, message: &str, signin_url: Option<&str>) -> Problem {
    let link = signin_url.and_then(|url| ConnectUrl::parse(url).ok());
    let elsewhere = link.filter(|link| link.origin() != BaseUrl::ollama_com().origin());
    let place = elsewhere.as_ref().map_or_else(|| "ollama.com".to_owned(), |link| link.origin().to_string());
    let message =
        format!("the Ollama server at {host} is not signed in, and {} runs at {place}: {message}", model.as_str());
    let hint = match elsewhere {
        Some(link) => format!(
            "if you trust {place}, approve the key of that server there: {link}\nits fingerprint: {}",
            link.key().grouped_fingerprint()
        ),
        None => format!(
            "sign in that server: ollama-auth signin --server --host {host}\nor use your own account: ollama-auth signin --host ollama.com, or set OLLAMA_API_KEY"
        ),
    };
    Problem::new(Exit::SignIn, message).hint(hint)
}

/// `--option`: a wrong value of a known parameter is refused; an unknown one is sent, since a newer server may know it.
fn model_options(app: &App, args: &RunArgs) -> anyhow::Result<Map<String, Value>> {
    let mut options = Map::new();
    for option in &args.option {
        let value = match parameters::check(&option.name, &option.value) {
            Ok(value) => value,
            Err(ParameterError::Unknown(name)) => {
                app.printer.warn(&format!("unknown parameter {name:?}: it is sent, but the server may ignore it"));
                option.value.clone()
            }
            Err(error) => {
                let hint = format!(
                    "such as --option {}=VALUE; in a conversation, /? parameters lists the common ones",
                    option.name
                );
                return Err(Problem::new(Exit::Usage, format!("--option: {error}")).hint(hint).into());
            }
        };
        options.insert(option.name.clone(), value);
    }
    Ok(options)
}

/// `--think`
fn think_option(args: &RunArgs) -> Option<Think> {
    Some(match args.think.as_ref()? {
        ThinkArg::Switch(on) => Think::Switch(*on),
        ThinkArg::Level(level) => Think::Level(level.clone()),
    })
}

/// At ollama.com a cloud model goes by its name without the marker; any other server needs the name as it was typed.
fn host_model_name<'a>(host: &BaseUrl, model: &'a ModelName) -> &'a str {
    if host.is_ollama_com() { model.base() } else { model.as_str() }
}

/// How long standard input may take before a message says what the program waits for.
const STDIN_NOTICE_DELAY: Duration = Duration::from_secs(2);

/// Piped input, where there is any. As stock does, it is read to its end even when there is a prompt.
async fn read_piped(app: &App, args: &RunArgs) -> anyhow::Result<Option<String>> {
    if app.printer.stdin_is_terminal() {
        return Ok(None);
    }
    let limit = args.timeout.map(|limit| limit.0);
    let bytes = if stdin_never_waits() { read_stdin() } else { wait_for_stdin(app, limit).await? };
    let bytes = bytes.map_err(|error| Problem::new(Exit::Failed, format!("standard input cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Problem::new(Exit::Usage, "standard input is not valid UTF-8 text")
            .hint("images are attached by their path in the prompt")
    })?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Where the end of standard input does not come (a pipe that another process keeps open), at least a message says so, and `--timeout`
/// applies.
async fn wait_for_stdin(app: &App, limit: Option<Duration>) -> anyhow::Result<io::Result<Vec<u8>>> {
    let mut read = std::pin::pin!(app.ask(|_| read_stdin()));
    let patience = limit.map_or(STDIN_NOTICE_DELAY, |limit| limit.min(STDIN_NOTICE_DELAY));
    match (tokio::time::timeout(patience, &mut read).await, limit) {
        (Ok(bytes), _) => bytes,
        (Err(_), Some(limit)) => match tokio::time::timeout(limit.saturating_sub(patience), &mut read).await {
            Ok(bytes) => bytes,
            Err(_) => {
                let hint = "close it, or run the command with </dev/null";
                let message = "standard input did not end within the time limit";
                Err(Problem::new(Exit::Usage, message).hint(hint).into())
            }
        },
        (Err(_), None) => {
            app.printer.warn("waiting for the end of standard input; close it, or run the command with </dev/null");
            read.await
        }
    }
}

fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map(|_| bytes)
}

/// Whether standard input is a file or `/dev/null`: reading it needs no thread of its own, which takes a tenth of a millisecond.
#[cfg(unix)]
fn stdin_never_waits() -> bool {
    use rustix::fs::{FileType, fstat, stat};

    let Ok(stdin) = fstat(io::stdin()) else { return false };
    match FileType::from_raw_mode(stdin.st_mode) {
        FileType::RegularFile => true,
        FileType::CharacterDevice => stat("/dev/null").is_ok_and(|null| null.st_rdev == stdin.st_rdev),
        _ => false,
    }
}

#[cfg(not(unix))]
fn stdin_never_waits() -> bool {
    false
}

/// Piped input goes in front of the prompt, joined by a space, as stock does.
fn join_prompt(piped: Option<String>, typed: String) -> String {
    match piped {
        None => typed,
        Some(piped) if typed.is_empty() => piped,
        Some(piped) => format!("{piped} {typed}"),
    }
}
