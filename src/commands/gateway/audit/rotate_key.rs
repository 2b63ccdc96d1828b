//! `gateway audit rotate-key`: another key for the checkpoints, in two steps, so that the old key vouches for the new one.

use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::keys;
use crate::app::App;
use crate::cli::AuditRotateKeyArgs;
use crate::commands::gateway::admin;
use crate::disk::{Snapshot, probe_replace, replace_file};
use crate::exit::{Exit, Problem};
use crate::gateway::audit::read_keys;
use crate::gateway::{AdminReply, AdminRequest, DatabaseLocation};
use crate::transparency_log::{KeyName, SignedCheckpoint, SignerKey, VerifierKey};

/// Adds a key, or removes the old one.
///
/// # Errors
/// A key file that cannot be read or written; the wrong step; everything of [`admin::request`].
pub async fn run(app: &App, args: &AuditRotateKeyArgs) -> anyhow::Result<Exit> {
    let (config, location) = keys::loaded(app, &args.database)?;
    let path = keys::named_key_file(&config, &location)?;
    // It is replaced only if it has not changed since.
    let before = Snapshot::take(&path)?;
    let mut held = read_keys(&path).map_err(keys::explain)?;
    let note = if args.finish {
        if held.len() < 2 {
            let problem = Problem::new(Exit::Failed, format!("{} holds one key", path.display()));
            return Err(problem.hint("add a new one first: ollama-auth gateway audit rotate-key").into());
        }
        require_signed(&location, &held).await?;
        let old = held.remove(0);
        AdminRequest::NoteAuditKey { verifier: old.verifier().to_string(), removed: true }
    } else {
        if held.len() > 1 {
            let problem = Problem::new(Exit::Failed, format!("{} holds two keys already", path.display()));
            return Err(problem.hint("remove the old one: ollama-auth gateway audit rotate-key --finish").into());
        }
        let new = SignerKey::generate(KeyName::new(&keys::origin(&location).await?)?)?;
        let note = AdminRequest::NoteAuditKey { verifier: new.verifier().to_string(), removed: false };
        held.push(new);
        note
    };
    probe_replace(&path, &before)?;
    // The event first: no checkpoint is signed with a key that the log does not name.
    let AdminReply::Noted = admin::request(app, &args.database, note).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let texts: Vec<_> = held.iter().map(SignerKey::to_text).collect();
    let mut text = Zeroizing::new(String::with_capacity(texts.iter().map(|text| text.expose_secret().len() + 1).sum()));
    for one in &texts {
        text.push_str(one.expose_secret());
        text.push('\n');
    }
    replace_file(&path, &before, text.as_bytes())?;
    let held: Vec<VerifierKey> = held.iter().map(|key| key.verifier().clone()).collect();
    keys::print(app, &held)?;
    app.printer.hint(if args.finish {
        "checkpoints are signed with the new key alone from now on"
    } else {
        "give the second key to your auditors and the file to the other gateways, then: ollama-auth gateway audit rotate-key --finish"
    });
    Ok(Exit::Done)
}

/// Requires a checkpoint with both signatures: it shows auditors that the new key belongs to this log.
async fn require_signed(location: &DatabaseLocation, held: &[SignerKey]) -> anyhow::Result<()> {
    let verifiers: Vec<VerifierKey> = held.iter().map(|key| key.verifier().clone()).collect();
    let latest = location.audit().await?.checkpoints(1).await?.pop();
    let signed = latest.and_then(|latest| SignedCheckpoint::parse(latest.note.as_bytes()).ok());
    let signers = signed.and_then(|signed| signed.signers(&verifiers).ok().map(|signers| signers.len()));
    if signers == Some(verifiers.len()) {
        return Ok(());
    }
    Err(Problem::new(Exit::Failed, "the latest checkpoint is not signed with both keys")
        .hint("make one: ollama-auth gateway audit checkpoint --now")
        .into())
}
