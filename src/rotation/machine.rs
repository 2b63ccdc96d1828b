//! The order of the steps, and what is done when one fails.
//!
//! ```text
//! Asked → Stored → [Deploying →] Deployed → InUse → Ending → over
//!   └───────┴────────┴ undone when the host does not accept the new key
//! ```
//!
//! Every effect can be repeated: after a crash the interrupted step is repeated from its beginning.

#[cfg(test)]
mod tests;

use secrecy::SecretString;

use super::journal::{Rotation, Step};
use crate::keyspec::KeyId;

/// What the host says when the new key is asked for.
pub enum KeyRequest<E> {
    /// It made the key.
    Created(SecretString),
    /// It has a key with that id: the answer to an earlier request got lost.
    IdTaken,
    /// The old key has a replacement that is accepted, and it is not this one.
    AlreadyReplaced(KeyId),
    /// It made none.
    Refused(E),
}

/// What the host says of the new key.
pub enum KeyVerification {
    /// It accepts it.
    Accepted,
    /// It does not, in these words.
    Refused(String),
}

/// What became of the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKeyState {
    /// The host ends it at that Unix second.
    ExpiresAt(i64),
    /// The host accepts it no longer.
    Gone,
    /// Only a person can revoke it.
    RevokeManually,
}

/// What the steps act on. Each effect may be asked for again after a crash in the middle of it, and must come to the same.
pub trait RotationBackend {
    /// Why an effect failed.
    type Error;

    /// Writes the rotation into the journal.
    fn record(&self, rotation: &Rotation) -> Result<(), Self::Error>;
    /// Strikes it out.
    fn remove_from_journal(&self, rotation: &Rotation) -> Result<(), Self::Error>;
    /// The new key, if it waits in the vault.
    async fn load_new_key(&self, rotation: &Rotation) -> Result<Option<SecretString>, Self::Error>;
    /// Puts it there.
    async fn store_new_key(&self, rotation: &Rotation, key: &SecretString) -> Result<(), Self::Error>;
    /// Removes it from there, if it is there.
    async fn delete_new_key(&self, rotation: &Rotation) -> Result<(), Self::Error>;
    /// Asks the host for the new key. An error leaves open whether the key was made.
    async fn create_new_key(&self, rotation: &Rotation) -> Result<KeyRequest<Self::Error>, Self::Error>;
    /// Makes a real request with the new key. An error leaves open whether the host accepts it.
    async fn verify_new_key(&self, rotation: &Rotation, key: &SecretString) -> Result<KeyVerification, Self::Error>;
    /// Hands the new key out to wherever it is used.
    async fn deploy_new_key(&self, rotation: &Rotation, key: &SecretString) -> Result<(), Self::Error>;
    /// Deploys the old key again. `false` when it is not stored here.
    async fn redeploy_old_key(&self, rotation: &Rotation) -> Result<bool, Self::Error>;
    /// Makes the profile use the new key, where it used the old one. `None` when the key does not wait in the vault any more:
    /// then the profile must be using it already. `false` when the profile has got yet another key in the meantime, which it keeps.
    async fn activate_new_key(&self, rotation: &Rotation, key: Option<&SecretString>) -> Result<bool, Self::Error>;
    /// Brings the old key's end forward to the end of the grace period.
    async fn expire_old_key(&self, rotation: &Rotation) -> Result<OldKeyState, Self::Error>;
    /// Looks whether the old key has ended.
    async fn check_old_key(&self, rotation: &Rotation) -> Result<OldKeyState, Self::Error>;
    /// Revokes the new key. Fine if the host says that it is revoked, or knows no such key.
    async fn revoke_new(&self, rotation: &Rotation) -> Result<(), Self::Error>;
}

/// How far a rotation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationOutcome {
    /// The new key is in use; the old one ends at that Unix second.
    OldKeyExpires(i64),
    /// The new key is in use, and the old one is no longer valid.
    Done,
    /// The new key is in use; a person has to revoke the old one.
    RevokeManually,
    /// The rotation of an earlier run was undone completely. A new rotation can start.
    RolledBack,
}

/// Why a rotation stopped. Unless a variant says otherwise, it stays in the journal and the next run resumes it.
#[derive(Debug)]
pub enum RotationError<E> {
    /// The journal or the vault cannot be used.
    Storage(E),
    /// The host made no key. Struck out.
    NotCreated(E),
    /// It is unknown whether the host made the key.
    Unknown(E),
    /// Somebody else replaced the old key by this one. Struck out.
    AlreadyReplaced(KeyId),
    /// The new key could not be put into the vault. It was revoked and the rotation struck out, unless `rollback` says why not.
    NotStored {
        /// Why not.
        error: E,
        /// Why it could not be revoked.
        rollback: Result<(), E>,
    },
    /// The new key is no longer in the vault. It was revoked and the rotation removed from the journal; what was deployed
    /// may hold it.
    NewKeyMissing,
    /// The host does not accept the new key. It was revoked and the rotation struck out, unless `rollback` says why not.
    NewKeyRefused {
        /// The host's words.
        reason: String,
        /// Why it could not be revoked.
        rollback: Result<(), E>,
        /// If it was deployed: whether the old key was deployed again, `Ok(false)` when that is not stored here.
        restored: Option<Result<bool, E>>,
    },
    /// The host cannot be asked about the new key.
    NotVerified(E),
    /// It could not be handed out. The old key stays as it is.
    NotDeployed(E),
    /// The profile could not be made to use it.
    NotActivated(E),
    /// The new key is in use, but the old one did not get its end.
    OldKeyNotExpired(E),
}

type RotationResult<E> = Result<RotationOutcome, RotationError<E>>;

/// Begins a rotation, and takes it as far as it goes. Its id must never have been used before.
///
/// # Errors
/// [`RotationError`].
pub async fn begin<W: RotationBackend>(backend: &W, rotation: Rotation) -> RotationResult<W::Error> {
    backend.record(&rotation).map_err(RotationError::Storage)?;
    drive(backend, rotation, true).await
}

/// Resumes a rotation from the journal, as far as possible.
///
/// # Errors
/// [`RotationError`].
pub async fn resume<W: RotationBackend>(backend: &W, rotation: Rotation) -> RotationResult<W::Error> {
    drive(backend, rotation, false).await
}

/// Undoes a rotation whose new key is unusable: it is not in the vault, or the host does not accept it. `false` when
/// it is of use. What was handed out stays as it is.
///
/// # Errors
/// [`RotationError::NotVerified`], and [`RotationError::Unknown`] when it cannot be undone.
pub async fn abandon_if_unusable<W: RotationBackend>(
    backend: &W,
    rotation: &Rotation,
) -> Result<bool, RotationError<W::Error>> {
    if let Some(key) = backend.load_new_key(rotation).await.map_err(RotationError::Storage)?
        && let KeyVerification::Accepted =
            backend.verify_new_key(rotation, &key).await.map_err(RotationError::NotVerified)?
    {
        return Ok(false);
    }
    roll_back(backend, rotation).await.map_err(RotationError::Unknown)?;
    Ok(true)
}

async fn drive<W: RotationBackend>(backend: &W, mut rotation: Rotation, is_new: bool) -> RotationResult<W::Error> {
    loop {
        let outcome = match rotation.step {
            Step::Asked => create(backend, &mut rotation, is_new).await?,
            Step::Stored | Step::Deploying => verify_and_deploy(backend, &mut rotation).await?,
            Step::Deployed => {
                let held = backend.load_new_key(&rotation).await.map_err(RotationError::Storage)?;
                let in_use =
                    backend.activate_new_key(&rotation, held.as_ref()).await.map_err(RotationError::NotActivated)?;
                if in_use || rotation.targets.any() {
                    advance(backend, &mut rotation, Step::InUse)?
                } else {
                    // It is not in use.
                    roll_back(backend, &rotation).await.map_err(RotationError::Unknown)?;
                    Some(RotationOutcome::RolledBack)
                }
            }
            Step::InUse => {
                let old = backend.expire_old_key(&rotation).await.map_err(RotationError::OldKeyNotExpired)?;
                // Not before: where the profile has got another key, the new one alone may be allowed to end the old one.
                backend.delete_new_key(&rotation).await.map_err(RotationError::Storage)?;
                match old {
                    OldKeyState::ExpiresAt(end) => {
                        rotation.old_ends_at = Some(end);
                        advance(backend, &mut rotation, Step::Ending)?;
                        Some(RotationOutcome::OldKeyExpires(end))
                    }
                    // On record until the next run, which can tell by it what was done just now.
                    OldKeyState::Gone => {
                        advance(backend, &mut rotation, Step::Ending)?;
                        Some(RotationOutcome::Done)
                    }
                    OldKeyState::RevokeManually => Some(complete(backend, &rotation, RotationOutcome::RevokeManually)?),
                }
            }
            Step::Ending => match backend.check_old_key(&rotation).await.map_err(RotationError::OldKeyNotExpired)? {
                OldKeyState::ExpiresAt(end) => Some(RotationOutcome::OldKeyExpires(end)),
                OldKeyState::Gone => Some(complete(backend, &rotation, RotationOutcome::Done)?),
                OldKeyState::RevokeManually => Some(complete(backend, &rotation, RotationOutcome::RevokeManually)?),
            },
        };
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
}

/// Continues with a key that may or may not exist.
async fn create<W: RotationBackend>(
    backend: &W,
    rotation: &mut Rotation,
    mut is_new: bool,
) -> Result<Option<RotationOutcome>, RotationError<W::Error>> {
    if backend.load_new_key(rotation).await.map_err(RotationError::Storage)?.is_some() {
        return advance(backend, rotation, Step::Stored);
    }
    // The id is the same each time it is asked for: the host makes one key of it at most, however late an earlier request arrives.
    let mut answer = backend.create_new_key(rotation).await;
    if answer.is_err() {
        is_new = false;
        answer = backend.create_new_key(rotation).await;
    }
    match answer.map_err(RotationError::Unknown)? {
        KeyRequest::Created(key) => {
            if let Err(error) = backend.store_new_key(rotation, &key).await {
                let rollback = roll_back(backend, rotation).await;
                return Err(RotationError::NotStored { error, rollback });
            }
            advance(backend, rotation, Step::Stored)
        }
        KeyRequest::IdTaken => {
            roll_back(backend, rotation).await.map_err(RotationError::Unknown)?;
            Ok(Some(RotationOutcome::RolledBack))
        }
        // Only one is accepted at a time, so this one is not.
        KeyRequest::AlreadyReplaced(other) => {
            backend.remove_from_journal(rotation).map_err(RotationError::Storage)?;
            Err(RotationError::AlreadyReplaced(other))
        }
        // An earlier request may have made it all the same.
        KeyRequest::Refused(error) if !is_new => match roll_back(backend, rotation).await {
            Ok(()) => Err(RotationError::NotCreated(error)),
            Err(_) => Err(RotationError::Unknown(error)),
        },
        KeyRequest::Refused(error) => {
            backend.remove_from_journal(rotation).map_err(RotationError::Storage)?;
            Err(RotationError::NotCreated(error))
        }
    }
}

/// Continues with a key that is in the vault but not deployed.
async fn verify_and_deploy<W: RotationBackend>(
    backend: &W,
    rotation: &mut Rotation,
) -> Result<Option<RotationOutcome>, RotationError<W::Error>> {
    let Some(key) = backend.load_new_key(rotation).await.map_err(RotationError::Storage)? else {
        roll_back(backend, rotation).await.map_err(RotationError::Unknown)?;
        return if rotation.step == Step::Stored {
            Ok(Some(RotationOutcome::RolledBack))
        } else {
            Err(RotationError::NewKeyMissing)
        };
    };
    verify(backend, rotation, &key).await?;
    if !rotation.targets.any() {
        return advance(backend, rotation, Step::Deployed);
    }
    if rotation.step == Step::Stored {
        return advance(backend, rotation, Step::Deploying);
    }
    backend.deploy_new_key(rotation, &key).await.map_err(RotationError::NotDeployed)?;
    verify(backend, rotation, &key).await?;
    advance(backend, rotation, Step::Deployed)
}

/// Makes sure that the host accepts the new key; a key that it rejects is removed again.
async fn verify<W: RotationBackend>(
    backend: &W,
    rotation: &Rotation,
    key: &SecretString,
) -> Result<(), RotationError<W::Error>> {
    let reason = match backend.verify_new_key(rotation, key).await.map_err(RotationError::NotVerified)? {
        KeyVerification::Accepted => return Ok(()),
        KeyVerification::Refused(reason) => reason,
    };
    let restored = match rotation.step {
        Step::Deploying => Some(backend.redeploy_old_key(rotation).await),
        _ => None,
    };
    let rollback = roll_back(backend, rotation).await;
    Err(RotationError::NewKeyRefused { reason, rollback, restored })
}

/// Revokes the new key and forgets the rotation; the old key was never touched.
async fn roll_back<W: RotationBackend>(backend: &W, rotation: &Rotation) -> Result<(), W::Error> {
    backend.revoke_new(rotation).await?;
    backend.delete_new_key(rotation).await?;
    backend.remove_from_journal(rotation)
}

fn advance<W: RotationBackend>(
    backend: &W,
    rotation: &mut Rotation,
    step: Step,
) -> Result<Option<RotationOutcome>, RotationError<W::Error>> {
    rotation.step = step;
    backend.record(rotation).map_err(RotationError::Storage)?;
    Ok(None)
}

fn complete<W: RotationBackend>(
    backend: &W,
    rotation: &Rotation,
    outcome: RotationOutcome,
) -> Result<RotationOutcome, RotationError<W::Error>> {
    backend.remove_from_journal(rotation).map_err(RotationError::Storage)?;
    Ok(outcome)
}
