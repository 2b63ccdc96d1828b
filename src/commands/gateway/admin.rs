//! Administration from the command line: a request goes to the gateway that has the database open, or is performed on the database.
//! `gateway approve`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::offline::perform_on;
use super::outage::{self, Searched};
use super::{config, database};
use crate::app::App;
use crate::cli::{ApproveArgs, DatabaseArgs};
use crate::exit::{Exit, Problem};
use crate::gateway::admin::{AskError, ask};
use crate::gateway::{AdminError, AdminReply, AdminRequest, DatabaseLocation, DeviceRef, SqliteStore, StoreError};
use crate::identity::{ConnectUrl, PublicKey, group_fingerprint, parse_fingerprint};

/// The longest wait for a gateway that is starting or ending, or for another command.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
const RETRY_PAUSE: Duration = Duration::from_millis(30);

/// Sends a request to the running gateway; without one, performs it on the database.
///
/// # Errors
/// What the gateway or the database says; exit 3 when there is no database yet and the request does not create one.
pub async fn request(app: &App, args: &DatabaseArgs, request: AdminRequest) -> anyhow::Result<AdminReply> {
    Ok(exchange(app, args, request).await??)
}

/// Looks for what the person means. `request` lists, and is answered from the memory of this machine's gateways where the database that they
/// share does not answer.
///
/// # Errors
/// As [`self::request`].
pub async fn look_up(app: &App, args: &DatabaseArgs, request: AdminRequest) -> anyhow::Result<(AdminReply, Searched)> {
    match database::configured(app, args)? {
        DatabaseLocation::Postgres(address) => outage::look_up(app, &address, request).await,
        DatabaseLocation::File(_) => Ok((self::request(app, args, request).await?, Searched::Database)),
    }
}

/// The same; the inner error is what the gateway says.
async fn exchange(
    app: &App,
    args: &DatabaseArgs,
    request: AdminRequest,
) -> anyhow::Result<Result<AdminReply, AdminError>> {
    let path = match database::configured(app, args)? {
        DatabaseLocation::File(path) => path,
        // The gateways hear of every change from the database.
        DatabaseLocation::Postgres(address) => {
            return outage::request(app, &address, config::load_policy_tables(app, args)?, request).await;
        }
    };
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match ask(&path, &request).await {
            Ok(answer) => return Ok(answer),
            Err(AskError::NotRunning) => {}
            #[cfg(unix)]
            Err(AskError::NotUnderstood) => return Err(unexpected_reply().into()),
            #[cfg(unix)]
            Err(error) => return Err(error.into()),
        }
        if !matches!(request, AdminRequest::AddUser { .. }) {
            require_file(&path)?;
        }
        match SqliteStore::open_within(&path, Duration::ZERO).await {
            // It may be a gateway that is about to listen, or to end.
            Err(StoreError::Busy { .. }) if Instant::now() < deadline => tokio::time::sleep(RETRY_PAUSE).await,
            Err(error) => return Err(error.into()),
            Ok(store) => {
                let tables = config::load_policy_tables(app, args)?;
                return Ok(perform_on(app, Arc::new(store), tables, request).await?);
            }
        }
    }
}

/// Checks that there is a database.
///
/// # Errors
/// Exit 3 without one.
pub fn require_file(path: &Path) -> anyhow::Result<()> {
    // A broken symbolic link counts as there: opening it gives the better error.
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Problem::new(Exit::NotFound, format!("there is no database {} yet", path.display()))
                .hint("create it: ollama-auth gateway user add NAME --role admin; or name another with --database PATH")
                .into())
        }
        Err(error) => Err(error).with_context(|| format!("cannot access the database {}", path.display())),
    }
}

/// The error for something that was looked up and is not there.
pub fn not_found(error: &AdminError, searched: &Searched) -> Problem {
    Problem::new(Exit::NotFound, error.to_string()).hint(searched.hint(&error.hint().unwrap_or_default()))
}

/// The error for a reply to another request.
pub fn unexpected_reply() -> Problem {
    Problem::new(Exit::Failed, "the running gateway sent an unexpected reply")
        .hint("it may be of another version than this command: restart it after an update")
}

/// `gateway approve`, for a machine without a browser. The device must be pending at the running gateway.
///
/// # Errors
/// A device that is not pending, an unknown or disabled user, and everything of [`request`].
pub async fn approve(app: &App, args: ApproveArgs) -> anyhow::Result<Exit> {
    // A fingerprint that was pasted with its blanks and without quotes comes as several arguments.
    let mut device = parse_device(args.device.join(" ").trim())?;
    if let Some(name) = &args.device_name {
        device = device.with_name(name)?;
    }
    let key = match &device {
        DeviceRef::Key { key, .. } => Some(key.clone()),
        DeviceRef::Fingerprint(_) | DeviceRef::NamedFingerprint { .. } => None,
    };
    let request = AdminRequest::Approve { device, user: args.user.clone() };
    let reply = match (exchange(app, &args.database, request).await?, key) {
        // With the key at hand there is a way without a request of the device.
        (Err(error @ (AdminError::NotPending(_) | AdminError::NotRunning)), Some(key)) => {
            let exit = if error == AdminError::NotRunning { Exit::Failed } else { Exit::NotFound };
            let add = format!("ollama-auth gateway device add '{}' --user {} --name NAME", key.line(), args.user);
            let hint = format!(
                "{}\nif you know that the key is of your machine, add it without a request: {add}",
                error.hint().unwrap_or_default()
            );
            return Err(Problem::new(exit, error.to_string()).hint(hint).into());
        }
        (reply, _) => reply?,
    };
    let AdminReply::Approved { user, device, fingerprint } = reply else {
        return Err(unexpected_reply().into());
    };
    app.printer.success(&format!("Approved the device {device:?} for {user} ({})", group_fingerprint(&fingerprint)));
    if app.printer.is_json() {
        app.printer.json(&json!({ "user": user, "device": device, "fingerprint": fingerprint }))?;
    }
    Ok(Exit::Done)
}

/// A fingerprint, `None` where the text is something else.
///
/// # Errors
/// One that is incomplete.
pub fn fingerprint(text: &str) -> Result<Option<String>, Problem> {
    if !text.starts_with("SHA256:") {
        return Ok(None);
    }
    let fingerprint = parse_fingerprint(text).map_err(|error| {
        Problem::new(Exit::Usage, format!("the fingerprint {text:?} is incomplete: {error}"))
            .hint("copy all of it; the spaces between its groups do not matter")
    })?;
    Ok(Some(fingerprint))
}

/// The key of a public key line.
///
/// # Errors
/// A line that is not one.
pub fn public_key(line: &str) -> Result<PublicKey, Problem> {
    PublicKey::from_line(line).map_err(|error| {
        Problem::new(Exit::Usage, format!("the public key cannot be read: {error}"))
            .hint("give the whole line, in quotes: 'ssh-ed25519 AAAA…'")
    })
}

fn parse_device(text: &str) -> Result<DeviceRef, Problem> {
    if let Some(fingerprint) = fingerprint(text)? {
        return Ok(DeviceRef::Fingerprint(fingerprint));
    }
    if text.starts_with("ssh-") {
        return Ok(DeviceRef::Key { key: public_key(text)?, name: String::new() });
    }
    let url = ConnectUrl::parse(text).map_err(|error| {
        Problem::new(
            Exit::Usage,
            format!("{text:?} is neither a fingerprint nor a connect link nor a public key: {error}"),
        )
        .hint("give the fingerprint (SHA256:…), the whole link that the device printed, or its key (ssh-ed25519 …), in quotes")
    })?;
    Ok(DeviceRef::Key { key: url.key().clone(), name: url.device_name().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::BaseUrl;
    use crate::identity::DeviceKey;

    #[test]
    fn a_device_is_given_by_its_link_or_its_fingerprint() {
        let key = DeviceKey::generate().unwrap().public().clone();
        let url = ConnectUrl::new(&BaseUrl::local(), "Ann's laptop", &key).to_string();
        assert_eq!(parse_device(&url), Ok(DeviceRef::Key { key: key.clone(), name: "Ann's laptop".into() }));
        assert_eq!(parse_device(&key.grouped_fingerprint()), Ok(DeviceRef::Fingerprint(key.fingerprint())));
        assert_eq!(parse_device(&key.fingerprint()), Ok(DeviceRef::Fingerprint(key.fingerprint())));
        let line = format!("{} root@build", key.line());
        assert_eq!(parse_device(&line), Ok(DeviceRef::Key { key: key.clone(), name: String::new() }));
        let (cut, cut_line) = (&key.fingerprint()[..30], &key.line()[..40]);
        for wrong in [
            "",
            "laptop",
            cut,
            cut_line,
            "ssh-rsa AAAA",
            "SHA256:",
            &format!("{}=", key.fingerprint()),
            url.split('&').next().unwrap(),
        ] {
            assert_eq!(parse_device(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
