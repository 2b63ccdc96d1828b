//! Where the gateway's database is, and opening it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::config;
use crate::app::App;
use crate::cli::DatabaseArgs;
use crate::disk::{DiskError, Exposure, read_input};
use crate::exit::{Exit, Problem};
use crate::gateway::{DatabaseLocation, Store, StoreError};

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
        Some(path) => Ok(location.with_password(read_password(&path)?)),
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

/// The first line of the file.
fn read_password(path: &std::path::Path) -> anyhow::Result<SecretString> {
    let problem = |text: String| Problem::new(Exit::Usage, format!("database-password-file: {text}"));
    let bytes = match read_input(path, Exposure::Group) {
        Ok(Some(bytes)) => secrecy::SecretBox::new(bytes.into()),
        Ok(None) => return Err(problem(format!("there is no file {}", path.display())).into()),
        Err(error @ DiskError::Io { .. }) => return Err(error.into()),
        Err(error) => {
            let refused = problem(error.to_string());
            return Err(match error.hint() {
                Some(hint) => refused.hint(hint).into(),
                None => refused.into(),
            });
        }
    };
    let text = std::str::from_utf8(secrecy::ExposeSecret::<[u8]>::expose_secret(&bytes));
    let line = text.ok().and_then(|text| text.lines().next()).filter(|line| !line.is_empty());
    let line = line.ok_or_else(|| problem(format!("the first line of {} is not a password", path.display())))?;
    Ok(SecretString::from(line))
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
