//! Disconnecting devices at a host. Each request takes a proof of its own that the host is the right one, made just before.

use crate::api::{CredentialCheck, Disconnect, Session};
use crate::commands::context::no_accounts_problem;
use crate::identity::PublicKey;
use crate::profile::DeviceRecord;

/// Disconnects one device.
///
/// # Errors
/// A host that keeps no accounts, and every answer that leaves a doubt.
pub async fn one(session: &Session<'_>, key: &PublicKey) -> anyhow::Result<Disconnect> {
    match session.check_credential().await? {
        CredentialCheck::Accepted(proof) => Ok(session.disconnect_device(proof, key).await?),
        CredentialCheck::Unknown => Ok(Disconnect::Unknown),
        CredentialCheck::Inconclusive(error) => Err(error.into()),
        CredentialCheck::NoAccounts(kind) => Err(no_accounts_problem(session, kind).into()),
    }
}

/// Disconnects a device with all its keys: those that a rotation has replaced, the one that it has not finished, and last the
/// one that the session signs with, whose fate is returned.
///
/// # Errors
/// As for [`one`]; what was disconnected until then stays so.
pub async fn all_keys(session: &Session<'_>, record: &DeviceRecord, own: &PublicKey) -> anyhow::Result<Disconnect> {
    let others = record.retired.iter().chain(&record.next).chain(std::iter::once(&record.public_key));
    for key in others.filter(|key| *key != own) {
        one(session, key).await?;
    }
    one(session, own).await
}
