//! Signatures of devices: whose they are, whether they are of now, and whether they may be used once more.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::authenticator::{Authenticator, REFUSED};
use super::caller::{Caller, Credential};
use super::replay_guard::{Reuse, Used, Verdict};
use super::signature::{Claim, Freshness, Proof, of_now, prove, prove_second, whole};
use crate::gateway::clock::Moment;
use crate::gateway::directory::Known;
use crate::gateway::origin::Origin;
use crate::gateway::pending_devices::Asked;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::routes::Changes;
use crate::gateway::store::{Actor, Device, Event, Shared, Use};
use crate::gateway::target::Target;
use crate::identity::{BodyDigest, Challenge, ConnectUrl, PublicKey};
use crate::keyspec::hide_keys;

/// How far the clocks of gateways on one database may differ, in seconds.
const CLOCK_DIFFERENCE: u64 = 60;

impl Authenticator {
    /// Whose device signed it.
    ///
    /// # Errors
    /// As [`prove`] and [`of_now`]; 401 with a sign-in link for a key that is not known, without one if there are too many of them, 403 for one that a person refused, 401 for a replay.
    pub(super) async fn by_signature(
        &self,
        header: &SecretString,
        target: &Target<'_>,
        origin: Origin,
        changes: Changes,
    ) -> Result<Caller, Rejection> {
        let (address, moment) = (origin.address, self.clock.moment());
        let now = moment.now;
        let claim = Claim::new(header.expose_secret(), target);
        let (proof, is_new) =
            self.verified(&claim, || prove(header.expose_secret(), target), moment, origin, Actor::Gateway)?;
        let key = proof.key.clone();
        let reuse = reuse(changes, target, proof.challenge == whole(target), target.body_digest()?.is_some())?;

        let Some(known) = self.directory.device(&key) else {
            match self.pending_devices.add(&key, address, now) {
                Asked::Pending => Box::pin(self.share_pending(&key, address, now)).await?,
                Asked::Denied => return Err(Rejection::new(403, "this device was denied")),
                Asked::TooManyNew => return Err(too_many_new()),
            }
            // Approved at this very moment: an entry left here could be approved again with the same link, for another account.
            if self.directory.device(&key).is_some() {
                self.pending_devices.settle(&key);
            }
            tracing::debug!(device = key.fingerprint(), %address, "unknown device requested approval");
            let link = ConnectUrl::new(&self.config.get().url, &format!("device at {address}"), &key);
            let rejection = Rejection::unauthorized("unauthorized").with_signin_url(link.to_string());
            return Err(match self.pending_devices.code(&key, now) {
                Some(code) => rejection.member("user_code", code.to_string()),
                None => rejection,
            });
        };
        self.accept(&proof, &known, reuse, (target, origin, changes), moment).await?;
        if is_new {
            self.signature_cache.insert(claim, proof);
        }
        Ok(self.caller(known.user, Credential::Device(known.credential), origin.address))
    }

    /// The same caller, whose API key was accepted, with the signature of a device of the same account besides. All rules of signatures hold
    /// for it; but a device that is not known is no one who asks for approval.
    ///
    /// # Errors
    /// 401 for a signature that is not of this request, this key, this account or this time, and for a replay; 429, 503 as for other
    /// signatures.
    pub(super) async fn with_second_proof(
        &self,
        caller: Caller,
        header: &SecretString,
        target: &Target<'_>,
        origin: Origin,
        changes: Changes,
    ) -> Result<Caller, Rejection> {
        let Credential::Key(api_key) = caller.credential() else {
            return Err(Rejection::new(400, "X-Ollama-Auth-Signature belongs beside an API key"));
        };
        let moment = self.clock.moment();
        let claim = Claim::second(header.expose_secret(), &api_key.id, target);
        let prove = || prove_second(header.expose_secret(), &api_key.id, target);
        let (proof, is_new) = self.verified(&claim, prove, moment, origin, caller.actor())?;
        // The signature covers the whole target.
        let reuse = reuse(changes, target, true, target.body_digest()?.is_some())?;
        let known = self.directory.device(&proof.key).filter(|known| known.user.id == caller.user().id);
        let Some(known) = known else {
            let message = "unauthorized: the device that signed X-Ollama-Auth-Signature is not one of this account";
            let event = Event::new(moment.now, caller.actor(), REFUSED, proof.key.fingerprint());
            let event = event.refused(RefusalCode::InvalidSignature).of_account(caller.user());
            self.note_refusal(event, origin, "the device is not one of the account of the API key");
            return Err(Rejection::unauthorized(message).because(RefusalCode::InvalidSignature));
        };
        self.accept(&proof, &known, reuse, (target, origin, changes), moment).await?;
        if is_new {
            self.signature_cache.insert(claim, proof);
        }
        Ok(caller.with_second_proof(known.credential))
    }

    /// A signature that was verified, now or lately, and is of now; and whether it was now.
    ///
    /// # Errors
    /// As [`of_now`] and `prove`.
    fn verified(
        &self,
        claim: &Claim,
        prove: impl FnOnce() -> Result<Proof, Rejection>,
        moment: Moment,
        origin: Origin,
        actor: Actor,
    ) -> Result<(Proof, bool), Rejection> {
        let now = moment.now;
        let freshness = Freshness { now, tolerance: self.tolerance(), not_before: self.started.by_clock_of(moment) };
        let known = self.signature_cache.get(claim);
        let is_new = known.is_none();
        let refused = |code| {
            let actor = actor.clone();
            move |rejection: Rejection| {
                let event = Event::new(now, actor, REFUSED, "(a signature)").refused(code);
                self.note_refusal(event, origin, rejection.message());
                rejection.because(code)
            }
        };
        let proof = known.map_or_else(prove, Ok).map_err(refused(RefusalCode::InvalidSignature))?;
        of_now(proof.ts, freshness).map_err(refused(RefusalCode::SignatureTime))?;
        Ok((proof, is_new))
    }

    /// The largest difference between the time in a signature and ours, in seconds.
    pub(super) fn tolerance(&self) -> i64 {
        i64::try_from(self.config.get().clock_tolerance.as_secs()).unwrap_or(i64::MAX)
    }

    /// Takes note that a verified signature of a device on record is used for a request.
    ///
    /// # Errors
    /// 401 for one that may not be used once more, 429 for too many, 503 when the store does not answer.
    async fn accept(
        &self,
        proof: &Proof,
        known: &Known<Device>,
        reuse: Reuse,
        (target, origin, changes): (&Target<'_>, Origin, Changes),
        moment: Moment,
    ) -> Result<(), Rejection> {
        let Proof { key, challenge, ts } = proof;
        let (address, now, ts, tolerance) = (origin.address, moment.now, *ts, self.tolerance());
        let used = Used { key, account: known.user.id, challenge, ts, address, reuse };
        let too_many = |whose: &str| {
            let message = format!("too many signed requests from {whose}; try again in a minute");
            Err(Rejection::new(429, message).header("retry-after", "60"))
        };
        let mut verdict = self.replay_guard.admit(used, moment, tolerance);
        if verdict == Verdict::First && changes != Changes::Nothing {
            // Another gateway may have accepted it.
            verdict = Box::pin(self.use_once(challenge, address, reuse, tolerance)).await?;
        }
        match verdict {
            Verdict::First | Verdict::Again => {}
            Verdict::Spent => return Err(Rejection::unauthorized("unauthorized: this signature was used already")),
            Verdict::Stolen(first) => {
                self.report_replay(known, target, origin, first, now);
                let message = "unauthorized: this signature was used from another address";
                return Err(Rejection::unauthorized(message).because(RefusalCode::ReplayedSignature));
            }
            Verdict::Forgotten(mark) => return Err(forgotten(mark, now, tolerance)),
            Verdict::TooManyOfDevice => return too_many("this device"),
            Verdict::TooManyOfAccount => return too_many("the devices of this account"),
        }
        let used_at = now.max(ts);
        if changes != Changes::Nothing && !self.replay_guard.is_recorded(key, ts) {
            Box::pin(self.record_use(key, used_at, changes)).await?;
        }
        self.directory.used(Use::Device(key.clone()), used_at);
        Ok(())
    }

    /// Tells the other gateways of a device that asks for approval, so that its link works at each of them.
    ///
    /// # Errors
    /// 401 without a link when too many ask, and when the database does not answer.
    async fn share_pending(&self, key: &PublicKey, address: IpAddr, now: i64) -> Result<(), Rejection> {
        if !self.directory.is_shared() || !self.pending_devices.is_to_be_shared(key, now) {
            return Ok(());
        }
        // Each network is limited already; this limits somebody with many of them.
        if self.shared_requests.check().is_err() {
            self.pending_devices.was_not_shared(key);
            return Err(too_many_new());
        }
        let (what, approved) = (Shared::PendingDevice(key.clone(), address), key.clone());
        // It may have been approved at another gateway just now.
        let shared = self.directory.share(what, move |directory| directory.device(&approved).is_none()).await;
        shared.map(drop).map_err(|error| {
            self.pending_devices.was_not_shared(key);
            if self.log_throttle.allow("requests for approval that could not be saved", now) {
                tracing::warn!(%error, "request for approval could not be saved");
            }
            // 401, so that a client that only asks whether this host has accounts gets its answer.
            let message = "unauthorized: this gateway cannot reach its database, so no device can be approved now";
            Rejection::unauthorized(message).header("retry-after", "10")
        })
    }

    /// Notes in a database that several gateways share that a signature was used for a change, and says whether it was used before.
    ///
    /// # Errors
    /// 503 when the database does not answer: the signature may have been used at another gateway.
    async fn use_once(
        &self,
        challenge: &Challenge,
        address: IpAddr,
        reuse: Reuse,
        tolerance: i64,
    ) -> Result<Verdict, Rejection> {
        let digest: [u8; 32] = Sha256::digest(challenge.as_str()).into();
        // It is acceptable from `tolerance` before its time until `tolerance` after it, by whichever clock.
        let kept = Duration::from_secs(u64::try_from(2 * tolerance).unwrap_or_default() + CLOCK_DIFFERENCE);
        let used = self.directory.use_signature(digest, address, kept).await.map_err(|error| {
            tracing::error!(%error, "use of a signature could not be saved");
            let message = "this gateway cannot reach its database, so nothing can be changed";
            Rejection::new(503, message).header("retry-after", "10")
        })?;
        Ok(used.map_or(Verdict::First, |first| reuse.verdict(first.address == address, first.age, first.address)))
    }

    /// Has the store keep, before a change is made, that the device has used signatures up to that Unix second. So a gateway that starts
    /// does not accept this one again, whatever its clock shows, and however far ahead of it the signature is.
    ///
    /// # Errors
    /// 503 when an account would be changed and the store cannot be written. Models can be changed then: it may be the disk that they fill,
    /// and the one who deletes some of them frees it.
    async fn record_use(&self, key: &PublicKey, at: i64, changes: Changes) -> Result<(), Rejection> {
        match self.directory.record_use(Use::Device(key.clone()), at).await {
            Ok(()) => self.replay_guard.set_recorded(key, at),
            Err(error) => {
                tracing::error!(%error, "use of a device could not be saved");
                if changes == Changes::Account {
                    let message = "the change could not be saved; nothing was changed";
                    return Err(Rejection::new(503, message).header("retry-after", "10"));
                }
            }
        }
        Ok(())
    }

    /// Reports a stolen signature in the log and as a refusal. An account's own device can cause this without end, from two addresses.
    fn report_replay(&self, known: &Known<Device>, target: &Target<'_>, origin: Origin, first: IpAddr, now: i64) {
        let device = known.credential.key.fingerprint();
        if self.log_throttle.allow(&device, now) {
            let (from, path) = (origin.address, &*hide_keys(target.path));
            tracing::warn!(device, %from, first_from = %first, path, "signature replayed from another address");
        }
        let event = Event::new(now, Actor::Gateway, "signature.replayed", device)
            .refused(RefusalCode::ReplayedSignature)
            .of_account(&known.user)
            .with("name", &known.credential.name)
            .with("method", target.method)
            .with("path", target.path)
            .with("first_from", first);
        self.refusals.note(event.from(origin));
    }
}

/// How often a signature is good for such a request; `is_whole` says that it covers all parameters, `names_body` that one of them is the
/// digest of the body.
///
/// # Errors
/// 401 where it must cover them.
fn reuse(changes: Changes, target: &Target<'_>, is_whole: bool, names_body: bool) -> Result<Reuse, Rejection> {
    if names_body && !is_whole {
        let message = format!("unauthorized: the signature does not cover the parameter {}", BodyDigest::PARAMETER);
        return Err(Rejection::unauthorized(message));
    }
    match changes {
        Changes::Nothing => Ok(Reuse::Repeatable),
        Changes::Models if names_body => Ok(Reuse::Once),
        Changes::Models => Ok(Reuse::Together),
        // The parameters say what to change, so the signature must cover them: an attacker in between could replace them.
        Changes::Account if target.other_parameters().is_some() && !is_whole => {
            Err(Rejection::unauthorized("unauthorized: a request that changes something must sign all its parameters"))
        }
        Changes::Account => Ok(Reuse::Once),
    }
}

/// 401 without a link. No 429: a client that only wants to know whether this host has accounts takes the 401 for an answer.
fn too_many_new() -> Rejection {
    let message = "unauthorized: too many new devices from this address ask for approval; try again in 1 s";
    Rejection::unauthorized(message).header("retry-after", "1")
}

/// 401 for a signature from a time whose signatures are not known any more.
fn forgotten(mark: i64, now: i64, tolerance: i64) -> Rejection {
    let ahead = mark.saturating_sub(now);
    let message = "unauthorized: this gateway cannot tell whether the signature was used already; sign it again";
    if ahead <= tolerance {
        return Rejection::unauthorized(message);
    }
    let why = format!("its clock is {ahead} s behind the time at which this device used it last");
    Rejection::unauthorized(format!(
        "unauthorized: this gateway cannot tell whether the signature was used already: {why}. Set the clock of the gateway; \
         if it is right now and was ahead, sign in with a new key"
    ))
}
