//! `signin` with this device's own key.
//!
//! Order matters: the store is probed before anything is promised, the host is asked what it is before a signature is sent,
//! and the key rests in the store before the browser opens.

use std::sync::Arc;

use super::{Link, Poll, Report};
use crate::api::{Credential, HostKind, Me, Session};
use crate::app::App;
use crate::cli::SigninArgs;
use crate::commands::context::{Context, device_key};
use crate::commands::store::choose_store;
use crate::exit::{Exit, Problem, clock_hint};
use crate::identity::{Account, ConnectUrl, DeviceKey};
use crate::profile::{Audience, DeviceRecord, Profile, entry_id};
use crate::vault::{EntryKind, StoreKind};

/// Runs it.
pub async fn run(app: &App, args: SigninArgs) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    // A credential is refused over plain http before a key is made for it.
    let probe = context.session_with(app, Credential::None)?;
    Session::may_carry_credential(context.url(), app.global.allow_insecure_http)?;
    refuse_stock_server(&probe).await?;

    let store = choose_store(app, context.profile.as_ref()).await?;
    let (key, fresh) = find_or_make(app, &context, store, args.device_name.as_deref()).await?;
    let key = Arc::new(key);
    let name = recorded_name(app, &context)?;
    let session = context.session_with(app, Credential::Device(key.clone()))?;
    let link = ConnectUrl::new(context.url(), &name, key.public()).to_string();
    let report = |signed_in, already, account| Report {
        signed_in,
        already,
        host: context.url().to_string(),
        profile: Some(&context.target.profile),
        account,
        credential: "device-key",
        fingerprint: Some(key.public().fingerprint()),
        connect_url: (!already).then(|| link.clone()),
    };

    let first = if fresh {
        None
    } else {
        Some(session.me().await?)
    };
    match first {
        Some(Me::SignedIn(account)) => {
            finish(app, &context, &account)?;
            app.printer.success(&format!(
                "Already signed in to {} as {}",
                context.url(),
                account.label()
            ));
            report(true, true, Some(&account)).print(app)?;
            return Ok(Exit::Done);
        }
        Some(Me::SignedOut {
            signin_url, skew, ..
        }) => compare_link(app, &context, &link, signin_url, skew)?,
        None => {
            // A new key cannot be known, but the link that the host offers for it can be compared, and a wrong clock seen.
            if let Me::SignedOut {
                signin_url, skew, ..
            } = session.me().await?
            {
                compare_link(app, &context, &link, signin_url, skew)?;
            }
        }
    }

    let facts = [
        ("Device", name.clone()),
        ("Fingerprint", key.public().fingerprint()),
    ];
    if args.no_wait {
        if app.printer.is_json() {
            report(false, false, None).print(app)?;
        } else {
            for (label, value) in &facts {
                app.printer.note(&format!("{label:<12} {value}"));
            }
            app.printer.data(&link)?;
            app.printer
                .hint("open the link and approve the device; then run the same command again");
        }
        return Ok(Exit::SignIn);
    }
    Link {
        url: &link,
        facts: &facts,
        qr: args.qr,
        open: !args.no_browser,
    }
    .present(app);
    app.printer
        .note("Approve it only if the page shows the same fingerprint.");
    let host = context.url().to_string();
    let poll = Poll {
        host: &host,
        timeout: args.timeout.0,
        resume: "run `ollama-auth signin` again: the key is kept, and a link that was approved in the meantime counts",
    };
    let approval = poll
        .until_approved(app, async || session.me().await)
        .await?;
    finish(app, &context, &approval.account)?;
    app.printer.success(&format!(
        "Signed in to {host} as {}",
        approval.account.label()
    ));
    app.printer
        .note(&format!("The key rests in the {store} store."));
    report(true, false, Some(&approval.account)).print(app)?;
    Ok(Exit::Done)
}

/// A stock server answers for its own key whoever asks: a device has nothing to sign in to there.
async fn refuse_stock_server(probe: &Session<'_>) -> anyhow::Result<()> {
    let host = probe.base();
    match probe.host_kind().await? {
        HostKind::AccountHost { .. } => Ok(()),
        HostKind::StockServer { .. } => {
            let message = format!(
                "{host} is an Ollama server without accounts: it has one key of its own and asks no caller for a credential"
            );
            let hint = format!(
                "to sign in that server: ollama-auth signin --server --host {host}\nto sign in this device to ollama.com: ollama-auth signin --host ollama.com"
            );
            Err(Problem::new(Exit::Failed, message).hint(hint).into())
        }
        HostKind::Other { status } => {
            let message = format!("{host} has no accounts (it answered {status} to POST /api/me)");
            let hint = format!(
                "check the address; for a host that takes an API key: ollama-auth signin --with-api-key --host {host}"
            );
            Err(Problem::new(Exit::Failed, message).hint(hint).into())
        }
    }
}

/// The profile's key, or a new one that rests in the store before anybody is told of it. `true` for a new one.
async fn find_or_make(
    app: &App,
    context: &Context,
    store: StoreKind,
    name: Option<&str>,
) -> anyhow::Result<(DeviceKey, bool)> {
    if let Some(profile) = context
        .profile
        .as_ref()
        .filter(|profile| profile.device.is_some())
    {
        let found = device_key(app, &context.target.profile, profile).await;
        let lost = matches!(&found, Err(error) if Problem::of(error).exit == Exit::SignIn);
        if !lost {
            if let Some(name) = name {
                rename(app, context, name)?;
            }
            return Ok((found?, false));
        }
        app.printer
            .warn("the device key is not in its store any more; making a new one");
    }
    let key = DeviceKey::generate()?;
    let fallback = Profile::new(context.url().clone());
    let profile = context.profile.as_ref().unwrap_or(&fallback);
    let id = entry_id(EntryKind::DeviceKey, &context.target.profile, profile);
    app.vault.put(store, &id, &key.to_openssh(None)?).await?;
    let record = DeviceRecord {
        store,
        public_key: key.public().clone(),
        name: name.map_or_else(machine_name, str::to_owned),
        created_at: (app.now)(),
        connected: false,
        imported_from: None,
        next: None,
    };
    app.profiles.update(|profiles| {
        let profile = profiles.entry(&context.target.profile, context.url());
        profile.store = Some(store);
        profile.device = Some(record);
    })?;
    Ok((key, true))
}

fn rename(app: &App, context: &Context, name: &str) -> anyhow::Result<()> {
    app.profiles.update(|profiles| {
        if let Some(device) = &mut profiles
            .entry(&context.target.profile, context.url())
            .device
        {
            device.name = name.to_owned();
        }
    })?;
    Ok(())
}

fn recorded_name(app: &App, context: &Context) -> anyhow::Result<String> {
    let profiles = app.profiles.load()?;
    let device = profiles
        .profiles
        .get(&context.target.profile)
        .and_then(|profile| profile.device.as_ref());
    Ok(device.map_or_else(machine_name, |device| device.name.clone()))
}

/// We build the link ourselves; a host that offers another one is not the host we think it is.
fn compare_link(
    app: &App,
    context: &Context,
    ours: &str,
    offered: Option<String>,
    skew: Option<i64>,
) -> anyhow::Result<()> {
    if let Some(ahead) = skew {
        app.printer
            .warn(&clock_hint(&context.url().to_string(), ahead));
    }
    let Some(offered) = offered else {
        return Ok(());
    };
    let expected = ConnectUrl::parse(ours)?;
    let mismatch = match ConnectUrl::parse(&offered) {
        Err(_) => Some("it is no sign-in link"),
        Ok(link) if link.origin() != expected.origin() => Some("it leads to another host"),
        Ok(link) if link.key() != expected.key() => Some("it is for another key"),
        Ok(_) => None,
    };
    let Some(why) = mismatch else {
        return Ok(());
    };
    let message = format!(
        "{} offers a sign-in link that is not trusted, since {why}: {offered}",
        context.url()
    );
    let hint = "nothing was opened; if the host has moved, name its new address with --host";
    Err(Problem::new(Exit::Failed, message).hint(hint).into())
}

/// Records the success: the profile is connected, and from now on the current one.
fn finish(app: &App, context: &Context, account: &Account) -> anyhow::Result<()> {
    app.profiles.update(|profiles| {
        let profile = profiles.entry(&context.target.profile, context.url());
        profile.account = Some(account.clone());
        if let Some(device) = &mut profile.device {
            device.connected = true;
        }
        profiles.current = Some(context.target.profile.clone());
    })?;
    Ok(())
}

/// This machine's name, under which the host will show the device.
pub fn machine_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    if name.trim().is_empty() {
        "this device".to_owned()
    } else {
        name
    }
}
