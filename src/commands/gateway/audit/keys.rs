//! The keys that checkpoints are signed with: where they are, `gateway audit key`, and who signs in `serve`.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::app::App;
use crate::cli::{AuditKeyArgs, DatabaseArgs, ServeArgs};
use crate::commands::gateway::{config, database};
use crate::exit::{Exit, Problem};
use crate::gateway::audit::{KeyFileError, Signer, create_key, read_keys};
use crate::gateway::{Config, DatabaseLocation, MakeCheckpoint, Store};
use crate::transparency_log::VerifierKey;

/// What the key beside an SQLite database is called, after the database's name.
const BESIDE: &str = ".audit-key";

/// The file with the keys; `None` on PostgreSQL, where it must be named.
pub fn key_file(config: &Config, location: &DatabaseLocation) -> Option<PathBuf> {
    match (&config.audit_key_file, location) {
        (Some(path), _) => Some(path.clone()),
        (None, DatabaseLocation::File(path)) => {
            let mut name = path.as_os_str().to_owned();
            name.push(BESIDE);
            Some(PathBuf::from(name))
        }
        (None, DatabaseLocation::Postgres(_)) => None,
    }
}

/// The signer of a database's event log. The key beside an SQLite database is created when it is missing. `None` where nothing is signed.
///
/// # Errors
/// [`KeyFileError`].
pub async fn signer(app: &App, config: &Config, location: &DatabaseLocation) -> anyhow::Result<Option<Signer>> {
    let Some(path) = key_file(config, location) else { return Ok(None) };
    let signer = Signer::new(path.clone(), app.paths.data.join("gateway"), config.audit_checkpoint_file.clone());
    match read_keys(&path) {
        Ok(_) => {}
        Err(KeyFileError::Missing(_)) if config.audit_key_file.is_none() => {
            create_key(&path, &origin(location).await?)?;
        }
        // It serves and records all the same, and the file may be put right while it runs.
        Err(error) => tracing::warn!(%error, "checkpoints of the event log are not signed"),
    }
    Ok(Some(signer))
}

/// Signs a checkpoint for an administrator.
pub fn make_checkpoint(signer: Arc<Signer>, store: Arc<dyn Store>) -> MakeCheckpoint {
    Box::new(move |now| {
        let (signer, store) = (signer.clone(), store.clone());
        Box::pin(async move { signer.sign(&*store, now, true).await.map(drop).map_err(|error| error.to_string()) })
    })
}

/// The origin of the log that grows.
pub async fn origin(location: &DatabaseLocation) -> anyhow::Result<String> {
    let log = location.audit().await?.logs().await?.pop();
    Ok(log.ok_or_else(|| Problem::new(Exit::Failed, "the database holds no event log"))?.origin)
}

/// The verifier keys of this machine.
///
/// # Errors
/// A key file that is missing or cannot be read.
pub fn verifiers(app: &App, args: &DatabaseArgs) -> anyhow::Result<Vec<VerifierKey>> {
    let (config, location) = loaded(app, args)?;
    let keys = read_keys(&named_key_file(&config, &location)?).map_err(explain)?;
    Ok(keys.iter().map(|key| key.verifier().clone()).collect())
}

/// The file with the keys of this machine.
///
/// # Errors
/// None is named.
pub fn named_key_file(config: &Config, location: &DatabaseLocation) -> Result<PathBuf, Problem> {
    key_file(config, location).ok_or_else(|| {
        Problem::new(Exit::Usage, "audit-key-file is not set, which names the key of the checkpoints")
            .hint("give the verifier key with --key, or name the configuration file with --config")
    })
}

/// Why the keys cannot be read, and what to do.
pub fn explain(error: KeyFileError) -> Problem {
    let hint =
        "a gateway on an SQLite database makes the file when it starts; to verify elsewhere, give the key with --key";
    let problem = Problem::new(Exit::Failed, error.to_string());
    match error {
        KeyFileError::Missing(_) => problem.hint(hint),
        KeyFileError::Disk(error) => error.hint().into_iter().fold(problem, Problem::hint),
        KeyFileError::Content { .. } => problem,
    }
}

/// The configuration, and where the database is.
///
/// # Errors
/// What cannot be read.
pub fn loaded(app: &App, args: &DatabaseArgs) -> anyhow::Result<(Config, DatabaseLocation)> {
    let config = config::load(app, &ServeArgs { database: args.clone(), ..ServeArgs::default() })?;
    let location = database::located(app, config.database.clone(), config.database_password_file.clone())?;
    Ok((config, location))
}

/// `gateway audit key`.
///
/// # Errors
/// A file that cannot be read or made.
pub async fn run(app: &App, args: &AuditKeyArgs) -> anyhow::Result<Exit> {
    let keys: Vec<VerifierKey> = match &args.create {
        Some(path) => {
            let (_, location) = loaded(app, &args.database)?;
            if !create_key(path, &origin(&location).await?)? {
                return Err(Problem::new(Exit::Failed, format!("{} already exists", path.display()))
                    .hint("give the name of a new file: a key is never replaced")
                    .into());
            }
            read_keys(path)?.iter().map(|key| key.verifier().clone()).collect()
        }
        None => verifiers(app, &args.database)?,
    };
    print(app, &keys)?;
    Ok(Exit::Done)
}

/// Prints verifier keys.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(app: &App, keys: &[VerifierKey]) -> anyhow::Result<()> {
    let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
    if app.printer.is_json() {
        return Ok(app.printer.json(&json!({ "keys": texts }))?);
    }
    texts.iter().try_for_each(|text| app.printer.data(text))?;
    Ok(())
}
