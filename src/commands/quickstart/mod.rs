//! `quickstart`: the whole flow on this machine with the real commands, in a temporary folder that is deleted at the end.
//!
//! The gateway, the device and its key live in that folder; nothing of the person's own is read or written.

mod gateway;
mod steps;

use std::path::Path;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tempfile::{Builder, TempDir};

use self::gateway::{QuickstartGateway, Upstream, choose_upstream, readable_password};
use self::steps::{CommandLine, Outcome, Step, Steps};
use crate::address::BaseUrl;
use crate::app::App;
use crate::cli::QuickstartArgs;
use crate::exit::{Exit, Problem};
use crate::identity::PublicKey;
use crate::keyspec::ApiKey;
use crate::ui::Printer;

const PROMPT: &str = "Why is the sky blue?";
/// The account's name.
const NAME: &str = "you";
/// The API key's name.
const KEY: &str = "quickstart";
/// Where `gateway serve` listens by default.
const DEFAULT_GATEWAY: &str = "http://127.0.0.1:11435";

/// Runs the quickstart.
///
/// # Errors
/// A step that ended otherwise than expected, named.
pub async fn run(app: &App, args: QuickstartArgs) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let prompt = args.prompt.join(" ");
    let prompt = if prompt.trim().is_empty() { PROMPT } else { prompt.as_str() };
    let folder = TemporaryFolder::new()?;
    let upstream = choose_upstream(app).await?;
    app.printer.note("The whole flow on this machine, in a temporary folder: nothing of yours is read or changed.");
    app.printer.note(&upstream.description);
    let mut steps = Steps::new(app, folder.path());
    let done = run_steps(app, &mut steps, &upstream, prompt, is_automatic(app, &args)).await;
    let repeat = commands_to_repeat(&upstream, prompt);
    if app.printer.is_json() {
        app.printer.json(&json!({
            "ok": done.is_ok(),
            "upstream": {
                "kind": if upstream.is_demo { "demonstration" } else { "ollama" },
                "url": upstream.url.to_string(),
                "model": upstream.model,
            },
            "steps": steps.records(),
            "repeat": repeat.iter().map(|(command, _)| command).collect::<Vec<_>>(),
        }))?;
    }
    let count = steps.records().len();
    done?;
    drop(folder);
    app.printer.note("");
    let seconds = began.elapsed().as_secs_f64();
    app.printer.success(&format!("All {count} steps succeeded in {seconds:.1} s. The temporary folder is deleted."));
    print_how_to_repeat(&app.printer, &upstream, &repeat);
    Ok(Exit::Done)
}

/// Whether the device is approved without a person: on request, and where no person can press the button.
fn is_automatic(app: &App, args: &QuickstartArgs) -> bool {
    args.yes || app.printer.is_json() || !app.printer.is_interactive() || !app.env.can_show_pages
}

async fn run_steps(
    app: &App,
    steps: &mut Steps<'_>,
    upstream: &Upstream,
    prompt: &str,
    automatic: bool,
) -> anyhow::Result<()> {
    let gateway = serve(app, steps, upstream).await?;
    let host = gateway.url();
    add_account(app, steps, &gateway, automatic).await?;
    sign_in(steps, &gateway, &host, automatic).await?;

    let model = upstream.model.as_str();
    let line = CommandLine::run(Some(&host), model, prompt);
    let shows = "The gateway accepted the request because the device's key signed it.";
    steps.command(Step { name: "run-with-device", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;

    let key = create_key(steps, model).await?;
    let with = |key: &SecretString, shown| CommandLine::run(Some(&host), model, prompt).with_key(key.clone(), shown);
    let line = with(&key, "$KEY");
    let shows = "The same with the API key, as scripts and libraries use it.";
    steps.command(Step { name: "run-with-key", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;

    let wrong = SecretString::from(ApiKey::generate()?.expose());
    let line = with(&wrong, "olauth_…");
    let shows = "Exit code 4: the gateway refuses an unknown key.";
    steps.command(Step { name: "run-with-wrong-key", line, wanted: Exit::SignIn, shows }, Outcome::Shown).await?;

    let line = CommandLine::new(["keys", "revoke", KEY, "--yes"]);
    let shows = "The key is revoked: it no longer works.";
    steps.command(Step { name: "revoke-key", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;

    let line = with(&key, "$KEY");
    let shows = "Exit code 4: the revoked key is refused, and a script can tell.";
    steps.command(Step { name: "run-with-revoked-key", line, wanted: Exit::SignIn, shows }, Outcome::Shown).await?;

    let line = CommandLine::new(["signout"]);
    let shows = "The device is signed out: the gateway removed it, and its key is deleted here.";
    steps.command(Step { name: "sign-out", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;
    Ok(())
}

async fn serve(app: &App, steps: &mut Steps<'_>, upstream: &Upstream) -> anyhow::Result<QuickstartGateway> {
    let folder = steps.folder();
    let line =
        CommandLine::new(["gateway", "serve", "--listen", "127.0.0.1:0", "--upstream", &upstream.url.to_string()]);
    let gateway = steps.perform("gateway", line.shown(), QuickstartGateway::start(app, &upstream.url, folder)).await?;
    app.printer.note(&format!("Gateway listening at {}, upstream {}", gateway.url(), upstream.url));
    steps.conclude("A gateway is in front of the model: it requires a credential.");
    Ok(gateway)
}

async fn add_account(
    app: &App,
    steps: &mut Steps<'_>,
    gateway: &QuickstartGateway,
    automatic: bool,
) -> anyhow::Result<()> {
    let password =
        readable_password().map_err(|error| Problem::new(Exit::Failed, format!("cannot get random bytes: {error}")))?;
    let line = CommandLine::new(["gateway", "user", "add", NAME, "--role", "admin"]);
    steps.perform("account", line.shown(), gateway.add_admin(app, NAME, password.clone())).await?;
    steps.conclude(&format!("Added the account {NAME}. Devices and keys belong to an account."));
    if !automatic {
        // Shown even when quiet: the person cannot continue without it.
        let password = password.expose_secret();
        app.printer.report(&format!(
            "\nSign in on the approval page with this account, then press Approve:\n\n  Name         {NAME}\n  Password     {password}\n\nNo page? Press Ctrl-C, then approve without a browser: ollama-auth quickstart --yes"
        ));
    }
    Ok(())
}

async fn sign_in(
    steps: &mut Steps<'_>,
    gateway: &QuickstartGateway,
    host: &str,
    automatic: bool,
) -> anyhow::Result<()> {
    let mut line = vec!["signin", "--host", host];
    line.extend(automatic.then_some("--no-browser"));
    let line = CommandLine::new(line);
    let shows = "The device is signed in: its key belongs to the account.";
    let step = Step { name: "sign-in", line, wanted: Exit::Done, shows };
    if !automatic {
        steps.command(step, Outcome::Shown).await?;
        return Ok(());
    }
    let mut approved = None;
    let profiles = steps.profiles();
    let ours = |key: &PublicKey| {
        let known = profiles.load().unwrap_or_default();
        known.profiles.values().any(|profile| profile.device.as_ref().is_some_and(|device| device.public_key == *key))
    };
    // The sign-in waits meanwhile, so that its first poll finds the device approved.
    let approve = async |device| {
        approved = Some(gateway.approve(device, NAME).await?);
        Ok(())
    };
    steps.command_until(step, Outcome::Shown, gateway.pending_device(ours), approve).await?;
    let Some(fingerprint) = approved else {
        return Err(Problem::new(Exit::Failed, "the device was signed in without an approval").into());
    };
    let line = CommandLine::new(["gateway", "approve", &fingerprint, "--user", NAME]);
    steps.record_done("approve", line.shown());
    steps.conclude(&format!("Approved without a browser: `{}`", line.shown()));
    Ok(())
}

/// Creates an API key with the least rights that it needs.
async fn create_key(steps: &mut Steps<'_>, model: &str) -> anyhow::Result<SecretString> {
    let words = ["keys", "create", KEY, "--scope", "inference,models:read", "--model", model, "--expires", "1h"];
    let line = CommandLine::new(words).assigned_to("KEY");
    let shows = "An API key for scripts: it can run this model for one hour. Only $KEY holds it.";
    let step = Step { name: "create-key", line, wanted: Exit::Done, shows };
    Ok(steps.command(step, Outcome::Secret).await?.secret())
}

/// The commands that do the same for real, in order, with remarks. They do not depend on `OLLAMA_HOST`.
fn commands_to_repeat(upstream: &Upstream, prompt: &str) -> Vec<(String, &'static str)> {
    let model = if upstream.is_demo { "MODEL" } else { upstream.model.as_str() };
    let mut serve = vec!["gateway".to_owned(), "serve".to_owned()];
    if !upstream.is_demo && upstream.url != BaseUrl::local() {
        serve.extend(["--upstream".to_owned(), upstream.url.to_string()]);
    }
    let key = |line: CommandLine| line.with_key(SecretString::default(), "$KEY");
    [
        (CommandLine::new(serve), "in another terminal"),
        (CommandLine::new(["gateway", "user", "add", NAME, "--role", "admin"]), "asks for a password"),
        (CommandLine::new(["signin", "--host", DEFAULT_GATEWAY]), "opens the page for the approval"),
        (CommandLine::run(Some(DEFAULT_GATEWAY), model, prompt), ""),
        (
            CommandLine::new(["keys", "create", KEY, "--scope", "inference,models:read", "--model", model])
                .assigned_to("KEY"),
            "",
        ),
        (key(CommandLine::run(Some(DEFAULT_GATEWAY), model, prompt)), ""),
        (CommandLine::new(["keys", "revoke", KEY, "--yes"]), ""),
        (CommandLine::new(["signout"]), ""),
    ]
    .into_iter()
    .map(|(line, remark)| (line.shown(), remark))
    .collect()
}

fn print_how_to_repeat(printer: &Printer, upstream: &Upstream, repeat: &[(String, &'static str)]) {
    if printer.is_quiet() || printer.is_json() {
        return;
    }
    let before = if upstream.is_demo {
        "To do the same with a real model, install Ollama (https://ollama.com/download), pull a MODEL, and run:"
    } else {
        "To do the same for real, run:"
    };
    let lines: Vec<String> = repeat
        .iter()
        .map(|(command, remark)| match *remark {
            "" => format!("  {command}"),
            remark => format!("  {command:<48}  # {remark}"),
        })
        .collect();
    printer.report(&format!("\n{before}\n\n{}", lines.join("\n")));
}

/// How often the removal of the folder is tried: the database may still be writing at first.
const REMOVAL_TRIES: u32 = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(10);

/// A folder (0700) that is deleted with its content when this is dropped.
struct TemporaryFolder(TempDir);

impl TemporaryFolder {
    fn new() -> Result<Self, Problem> {
        let mut builder = Builder::new();
        builder.prefix("ollama-auth-quickstart-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        let made = builder.tempdir().map_err(|error| {
            Problem::new(Exit::Failed, format!("cannot create a temporary folder: {error}"))
                .hint("Set TMPDIR to a folder that you can write to.")
        })?;
        Ok(Self(made))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        for _ in 0..REMOVAL_TRIES {
            match std::fs::remove_dir_all(self.0.path()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => std::thread::sleep(REMOVAL_PAUSE),
                _ => return,
            }
        }
    }
}
