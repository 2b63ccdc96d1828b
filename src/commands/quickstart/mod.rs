//! `quickstart`: the whole flow on this machine, by the real commands, and nothing is left of it.
//!
//! The gateway, the device and its key live in a private temporary folder; nothing of the person's own is read or written.

mod folder;
mod line;
mod model;
mod password;
mod stage;
mod tour;

use std::time::Instant;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use self::folder::Folder;
use self::line::Line;
use self::model::Upstream;
use self::stage::Stage;
use self::tour::{Outcome, Step, Tour};
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
/// Where `gateway serve` listens when nothing is said.
const USUAL: &str = "http://127.0.0.1:11435";

/// Runs it.
pub async fn run(app: &App, args: QuickstartArgs) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let prompt = args.prompt.join(" ");
    let prompt = if prompt.trim().is_empty() { PROMPT } else { prompt.as_str() };
    let folder = Folder::new()?;
    let upstream = model::choose(app).await?;
    app.printer.note("The whole flow on this machine, in a temporary folder: nothing of yours is read or changed.");
    app.printer.note(&upstream.said);
    let mut tour = Tour::new(app, folder.path());
    let done = show(app, &mut tour, &upstream, prompt, by_itself(app, &args)).await;
    let repeat = commands_to_repeat(&upstream, prompt);
    if app.printer.is_json() {
        app.printer.json(&json!({
            "ok": done.is_ok(),
            "upstream": {
                "kind": if upstream.is_demo { "demonstration" } else { "ollama" },
                "url": upstream.url.to_string(),
                "model": upstream.model,
            },
            "steps": tour.records(),
            "repeat": repeat.iter().map(|(command, _)| command).collect::<Vec<_>>(),
        }))?;
    }
    let steps = tour.records().len();
    done?;
    drop(folder);
    app.printer.note("");
    let seconds = began.elapsed().as_secs_f64();
    app.printer
        .success(&format!("All {steps} steps did what they should, in {seconds:.1} s. Nothing is left of them."));
    tell_how_to_repeat(&app.printer, &upstream, &repeat);
    Ok(Exit::Done)
}

/// Whether the device is approved without a person: on demand, and where nobody could press the button.
fn by_itself(app: &App, args: &QuickstartArgs) -> bool {
    args.yes || app.printer.is_json() || !app.printer.is_interactive() || !app.env.can_show_pages
}

async fn show(
    app: &App,
    tour: &mut Tour<'_>,
    upstream: &Upstream,
    prompt: &str,
    by_itself: bool,
) -> anyhow::Result<()> {
    let stage = serve(app, tour, upstream).await?;
    let host = stage.url();
    add_account(app, tour, &stage, by_itself).await?;
    sign_in(tour, &stage, &host, by_itself).await?;

    let model = upstream.model.as_str();
    let line = Line::run(Some(&host), model, prompt);
    let shows = "The device's key signed the request, so the gateway let it through.";
    tour.command(Step { name: "run-with-device", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;

    let key = create_key(tour, model).await?;
    let with = |key: &SecretString, shown| Line::run(Some(&host), model, prompt).with_key(key.clone(), shown);
    let line = with(&key, "$KEY");
    let shows = "The same with the API key, as a script or a library does it.";
    tour.command(Step { name: "run-with-key", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;

    let wrong = SecretString::from(ApiKey::generate()?.expose());
    let line = with(&wrong, "olauth_…");
    let shows = "Exit code 4: a key that this gateway never made is refused.";
    tour.command(Step { name: "run-with-wrong-key", line, wanted: Exit::SignIn, shows }, Outcome::Shown).await?;

    let line = Line::new(["keys", "revoke", KEY, "--yes"]);
    let shows = "From now on the key is worth nothing.";
    tour.command(Step { name: "revoke-key", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;

    let line = with(&key, "$KEY");
    let shows = "Exit code 4: so a script notices.";
    tour.command(Step { name: "run-with-revoked-key", line, wanted: Exit::SignIn, shows }, Outcome::Shown).await?;

    let line = Line::new(["signout"]);
    let shows = "The gateway has forgotten the device, and the device its key.";
    tour.command(Step { name: "sign-out", line, wanted: Exit::Done, shows }, Outcome::Shown).await?;
    Ok(())
}

async fn serve(app: &App, tour: &mut Tour<'_>, upstream: &Upstream) -> anyhow::Result<Stage> {
    let folder = tour.folder();
    let line = Line::new(["gateway", "serve", "--listen", "127.0.0.1:0", "--upstream", &upstream.url.to_string()]);
    let stage = tour.own("gateway", line.shown(), Stage::open(app, &upstream.url, folder)).await?;
    app.printer.note(&format!("Gateway at {}, for {}", stage.url(), upstream.url));
    tour.showed("A gateway stands in front of the model: nobody gets past it without a credential.");
    Ok(stage)
}

async fn add_account(app: &App, tour: &mut Tour<'_>, stage: &Stage, by_itself: bool) -> anyhow::Result<()> {
    let password =
        password::readable().map_err(|error| Problem::new(Exit::Failed, format!("no random bytes: {error}")))?;
    let line = Line::new(["gateway", "user", "add", NAME, "--role", "admin"]);
    tour.own("account", line.shown(), stage.add_admin(app, NAME, password.clone())).await?;
    tour.showed(&format!("An account that devices and keys can belong to: {NAME}."));
    if !by_itself {
        // Shown even when quiet: without it nobody could go on.
        let password = password.expose_secret();
        app.printer.report(&format!(
            "\nSign in on the approval page with this account, then press Approve:\n\n  Name         {NAME}\n  Password     {password}\n\nNo page? Press Ctrl-C, then approve without a browser: ollama-auth quickstart --yes"
        ));
    }
    Ok(())
}

async fn sign_in(tour: &mut Tour<'_>, stage: &Stage, host: &str, by_itself: bool) -> anyhow::Result<()> {
    let mut line = vec!["signin", "--host", host];
    line.extend(by_itself.then_some("--no-browser"));
    let line = Line::new(line);
    let shows = "This device has a key of its own, and the gateway knows whose it is.";
    let step = Step { name: "sign-in", line, wanted: Exit::Done, shows };
    if !by_itself {
        tour.command(step, Outcome::Shown).await?;
        return Ok(());
    }
    let mut approved = None;
    let profiles = tour.profiles();
    let ours = |key: &PublicKey| {
        let known = profiles.load().unwrap_or_default();
        known.profiles.values().any(|profile| profile.device.as_ref().is_some_and(|device| device.public_key == *key))
    };
    // While the device is held up, so that its first question after the link finds it approved.
    let approve = async |device| {
        approved = Some(stage.approve(device, NAME).await?);
        Ok(())
    };
    tour.command_until(step, Outcome::Shown, stage.pending_device(ours), approve).await?;
    let Some(fingerprint) = approved else {
        return Err(Problem::new(Exit::Failed, "the device was signed in, but nobody approved it").into());
    };
    let line = Line::new(["gateway", "approve", &fingerprint, "--user", NAME]);
    tour.done("approve", line.shown());
    tour.showed(&format!("Nobody had to press Approve on that page: `{}` does the same.", line.shown()));
    Ok(())
}

/// Makes an API key that may do no more than is needed.
async fn create_key(tour: &mut Tour<'_>, model: &str) -> anyhow::Result<SecretString> {
    let words = ["keys", "create", KEY, "--scope", "inference,models:read", "--model", model, "--expires", "1h"];
    let line = Line::new(words).kept_in("KEY");
    let shows = "A key for a script: it may run this one model, for an hour. It is in $KEY and nowhere else.";
    let step = Step { name: "create-key", line, wanted: Exit::Done, shows };
    Ok(tour.command(step, Outcome::Secret).await?.secret())
}

/// The same for real, in order, whatever `OLLAMA_HOST` says: commands, and what is to be said of them.
fn commands_to_repeat(upstream: &Upstream, prompt: &str) -> Vec<(String, &'static str)> {
    let model = if upstream.is_demo { "MODEL" } else { upstream.model.as_str() };
    let mut serve = vec!["gateway".to_owned(), "serve".to_owned()];
    if !upstream.is_demo && upstream.url != BaseUrl::local() {
        serve.extend(["--upstream".to_owned(), upstream.url.to_string()]);
    }
    let key = |line: Line| line.with_key(SecretString::default(), "$KEY");
    [
        (Line::new(serve), "in a terminal of its own"),
        (Line::new(["gateway", "user", "add", NAME, "--role", "admin"]), "asks for a password"),
        (Line::new(["signin", "--host", USUAL]), "opens the page to approve on"),
        (Line::run(Some(USUAL), model, prompt), ""),
        (Line::new(["keys", "create", KEY, "--scope", "inference,models:read", "--model", model]).kept_in("KEY"), ""),
        (key(Line::run(Some(USUAL), model, prompt)), ""),
        (Line::new(["keys", "revoke", KEY, "--yes"]), ""),
        (Line::new(["signout"]), ""),
    ]
    .into_iter()
    .map(|(line, remark)| (line.shown(), remark))
    .collect()
}

fn tell_how_to_repeat(printer: &Printer, upstream: &Upstream, repeat: &[(String, &'static str)]) {
    if printer.is_quiet() || printer.is_json() {
        return;
    }
    let before = if upstream.is_demo {
        "The same for real, once an Ollama runs here and has a MODEL (https://ollama.com/download):"
    } else {
        "The same for real:"
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
