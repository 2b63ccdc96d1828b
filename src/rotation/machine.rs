//! The order of the steps, and what is done when one fails.
//!
//! ```text
//! Asked → Stored → [Deploying →] Deployed → InUse → Ending → over
//!   └───────┴────────┴ taken back when the host does not accept the new key
//! ```
//!
//! Every effect can be repeated: after a crash the step that was cut short is done again from its beginning.

#[cfg(test)]
mod tests;

use secrecy::SecretString;

use super::journal::{Rotation, Step};
use crate::keyspec::KeyId;

/// What the host says when the new key is asked for.
pub enum Asked<E> {
    /// It made the key.
    Made(SecretString),
    /// It has a key of that id: an earlier request was answered to nobody.
    Taken,
    /// The old key has a replacement that is accepted, and it is not this one.
    Replaced(KeyId),
    /// It made none.
    Refused(E),
}

/// What the host says of the new key.
pub enum Verdict {
    /// It accepts it.
    Accepted,
    /// It does not, in these words.
    Refused(String),
}

/// What became of the old key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldKey {
    /// The host ends it at that Unix second.
    EndsAt(i64),
    /// The host accepts it no longer.
    Gone,
    /// Only a person can revoke it.
    ByHand,
}

/// What the steps act on. Each effect may be asked for again after a crash in the middle of it, and must come to the same.
pub trait RotationBackend {
    /// Why an effect failed.
    type Error;

    /// Writes the rotation into the journal.
    fn record(&self, rotation: &Rotation) -> Result<(), Self::Error>;
    /// Strikes it out.
    fn strike_out(&self, rotation: &Rotation) -> Result<(), Self::Error>;
    /// The new key, if it waits in the vault.
    async fn held(&self, rotation: &Rotation) -> Result<Option<SecretString>, Self::Error>;
    /// Puts it there.
    async fn hold(&self, rotation: &Rotation, key: &SecretString) -> Result<(), Self::Error>;
    /// Removes it from there, if it is there.
    async fn let_go(&self, rotation: &Rotation) -> Result<(), Self::Error>;
    /// Asks the host for the new key. An error leaves open whether the key was made.
    async fn ask(&self, rotation: &Rotation) -> Result<Asked<Self::Error>, Self::Error>;
    /// Makes a real request with the new key. An error leaves open whether the host accepts it.
    async fn verify(&self, rotation: &Rotation, key: &SecretString) -> Result<Verdict, Self::Error>;
    /// Hands the new key out to wherever it is used.
    async fn deploy(&self, rotation: &Rotation, key: &SecretString) -> Result<(), Self::Error>;
    /// Hands the old key out again. `false` when nobody here has it.
    async fn restore(&self, rotation: &Rotation) -> Result<bool, Self::Error>;
    /// Makes the profile use the new key, where it used the old one. `None` when the key does not wait in the vault any more:
    /// then the profile must be using it already. `false` when the profile has got yet another key in the meantime, which it keeps.
    async fn take_into_use(&self, rotation: &Rotation, key: Option<&SecretString>) -> Result<bool, Self::Error>;
    /// Brings the old key's end forward to the end of the grace period.
    async fn end_old(&self, rotation: &Rotation) -> Result<OldKey, Self::Error>;
    /// Looks whether the old key has ended.
    async fn look_at_old(&self, rotation: &Rotation) -> Result<OldKey, Self::Error>;
    /// Revokes the new key. Fine if the host says that it is revoked, or knows no such key.
    async fn revoke_new(&self, rotation: &Rotation) -> Result<(), Self::Error>;
}

/// How far a rotation was driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driven {
    /// The new key is in use; the old one ends at that Unix second.
    Ending(i64),
    /// The new key is in use, and the old one is gone.
    Over,
    /// The new key is in use; a person has to revoke the old one.
    ByHand,
    /// What an earlier run had begun was taken back, cleanly. A new rotation can begin.
    TakenBack,
}

/// Why a rotation stopped. But for those that say so, it stays in the journal and the next run goes on with it.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The journal or the vault cannot be used.
    Local(E),
    /// The host made no key. Struck out.
    NotMade(E),
    /// It is unknown whether the host made the key.
    Unclear(E),
    /// Somebody else replaced the old key by this one. Struck out.
    Replaced(KeyId),
    /// The new key could not be put into the vault. It was revoked and the rotation struck out, unless `undone` says why not.
    NotHeld {
        /// Why not.
        error: E,
        /// Why it could not be revoked.
        undone: Result<(), E>,
    },
    /// The new key that was under way is not in the vault any more. It was revoked and the rotation struck out; what was deployed
    /// may hold it.
    Lost,
    /// The host does not accept the new key. It was revoked and the rotation struck out, unless `undone` says why not.
    NotVerified {
        /// The host's words.
        reason: String,
        /// Why it could not be revoked.
        undone: Result<(), E>,
        /// Where it had been handed out: whether the old key was handed out again, `Ok(false)` when nobody here has it.
        restored: Option<Result<bool, E>>,
    },
    /// The host cannot be asked about the new key.
    NotAsked(E),
    /// It could not be handed out. The old key stays as it is.
    NotDeployed(E),
    /// The profile could not be made to use it.
    NotInUse(E),
    /// The new key is in use, but the old one did not get its end.
    OldNotEnded(E),
}

type Outcome<E> = Result<Driven, Stopped<E>>;

/// Begins a rotation, and takes it as far as it goes. Its id must never have been used before.
///
/// # Errors
/// [`Stopped`].
pub async fn begin<W: RotationBackend>(backend: &W, rotation: Rotation) -> Outcome<W::Error> {
    backend.record(&rotation).map_err(Stopped::Local)?;
    drive(backend, rotation, true).await
}

/// Goes on with a rotation from the journal, as far as it goes.
///
/// # Errors
/// [`Stopped`].
pub async fn resume<W: RotationBackend>(backend: &W, rotation: Rotation) -> Outcome<W::Error> {
    drive(backend, rotation, false).await
}

/// Takes a rotation back whose new key is of no use any more: it does not wait in the vault, or the host does not accept it. `false` when
/// it is of use. What was handed out stays as it is.
///
/// # Errors
/// [`Stopped::NotAsked`], and [`Stopped::Unclear`] when it cannot be taken back.
pub async fn give_up<W: RotationBackend>(backend: &W, rotation: &Rotation) -> Result<bool, Stopped<W::Error>> {
    if let Some(key) = backend.held(rotation).await.map_err(Stopped::Local)?
        && let Verdict::Accepted = backend.verify(rotation, &key).await.map_err(Stopped::NotAsked)?
    {
        return Ok(false);
    }
    take_back(backend, rotation).await.map_err(Stopped::Unclear)?;
    Ok(true)
}

async fn drive<W: RotationBackend>(backend: &W, mut rotation: Rotation, is_new: bool) -> Outcome<W::Error> {
    loop {
        let driven = match rotation.step {
            Step::Asked => asked(backend, &mut rotation, is_new).await?,
            Step::Stored | Step::Deploying => waiting(backend, &mut rotation).await?,
            Step::Deployed => {
                let held = backend.held(&rotation).await.map_err(Stopped::Local)?;
                let in_use = backend.take_into_use(&rotation, held.as_ref()).await.map_err(Stopped::NotInUse)?;
                if in_use || rotation.targets.any() {
                    reach(backend, &mut rotation, Step::InUse)?
                } else {
                    // Nobody uses it.
                    take_back(backend, &rotation).await.map_err(Stopped::Unclear)?;
                    Some(Driven::TakenBack)
                }
            }
            Step::InUse => {
                let old = backend.end_old(&rotation).await.map_err(Stopped::OldNotEnded)?;
                // Not before: where the profile has got another key, the new one alone may be allowed to end the old one.
                backend.let_go(&rotation).await.map_err(Stopped::Local)?;
                match old {
                    OldKey::EndsAt(end) => {
                        rotation.old_ends_at = Some(end);
                        reach(backend, &mut rotation, Step::Ending)?;
                        Some(Driven::Ending(end))
                    }
                    // On record until the next run, which can tell by it what was done just now.
                    OldKey::Gone => {
                        reach(backend, &mut rotation, Step::Ending)?;
                        Some(Driven::Over)
                    }
                    OldKey::ByHand => Some(over(backend, &rotation, Driven::ByHand)?),
                }
            }
            Step::Ending => match backend.look_at_old(&rotation).await.map_err(Stopped::OldNotEnded)? {
                OldKey::EndsAt(end) => Some(Driven::Ending(end)),
                OldKey::Gone => Some(over(backend, &rotation, Driven::Over)?),
                OldKey::ByHand => Some(over(backend, &rotation, Driven::ByHand)?),
            },
        };
        if let Some(driven) = driven {
            return Ok(driven);
        }
    }
}

/// Goes on from a key that may or may not exist.
async fn asked<W: RotationBackend>(
    backend: &W,
    rotation: &mut Rotation,
    mut is_new: bool,
) -> Result<Option<Driven>, Stopped<W::Error>> {
    if backend.held(rotation).await.map_err(Stopped::Local)?.is_some() {
        return reach(backend, rotation, Step::Stored);
    }
    // The id is the same each time it is asked for: the host makes one key of it at most, however late an earlier request arrives.
    let mut answer = backend.ask(rotation).await;
    if answer.is_err() {
        is_new = false;
        answer = backend.ask(rotation).await;
    }
    match answer.map_err(Stopped::Unclear)? {
        Asked::Made(key) => {
            if let Err(error) = backend.hold(rotation, &key).await {
                let undone = take_back(backend, rotation).await;
                return Err(Stopped::NotHeld { error, undone });
            }
            reach(backend, rotation, Step::Stored)
        }
        Asked::Taken => {
            take_back(backend, rotation).await.map_err(Stopped::Unclear)?;
            Ok(Some(Driven::TakenBack))
        }
        // Only one is accepted at a time, so this one is not.
        Asked::Replaced(other) => {
            backend.strike_out(rotation).map_err(Stopped::Local)?;
            Err(Stopped::Replaced(other))
        }
        // An earlier request may have made it all the same.
        Asked::Refused(error) if !is_new => match take_back(backend, rotation).await {
            Ok(()) => Err(Stopped::NotMade(error)),
            Err(_) => Err(Stopped::Unclear(error)),
        },
        Asked::Refused(error) => {
            backend.strike_out(rotation).map_err(Stopped::Local)?;
            Err(Stopped::NotMade(error))
        }
    }
}

/// Goes on with a key that waits in the vault.
async fn waiting<W: RotationBackend>(
    backend: &W,
    rotation: &mut Rotation,
) -> Result<Option<Driven>, Stopped<W::Error>> {
    let Some(key) = backend.held(rotation).await.map_err(Stopped::Local)? else {
        take_back(backend, rotation).await.map_err(Stopped::Unclear)?;
        return if rotation.step == Step::Stored { Ok(Some(Driven::TakenBack)) } else { Err(Stopped::Lost) };
    };
    verify(backend, rotation, &key).await?;
    if !rotation.targets.any() {
        return reach(backend, rotation, Step::Deployed);
    }
    if rotation.step == Step::Stored {
        return reach(backend, rotation, Step::Deploying);
    }
    backend.deploy(rotation, &key).await.map_err(Stopped::NotDeployed)?;
    verify(backend, rotation, &key).await?;
    reach(backend, rotation, Step::Deployed)
}

/// Makes sure that the host accepts the new key; one that it does not accept is taken back.
async fn verify<W: RotationBackend>(
    backend: &W,
    rotation: &Rotation,
    key: &SecretString,
) -> Result<(), Stopped<W::Error>> {
    let reason = match backend.verify(rotation, key).await.map_err(Stopped::NotAsked)? {
        Verdict::Accepted => return Ok(()),
        Verdict::Refused(reason) => reason,
    };
    let restored = match rotation.step {
        Step::Deploying => Some(backend.restore(rotation).await),
        _ => None,
    };
    let undone = take_back(backend, rotation).await;
    Err(Stopped::NotVerified { reason, undone, restored })
}

/// Revokes the new key and forgets the rotation; the old key was never touched.
async fn take_back<W: RotationBackend>(backend: &W, rotation: &Rotation) -> Result<(), W::Error> {
    backend.revoke_new(rotation).await?;
    backend.let_go(rotation).await?;
    backend.strike_out(rotation)
}

fn reach<W: RotationBackend>(
    backend: &W,
    rotation: &mut Rotation,
    step: Step,
) -> Result<Option<Driven>, Stopped<W::Error>> {
    rotation.step = step;
    backend.record(rotation).map_err(Stopped::Local)?;
    Ok(None)
}

fn over<W: RotationBackend>(backend: &W, rotation: &Rotation, driven: Driven) -> Result<Driven, Stopped<W::Error>> {
    backend.strike_out(rotation).map_err(Stopped::Local)?;
    Ok(driven)
}
