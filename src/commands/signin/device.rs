//! `signin` with this device's own key.
//!
//! Order matters: the kind of host is known before a signature is sent to it, the store is probed before anything is promised,
//! and the key is stored before the browser opens.

use std::sync::Arc;

use super::{
    ApprovalLink, ApprovalPoll, Report, TypedCode, suggest_next_command, undo_unfinished_signin, wait_for_link_offer,
};
use crate::address::BaseUrl;
use crate::api::{Credential, Me, Session};
use crate::app::{App, UnfinishedSignin};
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

/// Runs it for a host that was decided on. A failure leaves nothing that was not there before.
pub async fn run_at(app: &App, context: &Context, args: SigninArgs) -> anyhow::Result<Exit> {
    let result = sign_in(app, context, args).await;
    match &result {
        Ok(_) => drop(app.unfinished_signin.take()),
        Err(_) => undo_unfinished_signin(app).await,
    }
    result
}

async fn sign_in(app: &App, context: &Context, args: SigninArgs) -> anyhow::Result<Exit> {
    // Refused over plain http before a key is made for it.
    Session::may_carry_credential(context.url(), app.global.allow_insecure_http)?;
    require_accounts(&context.session_with(app, Credential::None)?).await?;

    let LocalDevice { key, record, is_new } = load_or_create(app, context, args.device_name.as_deref()).await?;
    let session = context.session_with(app, Credential::Device(key.clone()))?;
    let mut link = ConnectUrl::new(context.url(), &record.name, key.public());
    let host = context.url().to_string();
    let report = |signed_in, already, account, link: Option<&str>, code: Option<&TypedCode>| Report {
        signed_in,
        already,
        host: host.clone(),
        profile: Some(&context.target.profile),
        account,
        credential: "device-key",
        fingerprint: Some(key.public().fingerprint()),
        connect_url: link.filter(|_| !already).map(str::to_owned),
        user_code: code.map(|code| code.user_code.clone()),
        verification_uri: code.map(|code| code.page.clone()),
    };

    let code = match wait_for_link_offer(app, &session, args.timeout.0).await? {
        Me::SignedIn(_) if is_new => {
            let message = format!("{host} accepts a key that it has never seen, so signing in there has no effect");
            return Err(Problem::new(Exit::Failed, message).hint("check the address given with --host").into());
        }
        Me::SignedIn(account) => {
            record_sign_in(app, context, &session, key.public(), &account).await?;
            app.printer.success(&format!("Already signed in to {host} as {}", account.label()));
            report(true, true, Some(&account), None, None).print(app)?;
            return Ok(Exit::Done);
        }
        Me::SignedOut { signin_url, user_code, skew, .. } => {
            if let Some(ahead) = skew {
                app.printer.warn(&clock_hint(&host, ahead));
            }
            if let Some(base) = verify_offered_link(&host, &link, signin_url)? {
                link = ConnectUrl::new(&base, &record.name, key.public());
            }
            // The tour that runs this opens the link itself.
            user_code.filter(|_| !app.printer.is_nested()).map(|code| TypedCode::new(&code, &link))
        }
    };

    let link = link.to_string();
    let facts = [("Device", record.name.clone()), ("Fingerprint", key.public().grouped_fingerprint())];
    if args.no_wait {
        if app.printer.is_json() {
            report(false, false, None, Some(&link), code.as_ref()).print(app)?;
        } else {
            for (label, value) in &facts {
                app.printer.note(&format!("{label:<12} {value}"));
            }
            if let Some(code) = &code {
                app.printer.note(&format!("{:<12} {} (to be typed at {})", "Code", code.user_code, code.page));
            }
            app.printer.data(&link)?;
            app.printer.hint("open the link, approve the device, then run the same command again");
        }
        return Ok(Exit::SignIn);
    }
    let fingerprint = key.public().fingerprint();
    let fingerprint = Some(fingerprint.as_str());
    let (url, code, open) = (link.as_str(), code.as_ref(), !args.no_browser);
    ApprovalLink { url, facts: &facts, code, fingerprint, qr: args.qr, open }.show(app);
    app.printer.note("Approve it only if the page shows the same fingerprint.");
    let poll = ApprovalPoll {
        host: &host,
        timeout: args.timeout.0,
        resume: "run `ollama-auth signin` again for a new link\nto approve a link later, add --no-wait",
    };
    let approval = poll.until_approved(app, async || session.me().await).await?;
    record_sign_in(app, context, &session, key.public(), &approval.account).await?;
    app.printer.success(&format!("Signed in to {host} as {}", approval.account.label()));
    app.printer.note(&format!("The key is stored in the {} store.", record.store));
    if context.source == CredentialSource::ProfileKey {
        app.printer.warn(&format!("the profile also has an API key, and `run` keeps using that one at {host}"));
    }
    suggest_next_command(app, context.url());
    report(true, false, Some(&approval.account), Some(&link), None).print(app)?;
    Ok(Exit::Done)
}

/// This device's key and its record.
struct LocalDevice {
    key: Arc<DeviceKey>,
    record: DeviceRecord,
    /// It was created just now, so no host can know it.
    is_new: bool,
}

/// The profile's key, or a new one, which is stored before it is used at any host. Two runs at once end with one key.
async fn load_or_create(app: &App, context: &Context, name: Option<&str>) -> anyhow::Result<LocalDevice> {
    let profile_name = &context.target.profile;
    // A key that is here and can be read needs no lock, which a slow keyring would make others wait for.
    if let Some(profile) = &context.profile
        && let Some(record) = &profile.device
    {
        match device_key(app, profile_name, profile).await {
            Ok(key) => return reuse(app, context, name, record, key),
            Err(StoredKeyError::StoreFailed(error)) => return Err(error),
            Err(StoredKeyError::Missing(_) | StoredKeyError::Mismatch(..)) => {}
        }
    }
    let _lock = app.lock_keys()?;
    let profile = app.profiles.load()?.profiles.remove(profile_name);
    let existed = profile.is_some();
    let profile = profile.unwrap_or_else(|| Profile::new(context.url().clone()));
    if let Some(record) = &profile.device {
        match device_key(app, profile_name, &profile).await {
            Ok(key) => return reuse(app, context, name, record, key),
            Err(StoredKeyError::Missing(problem)) => {
                app.printer.warn(&format!("{}; creating a new one", problem.message))
            }
            Err(StoredKeyError::Mismatch(problem, key)) => {
                app.printer.warn(&format!("{}; using the stored key", problem.message));
                record_stored_key(app, context, key.public())?;
                let record = DeviceRecord { public_key: key.public().clone(), ..record.clone() };
                return reuse(app, context, name, &record, *key);
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
    let store = choose_store(app, Some(&profile)).await?;
    let key = DeviceKey::generate()?;
    let id = entry_id(EntryKind::DeviceKey, profile_name, &profile);
    app.unfinished_signin.set(Some(UnfinishedSignin {
        profile: profile_name.clone(),
        existed,
        before: profile,
        key: key.public().clone(),
        store,
    }));
    app.vault.put(store, &id, &key.to_openssh(None)?).await?;
    let record = DeviceRecord {
        store,
        public_key: key.public().clone(),
        name: name.map_or_else(machine_name, str::to_owned),
        created_at: (app.now)(),
        connected: false,
        imported_from: None,
        imported: false,
        retired: Vec::new(),
        next: None,
    };
    app.profiles.update(|profiles| {
        let profile = profiles.entry(profile_name, context.url());
        profile.store = Some(store);
        profile.device = Some(record.clone());
    })?;
    Ok(LocalDevice { key: Arc::new(key), record, is_new: true })
}

/// Lets the record name the key that the store really holds.
fn record_stored_key(app: &App, context: &Context, key: &PublicKey) -> anyhow::Result<()> {
    app.profiles.update(|profiles| {
        if let Some(device) = &mut profiles.entry(&context.target.profile, context.url()).device {
            device.public_key = key.clone();
            device.connected = false;
        }
    })?;
    Ok(())
}

/// An existing key stays where it is; only its name may change.
fn reuse(
    app: &App,
    context: &Context,
    name: Option<&str>,
    record: &DeviceRecord,
    key: DeviceKey,
) -> anyhow::Result<LocalDevice> {
    if let Some(wanted) = app.wanted_store()?.filter(|wanted| *wanted != record.store) {
        let stored = format!("this device's key is already in the {} store", record.store);
        app.printer.warn(&format!("{stored}; to move it: ollama-auth store move --to {wanted}"));
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
    Ok(LocalDevice { key: Arc::new(key), record, is_new: false })
}

/// We build the link ourselves; a host that offers a different one is not the host it claims to be. On this machine it may call
/// itself by another name, `127.0.0.1` for `localhost`: then the page is shown under that name, the only one it may answer to.
fn verify_offered_link(host: &str, ours: &ConnectUrl, offered: Option<String>) -> anyhow::Result<Option<BaseUrl>> {
    let Some(offered) = offered else {
        return Ok(None);
    };
    let mismatch = match ConnectUrl::parse(&offered) {
        Err(_) => "it is not a sign-in link",
        Ok(link) if !link.origin().is_same_server(&ours.origin()) => "it leads to another host",
        Ok(link) if link.key() != ours.key() => "it is for another key",
        Ok(link) if link.origin() == ours.origin() => return Ok(None),
        Ok(link) => return Ok(Some(link.base().clone())),
    };
    let message = format!("{host} offers an untrusted sign-in link ({mismatch}): {offered}");
    let hint = "the link was not opened; if the host has moved, pass its new address with --host";
    Err(Problem::new(Exit::Failed, message).hint(hint).into())
}

/// Records the success: the profile is connected, and from now on the current one. If the key was removed or replaced here
/// during the wait, it is disconnected again: it would be connected without being stored.
async fn record_sign_in(
    app: &App,
    context: &Context,
    session: &Session<'_>,
    key: &PublicKey,
    account: &Account,
) -> anyhow::Result<()> {
    let listener = session.foreign_listener();
    let lock = app.lock_keys()?;
    let recorded = app.profiles.update(|profiles| {
        let Some(profile) = profiles.profiles.get_mut(&context.target.profile) else { return false };
        let Some(device) = profile.device.as_mut() else { return false };
        if device.public_key != *key && device.next.as_ref() != Some(key) {
            return false;
        }
        device.connected = true;
        profile.listener = listener;
        profile.gateway = session.is_gateway();
        profile.account = Some(account.clone());
        profiles.current = Some(context.target.profile.clone());
        true
    })?;
    drop(lock);
    if recorded {
        return Ok(());
    }
    disconnect_key(session, key).await?;
    let message = "the key was removed from this machine during the sign-in, so it was disconnected again";
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
