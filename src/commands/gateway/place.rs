//! Where a gateway's accounts are, and who is asked about them: the gateway that has the database open, or the database itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::settings;
use crate::app::App;
use crate::cli::DatabaseArgs;
use crate::exit::{Exit, Problem};
use crate::gateway::admin::{AskError, ask, perform};
use crate::gateway::{AdminContext, AdminError, AdminReply, AdminRequest, Directory, SqliteStore, StoreError};

/// How long a gateway that is starting or ending, or another command, is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(30);

/// The database file: what the flag says, else what is `configured`, else one in this account's data folder.
///
/// # Errors
/// Exit 2 for what is no path of a file. An address is not repeated: it may hold a password.
pub fn database(app: &App, args: &DatabaseArgs, configured: Option<&str>) -> anyhow::Result<PathBuf> {
    let Some(text) = args.database.as_deref().or(configured) else {
        return Ok(app.paths.data.join("gateway").join("gateway.db"));
    };
    path(text).map_err(|(message, hint)| Problem::new(Exit::Usage, message).hint(hint).into())
}

/// The database file as the flag, the environment or the configuration file has it.
///
/// # Errors
/// As for [`database`], and for a configuration that cannot be read.
pub fn configured(app: &App, args: &DatabaseArgs) -> anyhow::Result<PathBuf> {
    database(app, args, settings::database(app, args)?.as_deref())
}

fn path(text: &str) -> Result<PathBuf, (&'static str, &'static str)> {
    const FORM: &str = "write it as sqlite:/folder/gateway.db, or as a path";
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let path = match scheme.as_deref() {
        Some("postgres" | "postgresql") => {
            return Err(("PostgreSQL comes later: this version keeps accounts in SQLite", FORM));
        }
        Some("sqlite") => {
            let rest = &text["sqlite:".len()..];
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.contains(['?', '#']) || path.starts_with(':') {
                return Err(("the database has options, and it takes none", FORM));
            }
            path
        }
        _ if text.contains("://") => return Err(("that kind of database is not known", FORM)),
        _ => text,
    };
    if path.is_empty() || path.contains('\0') { Err(("no database is named", FORM)) } else { Ok(PathBuf::from(path)) }
}

/// Has a request performed, by the running gateway if there is one.
///
/// # Errors
/// What the gateway or the database says; exit 3 when there is no database yet and the request does not begin one.
pub async fn admin(app: &App, args: &DatabaseArgs, request: AdminRequest) -> anyhow::Result<AdminReply> {
    let path = configured(app, args)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match ask(&path, &request).await {
            Ok(answer) => return Ok(answer?),
            Err(AskError::NotRunning) => {}
            #[cfg(unix)]
            Err(error) => return Err(error.into()),
        }
        if !matches!(request, AdminRequest::AddUser { .. }) && !exists(&path)? {
            return Err(no_database(&path).into());
        }
        match SqliteStore::open_within(&path, Duration::ZERO).await {
            // It may be a gateway that is about to listen, or to end.
            Err(StoreError::Busy { .. }) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
            Ok(_) if matches!(request, AdminRequest::Approve { .. }) => return Err(AdminError::NotRunning.into()),
            Ok(store) => {
                let store = Arc::new(store);
                let directory = Directory::open(store.clone()).await?;
                let performed = perform(&AdminContext::offline(&directory, (app.now)()), request).await;
                if let Err(error) = store.settle().await {
                    tracing::warn!("the database stays in several files: {error}");
                }
                return Ok(performed?);
            }
        }
    }
}

fn exists(path: &Path) -> anyhow::Result<bool> {
    // A link that leads nowhere is there, and is refused when it is opened.
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("the database {} cannot be reached", path.display())),
    }
}

fn no_database(path: &Path) -> Problem {
    Problem::new(Exit::NotFound, format!("there is no database {} yet", path.display()))
        .hint("begin one with `ollama-auth gateway serve` or `gateway user add NAME --role admin`, or name another with --database")
}

/// What to say of an answer to another question.
pub fn odd_answer() -> Problem {
    Problem::new(Exit::Failed, "the running gateway answered something else than was asked")
        .hint("it may be of another version than this command: restart it after an update")
}

/// Unix seconds as people and scripts read a time: `2025-01-31T12:00:00Z`.
pub fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_path_in_one_of_three_forms() {
        let cases = [
            ("sqlite:/a/b.db", "/a/b.db"),
            ("sqlite:///a/b.db", "/a/b.db"),
            ("sqlite://b.db", "b.db"),
            ("SQLite:b.db", "b.db"),
            ("/a/b?.db", "/a/b?.db"),
            ("b:c.db", "b:c.db"),
        ];
        for (text, expected) in cases {
            assert_eq!(path(text), Ok(PathBuf::from(expected)), "{text}");
        }
        for text in ["postgres://me:secret@h/db", "postgresql:x", "POSTGRES://x"] {
            assert!(path(text).unwrap_err().0.contains("PostgreSQL comes later"), "{text}");
        }
        for text in ["", "sqlite:", "sqlite://", "sqlite::memory:", "sqlite:a?mode=ro", "mysql://h/db", "a\0b"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
