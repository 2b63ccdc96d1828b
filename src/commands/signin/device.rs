//! `signin` with this device's own key.
//!
//! Order matters: the host is asked what it is before a signature of ours is sent, the store is probed before anything is
//! promised, and the key rests in the store before the browser opens.

use std::sync::Arc;

use super::{Link, Poll, Report};
use crate::api::{Credential, Me, Session};
use crate::app::App;
use crate::cli::SigninArgs;
use crate::commands::context::{Context, StoredKeyError, device_key, require_accounts};
use crate::commands::device::disconnect_key;
use crate::commands::store::choose_store;
use crate::exit::{Exit, Problem, clock_hint};
use crate::identity::{Account, ConnectUrl, DeviceKey, PublicKey};
use crate::profile::{Audience, CredentialSource, DeviceRecord, Profile, entry_id};
use crate::vault::EntryKind;

/// Runs it.
pub async fn run(app: &App, args: SigninArgs) -> anyhow::Result<Exit> {
    run_at(app, &Context::resolve(app, Audience::Account)?, args).await
}

/// Runs it for a host that was decided on.
pub async fn run_at(app: &App, context: &Context, args: SigninArgs) -> anyhow::Result<Exit> {
    // Refused over plain http before a key is made for it.
    Session::may_carry_credential(context.url(), app.global.allow_insecure_http)?;
    require_accounts(&context.session_with(app, Credential::None)?).await?;

    let Device { key, record, fresh } = find_or_make(app, context, args.device_name.as_deref()).await?;
    let session = context.session_with(app, Credential::Device(key.clone()))?;
    let link = ConnectUrl::new(context.url(), &record.name, key.public()).to_string();
    let host = context.url().to_string();
    let report = |signed_in, already, account| Report {
        signed_in,
        already,
        host: host.clone(),
        profile: Some(&context.target.profile),
        account,
        credential: "device-key",
        fingerprint: Some(key.public().fingerprint()),
        connect_url: (!already).then(|| link.clone()),
    };

    match session.me().await? {
        Me::SignedIn(_) if fresh => {
            let message = format!("{host} accepts a key that it cannot know, so signing in there means nothing");
            return Err(Problem::new(Exit::Failed, message).hint("check the address: --host").into());
        }
        Me::SignedIn(account) => {
            finish(app, context, &session, key.public(), &account).await?;
            app.printer.success(&format!("Already signed in to {host} as {}", account.label()));
            report(true, true, Some(&account)).print(app)?;
            return Ok(Exit::Done);
        }
        Me::SignedOut { signin_url, skew } => {
            if let Some(ahead) = skew {
                app.printer.warn(&clock_hint(&host, ahead));
            }
            compare_link(&host, &link, signin_url)?;
        }
    }

    let facts = [("Device", record.name.clone()), ("Fingerprint", key.public().fingerprint())];
    if args.no_wait {
        if app.printer.is_json() {
            report(false, false, None).print(app)?;
        } else {
            for (label, value) in &facts {
                app.printer.note(&format!("{label:<12} {value}"));
            }
            app.printer.data(&link)?;
            app.printer.hint("open the link and approve the device; then run the same command again");
        }
        return Ok(Exit::SignIn);
    }
    Link { url: &link, facts: &facts, qr: args.qr, open: !args.no_browser }.present(app);
    app.printer.note("Approve it only if the page shows the same fingerprint.");
    let poll = Poll {
        host: &host,
        timeout: args.timeout.0,
        resume: "run `ollama-auth signin` again: the key is kept, and a link that was approved in the meantime counts",
    };
    let approval = poll.until_approved(app, async || session.me().await).await?;
    finish(app, context, &session, key.public(), &approval.account).await?;
    app.printer.success(&format!("Signed in to {host} as {}", approval.account.label()));
    app.printer.note(&format!("The key rests in the {} store.", record.store));
    if context.source == CredentialSource::ProfileKey {
        app.printer.warn(&format!("the profile holds an API key too, and `run` goes on using that one at {host}"));
    }
    report(true, false, Some(&approval.account)).print(app)?;
    Ok(Exit::Done)
}

/// This device's key, and what is on record of it.
struct Device {
    key: Arc<DeviceKey>,
    record: DeviceRecord,
    /// It was made just now, so no host can know it.
    fresh: bool,
}

/// The profile's key, or a new one that rests in the store before anybody is told of it. Two runs at once end with one key.
async fn find_or_make(app: &App, context: &Context, name: Option<&str>) -> anyhow::Result<Device> {
    let profile_name = &context.target.profile;
    // A key that is here and can be read needs no lock, which a slow keyring would make others wait for.
    if let Some(profile) = &context.profile
        && let Some(record) = &profile.device
    {
        match device_key(app, profile_name, profile).await {
            Ok(key) => return known(app, context, name, record, key),
            Err(StoredKeyError::StoreFailed(error)) => return Err(error),
            Err(StoredKeyError::Missing(_) | StoredKeyError::Mismatch(..)) => {}
        }
    }
    let _lock = app.lock_keys()?;
    let profile = app.profiles.load()?.profiles.remove(profile_name);
    let profile = profile.unwrap_or_else(|| Profile::new(context.url().clone()));
    if let Some(record) = &profile.device {
        match device_key(app, profile_name, &profile).await {
            Ok(key) => return known(app, context, name, record, key),
            Err(StoredKeyError::Missing(problem)) => {
                app.printer.warn(&format!("{}; making a new one", problem.message))
            }
            Err(StoredKeyError::Mismatch(problem, key)) => {
                app.printer.warn(&format!("{}; going on with it", problem.message));
                adopt(app, context, key.public())?;
                let record = DeviceRecord { public_key: key.public().clone(), ..record.clone() };
                return known(app, context, name, &record, *key);
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
    let store = choose_store(app, Some(&profile)).await?;
    let key = DeviceKey::generate()?;
    let id = entry_id(EntryKind::DeviceKey, profile_name, &profile);
    app.vault.put(store, &id, &key.to_openssh(None)?).await?;
    let record = DeviceRecord {
        store,
        public_key: key.public().clone(),
        name: name.map_or_else(machine_name, str::to_owned),
        created_at: (app.now)(),
        connected: false,
        imported_from: None,
        retired: Vec::new(),
        next: None,
    };
    app.profiles.update(|profiles| {
        let profile = profiles.entry(profile_name, context.url());
        profile.store = Some(store);
        profile.device = Some(record.clone());
    })?;
    Ok(Device { key: Arc::new(key), record, fresh: true })
}

/// Lets the record name the key that the store really holds.
fn adopt(app: &App, context: &Context, key: &PublicKey) -> anyhow::Result<()> {
    app.profiles.update(|profiles| {
        if let Some(device) = &mut profiles.entry(&context.target.profile, context.url()).device {
            device.public_key = key.clone();
            device.connected = false;
        }
    })?;
    Ok(())
}

/// A key that is here already stays where it is; only its name may change.
fn known(
    app: &App,
    context: &Context,
    name: Option<&str>,
    record: &DeviceRecord,
    key: DeviceKey,
) -> anyhow::Result<Device> {
    if let Some(wanted) = app.wanted_store()?.filter(|wanted| *wanted != record.store) {
        let rests = format!("this device's key rests in the {} store already", record.store);
        app.printer.warn(&format!("{rests}; to move it: ollama-auth store move --to {wanted}"));
    }
    let record = DeviceRecord {
        name: name.map_or_else(|| record.name.clone(), str::to_owned),
        public_key: key.public().clone(),
        ..record.clone()
    };
    if name.is_some() {
        app.profiles.update(|profiles| {
            if let Some(device) = &mut profiles.entry(&context.target.profile, context.url()).device {
                device.name.clone_from(&record.name);
            }
        })?;
    }
    Ok(Device { key: Arc::new(key), record, fresh: false })
}

/// We build the link ourselves; a host that offers another one is not the host we think it is.
fn compare_link(host: &str, ours: &str, offered: Option<String>) -> anyhow::Result<()> {
    let Some(offered) = offered else {
        return Ok(());
    };
    let expected = ConnectUrl::parse(ours)?;
    let mismatch = match ConnectUrl::parse(&offered) {
        Err(_) => "it is no sign-in link",
        Ok(link) if link.origin() != expected.origin() => "it leads to another host",
        Ok(link) if link.key() != expected.key() => "it is for another key",
        Ok(_) => return Ok(()),
    };
    let message = format!("{host} offers a sign-in link that is not trusted, since {mismatch}: {offered}");
    let hint = "nothing was opened; if the host has moved, name its new address with --host";
    Err(Problem::new(Exit::Failed, message).hint(hint).into())
}

/// Records the success: the profile is connected, and from now on the current one. If the key was removed or replaced here
/// while the approval was waited for, it is disconnected again: nobody would find it any more.
async fn finish(
    app: &App,
    context: &Context,
    session: &Session<'_>,
    key: &PublicKey,
    account: &Account,
) -> anyhow::Result<()> {
    let lock = app.lock_keys()?;
    let recorded = app.profiles.update(|profiles| {
        let Some(profile) = profiles.profiles.get_mut(&context.target.profile) else { return false };
        let Some(device) = profile.device.as_mut() else { return false };
        if device.public_key != *key && device.next.as_ref() != Some(key) {
            return false;
        }
        device.connected = true;
        profile.account = Some(account.clone());
        profiles.current = Some(context.target.profile.clone());
        true
    })?;
    drop(lock);
    if recorded {
        return Ok(());
    }
    disconnect_key(session, key).await?;
    let message = "the key was removed here while its approval was waited for, so it was disconnected again";
    Err(Problem::new(Exit::Failed, message).hint("run `ollama-auth signin` again").into())
}

/// This machine's name, under which the host will show the device.
pub fn machine_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.trim().is_empty() { "this device".to_owned() } else { name }
}
