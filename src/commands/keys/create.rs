//! `keys create`. The key exists once the host has answered, and is shown once. If anything fails after that, the key is revoked, or the
//! error says that it is still valid.

use secrecy::SecretString;
use serde::Serialize;

use super::list::{date, until};
use super::{
    SETTINGS, explain, how_to_revoke, import, is_not_offered, managing_session, prove_account_host, revoke_command,
};
use crate::api::{ApiError, Conflict, CreatedKey, ForbiddenReason, KeyEntry, NewKey, Revocation, Session};
use crate::app::App;
use crate::cli::{KeysCreate, KeysImport};
use crate::commands::api_key::{KeyMetadata, store_api_key};
use crate::commands::context::Context;
use crate::commands::store::choose_store;
use crate::exit::{Exit, Problem};
use crate::keyspec::{AddressList, KeyId, Lifetime, RequestLimits, Scope};
use crate::profile::Audience;
use crate::vault::StoreKind;

/// What `keys create --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    profile: &'a str,
    /// The key itself, unless it was put in the store.
    key: Option<&'a str>,
    /// The store that it was put in.
    store: Option<StoreKind>,
    #[serde(flatten)]
    entry: &'a KeyEntry,
}

/// Runs it.
pub async fn run(app: &App, args: KeysCreate) -> anyhow::Result<Exit> {
    let mut new = requested_key(&args)?;
    if !args.save && app.printer.discards_stdout() {
        let message = "standard output is closed or /dev/null, and the key is shown only once";
        return Err(Problem::new(Exit::Usage, message).hint("store it with --save").into());
    }
    let context = if args.from_oidc {
        // The job's token is for the host that `OLLAMA_HOST` names.
        Context::resolve(app, Audience::Model { cloud: false })?.with_token(app)?
    } else {
        Context::resolve(app, Audience::Account)?
    };
    let store = match args.save {
        true => Some(choose_store(app, context.profile.as_ref()).await?),
        false => None,
    };
    let session = managing_session(app, &context).await?;
    if session.is_of_device() {
        new.expires_in = new.expires_in.or(Some(Lifetime::DEFAULT));
    }
    let host = context.url();
    let proof = prove_account_host(&session).await?;
    if let (true, Some(old)) = (args.save, context.profile.as_ref().and_then(|profile| profile.api_key.as_ref())) {
        let which = old.describe();
        app.printer.warn(&format!("the new key replaces the stored API key {which}, which stays valid at {host}"));
    }
    // Printed before the key can exist, so that its id is known if this run is interrupted.
    if app.printer.is_json() {
        app.printer.event("asking", &serde_json::json!({ "host": host.to_string(), "id": new.id.as_str() }));
    } else {
        app.printer.note(&format!("Creating the key {} at {host}", new.id));
    }
    let created = match session.create_key(proof, &new).await {
        Ok(created) => created,
        Err(error) if is_not_offered(&error) => {
            return import_instead(app, &context, &args, explain(error, host)).await;
        }
        Err(error) => return Err(creation_failed(&session, &new.id, args.from_oidc, error).await),
    };
    let report = Report {
        host: host.to_string(),
        profile: &context.target.profile,
        key: store.is_none().then(|| created.key.expose()),
        store,
        entry: &created.entry,
    };
    match store {
        Some(store) => save(app, &context, &session, store, &created, &new).await?,
        None => print_key(app, &session, &report, &created, &new.id).await?,
    }
    print_summary(app, &new, &report);
    if store.is_some() && app.printer.is_json() {
        app.printer.json(&report)?;
    }
    Ok(Exit::Done)
}

fn requested_key(args: &KeysCreate) -> anyhow::Result<NewKey> {
    let name = args.name.trim();
    let problem = |message: &str, hint: &str| Err(Problem::new(Exit::Usage, message).hint(hint).into());
    if name.is_empty() || name.contains(char::is_control) {
        return problem(
            "the name of a key is one line and not empty",
            "name it after what uses it, such as nightly-report",
        );
    }
    if name.parse::<KeyId>().is_ok() {
        return problem("this name has the form of a key id", "choose a name that does not look like key_…");
    }
    let limits = RequestLimits::of(&args.limits);
    let limits = limits.map_err(|error| Problem::new(Exit::Usage, format!("--limit {error}")))?;
    let from = AddressList::new(args.from.iter().copied());
    let from = from.map_err(|error| Problem::new(Exit::Usage, format!("--from: {error}")))?;
    let usual = [Scope::Inference, Scope::ModelsRead];
    let scopes = if args.scopes.is_empty() { &usual[..] } else { &args.scopes };
    Ok(NewKey {
        id: KeyId::generate()?,
        name: name.to_owned(),
        environment: args.environment.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned),
        scopes: scopes.iter().copied().collect(),
        models: args.models.iter().cloned().collect(),
        limits,
        from,
        expires_in: args.expires,
        // A key for a few minutes that could replace itself would be one for good.
        replaceable: !args.no_replace && !args.from_oidc,
    })
}

/// No usable answer came. If the key may exist, it is revoked, since its secret is lost.
async fn creation_failed(session: &Session<'_>, id: &KeyId, from_token: bool, error: ApiError) -> anyhow::Error {
    let host = session.base();
    if error.leaves_doubt() {
        let problem = Problem::from_error(&error.into());
        return revoke_again(session, id, problem).await.into();
    }
    let problem = match error {
        ApiError::Forbidden { reason: ForbiddenReason::Other, missing: None, .. } => {
            let hint = "a key cannot have more rights than the credential that creates it: narrow it with --scope, --model, --limit, --from and --expires";
            Problem::from_error(&error.into()).hint(hint)
        }
        ApiError::Status { status: 400 | 413 | 422, message, .. } => {
            Problem::new(Exit::Usage, format!("{host} rejected the key: {message}"))
        }
        // A moment ago the host accepted this token: here it does not, since it was exchanged before.
        error @ (ApiError::Unauthorized { .. } | ApiError::Conflict { conflict: Conflict::Other, .. })
            if from_token =>
        {
            let hint = "a token makes one key; run the command again where each run gets another token, as in GitHub Actions, or use the first key";
            Problem::from_error(&error.into()).hint(hint)
        }
        ApiError::Conflict { message, .. } => {
            let message = format!("{host} already has a key with the id {id}: {message}");
            Problem::new(Exit::Failed, message).hint("run the command again: it chooses a new id")
        }
        other => return explain(other, host),
    };
    problem.into()
}

/// Prints the key; if that fails, it is revoked.
async fn print_key(
    app: &App,
    session: &Session<'_>,
    report: &Report<'_>,
    created: &CreatedKey,
    id: &KeyId,
) -> anyhow::Result<()> {
    let handed = match app.printer.is_json() {
        true => app.printer.print_secret_json(report),
        false => app.printer.print_secret(created.key.expose()),
    };
    match handed {
        Ok(()) => Ok(()),
        Err(error) => {
            let problem =
                Problem::new(Exit::Failed, format!("the key {id} was created, but could not be printed: {error}"));
            Err(revoke_again(session, id, problem).await.into())
        }
    }
}

/// Stores the key; if that fails, it is revoked.
async fn save(
    app: &App,
    context: &Context,
    session: &Session<'_>,
    store: StoreKind,
    created: &CreatedKey,
    new: &NewKey,
) -> anyhow::Result<()> {
    let id = &new.id;
    let key = SecretString::from(created.key.expose());
    let known = KeyMetadata { id: Some(id), name: Some(&new.name), environment: new.environment.as_deref() };
    let kept = store_api_key(app, context, store, &key, known, |profiles, name| {
        profiles.current.get_or_insert_with(|| name.to_owned());
    });
    let kept = match kept.await {
        Ok(kept) => kept,
        Err(error) => {
            let mut problem = Problem::from_error(&error);
            problem.message = format!("the key {id} was created, but could not be stored: {}", problem.message);
            return Err(revoke_again(session, id, problem).await.into());
        }
    };
    let host = context.url();
    if let Some(old) = kept.replaced {
        let which = old.describe();
        app.printer.warn(&format!("the API key {which} is no longer stored here; it stays valid at {host}"));
        app.printer.hint(&how_to_revoke(&old, host));
    }
    if let Some(error) = kept.left_behind {
        app.printer.warn(&format!("a copy of it is left in the previous store: {error}"));
    }
    Ok(())
}

/// Tries to revoke the key, and adds the result to the problem.
async fn revoke_again(session: &Session<'_>, id: &KeyId, problem: Problem) -> Problem {
    let host = session.base();
    let attempt = async {
        let proof = prove_account_host(session).await?;
        anyhow::Ok(session.revoke_key(proof, id).await?)
    };
    let message = &problem.message;
    match attempt.await {
        Ok(Revocation::Done) => {
            let message = format!("{message}; the key {id} was revoked");
            Problem { message, ..problem }
        }
        Ok(Revocation::Unknown) => {
            let message = format!("{message}; {host} has no key {id}");
            Problem { message, ..problem }
        }
        Err(error) => {
            let why = Problem::from_error(&error).message;
            let message = format!("{message}; the key {id} may still be valid, revoking it failed: {why}");
            Problem { message, ..problem }.hint(format!("revoke it: {}", revoke_command(id, host)))
        }
    }
}

/// What a person should know of the new key, on stderr.
fn print_summary(app: &App, new: &NewKey, report: &Report<'_>) {
    let (printer, entry, now) = (&app.printer, report.entry, (app.now)());
    printer.success(&format!("Created the API key {:?} ({}) at {}", entry.name, entry.id, report.host));
    let models = if entry.models.is_empty() { "all".to_owned() } else { entry.models.join(", ") };
    let end = match entry.expires_at {
        Some(end) => format!("expires {} ({})", date(end), until(Some(end), now)),
        None => "never expires".to_owned(),
    };
    let limits = entry.limits.filter(|limits| !limits.is_none());
    let limits = limits.map(|limits| format!(" at most {};", limits.in_words())).unwrap_or_default();
    let from = match entry.from.as_slice() {
        [] => String::new(),
        networks => format!(" only from {};", networks.join(", ")),
    };
    printer.note(&format!("Scopes: {}; models: {models};{limits}{from} {end}.", entry.scopes.join(", ")));
    match report.store {
        Some(store) => printer.note(&format!("It is stored in the {store} store; this profile now uses it.")),
        None => printer.note("Store it now: it is not shown again."),
    }
    let wanted: Vec<String> = new.scopes.iter().map(|scope| scope.to_string()).collect();
    let patterns: Vec<&str> = new.models.patterns().iter().map(|pattern| pattern.as_str()).collect();
    let as_asked = same_elements(&wanted, &entry.scopes)
        // Without patterns it gets the models that the role allows.
        && (patterns.is_empty() || same_elements(&patterns, &entry.models))
        && (new.expires_in == Some(Lifetime::Never)) == entry.expires_at.is_none()
        // Without networks it gets those of the credential that creates it.
        && (new.from.is_empty() || is_same_list(&new.from, &entry.from))
        && new.limits.or(entry.limits.unwrap_or_default()) == entry.limits.unwrap_or_default();
    if !as_asked {
        printer.warn(&format!("{} created a key with other rights than requested: check them", report.host));
    }
}

/// Whether a host's list is the one that was asked for, in whatever form it writes networks.
fn is_same_list(wanted: &AddressList, given: &[String]) -> bool {
    given.join(",").parse::<AddressList>().is_ok_and(|given| given == *wanted)
}

fn same_elements<A: AsRef<str>, B: AsRef<str>>(left: &[A], right: &[B]) -> bool {
    left.len() == right.len() && left.iter().all(|one| right.iter().any(|other| one.as_ref() == other.as_ref()))
}

/// For a host without an API for keys, such as ollama.com: opens its page and imports the key that the person created there. `error`
/// says why that is necessary.
///
/// # Errors
/// `error` when prompting is impossible, or the person declines.
async fn import_instead(app: &App, context: &Context, args: &KeysCreate, error: anyhow::Error) -> anyhow::Result<Exit> {
    let page = context.url().is_ollama_com().then_some(SETTINGS);
    if args.open
        && let Some(page) = page
    {
        show(app, page);
    }
    // A script that reads the key from standard output would get none and not notice.
    let is_awaited = !args.save && !app.printer.stdout_is_terminal();
    if is_awaited || !app.printer.is_interactive() {
        return Err(error);
    }
    let problem = Problem::from_error(&error);
    app.printer.warn(&problem.message);
    if let Some(page) = page.filter(|_| !args.open)
        && app.ask(move |printer| printer.confirm(&format!("Open {page} in the browser?"), true)).await??
    {
        show(app, page);
    }
    let question = "Do you have a key from there to store here?";
    if !app.ask(|printer| printer.confirm(question, true)).await?? {
        return Err(Problem { message: "no key was created".to_owned(), ..problem }.into());
    }
    let import = KeysImport {
        name: Some(args.name.clone()),
        environment: args.environment.clone(),
        no_verify: false,
        replace: false,
        stray: Vec::new(),
    };
    import::read_and_store(app, context, &import).await
}

fn show(app: &App, page: &str) {
    if !app.env.can_show_pages {
        app.printer.note(&format!("Open {page} in a browser on another machine."));
    } else if let Err(error) = app.open_page(page) {
        app.printer.warn(&format!("could not open a browser ({error}); open {page}"));
    }
}
