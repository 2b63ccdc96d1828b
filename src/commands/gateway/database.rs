//! Where the gateway's database is, and opening it; and the secret that gateways on one database share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::config;
use crate::app::App;
use crate::cli::DatabaseArgs;
use crate::disk::{DiskError, Exposure, read_input, shell_quoted};
use crate::exit::{Exit, Problem};
use crate::gateway::{Config, DatabaseLocation, PostgresAddress, Secret, Store, StoreError};

/// How long `serve` waits for a PostgreSQL server that cannot be reached: machines may start together.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The configured database, else `gateway/gateway.db` in this account's data folder. With the password of that file, if one is named.
///
/// # Errors
/// A password file that cannot be read or that others can.
pub fn located(
    app: &App,
    configured: Option<DatabaseLocation>,
    password_file: Option<PathBuf>,
) -> anyhow::Result<DatabaseLocation> {
    let usual = || DatabaseLocation::File(app.paths.data.join("gateway").join("gateway.db"));
    let location = configured.unwrap_or_else(usual);
    match password_file {
        Some(path) => Ok(location.with_password(read_password("database-password-file", &path)?)),
        None => Ok(location),
    }
}

/// The database that the flag, the environment or the configuration file names.
///
/// # Errors
/// A configuration that cannot be read, and everything of [`located`].
pub fn configured(app: &App, args: &DatabaseArgs) -> anyhow::Result<DatabaseLocation> {
    let (location, password_file) = config::load_database(app, args)?;
    located(app, location, password_file)
}

/// The folder for the admin sockets of this account's gateways on that database.
///
/// # Errors
/// An address that cannot be used.
pub fn socket_folder(app: &App, address: &PostgresAddress) -> anyhow::Result<PathBuf> {
    Ok(app.paths.data.join("gateway").join(format!("pg-{}", address.fingerprint()?)))
}

/// The secret of the file that is named. Without one a new secret, unless other gateways may use the database.
///
/// # Errors
/// A file that cannot be read, that others can read, or that is too short; none where one is needed.
pub fn secret(config: &Config, location: &DatabaseLocation) -> anyhow::Result<Secret> {
    let Some(path) = &config.secret_file else {
        if matches!(location, DatabaseLocation::Postgres(_)) {
            return Err(Problem::new(
                Exit::Usage,
                "secret-file is missing, which gateways on a PostgreSQL database need",
            )
            .hint("create a file, and give it to all of them: (umask 077; head -c 32 /dev/urandom | base64 > secret)")
            .into());
        }
        return Secret::random()
            .map_err(|error| Problem::new(Exit::Failed, format!("the system gives no random bytes: {error}")).into());
    };
    let content = read_secret("secret-file", path)?;
    Secret::of_file(&content).ok_or_else(|| {
        Problem::new(Exit::Usage, format!("secret-file: {} holds less than 32 bytes", path.display()))
            .hint(format!("write a new one: head -c 32 /dev/urandom | base64 > {}", shell_quoted(path)))
            .into()
    })
}

/// The first line of the file that a setting or an option names.
///
/// # Errors
/// A file that cannot be read, that others can read, or that is empty.
pub fn read_password(setting: &str, path: &Path) -> anyhow::Result<SecretString> {
    let content = read_secret(setting, path)?;
    let text = std::str::from_utf8(&content).ok();
    let line = text.and_then(|text| text.lines().next()).filter(|line| !line.is_empty());
    let line = line.ok_or_else(|| {
        let place = path.display();
        Problem::new(Exit::Usage, format!("{setting}: the first line of {place} is not a password"))
    })?;
    Ok(SecretString::from(line))
}

/// What is in the file that a setting names.
fn read_secret(setting: &str, path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let problem = |text: String| Problem::new(Exit::Usage, format!("{setting}: {text}"));
    match read_input(path, Exposure::Group) {
        Ok(Some(bytes)) => Ok(Zeroizing::new(bytes)),
        Ok(None) => Err(problem(format!("there is no file {}", path.display())).into()),
        Err(error @ DiskError::Io { .. }) => Err(error.into()),
        Err(error) => {
            let refused = problem(error.to_string());
            Err(match error.hint() {
                Some(hint) => refused.hint(hint).into(),
                None => refused.into(),
            })
        }
    }
}

/// Opens it for `serve`: waits for a server that cannot be reached, and says so.
///
/// # Errors
/// [`StoreError`].
pub async fn open_when_reachable(app: &App, location: &DatabaseLocation) -> Result<Arc<dyn Store>, StoreError> {
    let end = Instant::now() + START_TIMEOUT;
    let mut has_told = false;
    loop {
        match location.open().await {
            Err(error @ StoreError::Unreachable { .. }) if Instant::now() < end => {
                if !has_told {
                    app.printer.warn(&format!("{error}; trying again for {} s", START_TIMEOUT.as_secs()));
                    has_told = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            opened => return opened,
        }
    }
}
