//! Device signatures, as the stock client and the desktop app send them.
//!
//! What was signed is tried in two forms (PROTOCOL: measured): the whole target, and the path with `ts` alone where other
//! parameters were not signed. A base path is never signed.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::super::clock::Clock;
use super::super::rejection::Rejection;
use super::super::replays::{Used, Verdict};
use super::super::state::Gateway;
use super::super::store::{Change, Event, Use};
use super::super::target::Target;
use super::signature_cache::Claim;
use super::{Caller, Credential};
use crate::identity::{Challenge, ConnectUrl, PublicKey, VerifyError, verify};

/// A longer time than the world will see, in digits.
const LONGEST_TS: usize = 12;

/// Between two looks at the clock.
const WAIT: Duration = Duration::from_millis(50);

/// A signature that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whose.
    pub key: PublicKey,
    /// What was signed.
    pub challenge: Challenge,
    /// The time in it, in Unix seconds.
    pub ts: i64,
}

/// When a signature is of now.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// Our time, in Unix seconds.
    pub now: i64,
    /// How far from it is still now, in seconds.
    pub tolerance: i64,
    /// Nothing from before this is taken, in Unix seconds: what was seen then is forgotten.
    pub not_before: i64,
}

/// Verifies a header against a target, at whatever time.
///
/// # Errors
/// 400 for a `ts` that is missing or malformed, 401 for everything that does not prove who asks.
pub fn prove(header: &str, target: &Target<'_>) -> Result<Proof, Rejection> {
    let text = target.ts()?.ok_or_else(|| Rejection::new(400, "a signed request has the parameter ts"))?;
    let digits = !text.is_empty() && text.len() <= LONGEST_TS && text.bytes().all(|byte| byte.is_ascii_digit());
    let ts = text.parse::<i64>().ok().filter(|_| digits);
    let ts = ts.ok_or_else(|| Rejection::new(400, "the parameter ts is not a time in Unix seconds"))?;

    let mut challenge = whole(target);
    let mut checked = verify(header, &challenge);
    if checked == Err(VerifyError::WrongSignature) && target.other_parameters().is_some() {
        challenge = Challenge::of_request(target.method, &format!("{}?ts={text}", target.path));
        checked = verify(header, &challenge);
    }
    let key = checked.map_err(|error| Rejection::unauthorized(format!("unauthorized: {error}")))?;
    Ok(Proof { key, challenge, ts })
}

/// Makes sure that a signature is of now.
///
/// # Errors
/// 401.
pub fn of_now(ts: i64, freshness: Freshness) -> Result<(), Rejection> {
    let Freshness { now, tolerance, not_before } = freshness;
    let off = ts.saturating_sub(now);
    if off.abs() > tolerance {
        let direction = if off > 0 { "ahead of" } else { "behind" };
        let message = format!("unauthorized: the request's time is {} s {direction} this gateway's clock", off.abs());
        return Err(Rejection::unauthorized(message));
    }
    if ts < not_before {
        return Err(Rejection::unauthorized(
            "unauthorized: the request was signed before this gateway started; sign it anew",
        ));
    }
    Ok(())
}

/// What is signed when all of it is.
fn whole(target: &Target<'_>) -> Challenge {
    Challenge::of_request(target.method, &format!("{}?{}", target.path, target.query.unwrap_or_default()))
}

/// Whose device signed it.
///
/// # Errors
/// As [`prove`] and [`of_now`]; 401 with a sign-in link for a key that is not known, 403 for one that a person refused, 401 for a replay.
pub async fn identify(
    gateway: &Gateway,
    header: &SecretString,
    target: &Target<'_>,
    address: IpAddr,
    once: bool,
) -> Result<Caller, Rejection> {
    let now = gateway.clock.now();
    let tolerance = i64::try_from(gateway.config().clock_tolerance.as_secs()).unwrap_or(i64::MAX);
    let freshness = Freshness { now, tolerance, not_before: gateway.not_before() };
    let claim = Claim::new(header.expose_secret(), target);
    let known = gateway.signature_cache.get(&claim);
    let is_new = known.is_none();
    let proof = known.map_or_else(|| prove(header.expose_secret(), target), Ok)?;
    of_now(proof.ts, freshness)?;
    let Proof { key, challenge, ts } = proof.clone();
    // What is to be changed stands in the parameters too: nobody on the way may put in others.
    if once && target.other_parameters().is_some() && challenge != whole(target) {
        let message = "unauthorized: the signature of a request that changes something covers all its parameters";
        return Err(Rejection::unauthorized(message));
    }

    let Some(known) = gateway.directory.device(&key) else {
        if gateway.pending_devices.add(&key, address, now) {
            return Err(Rejection::new(403, "this device was refused"));
        }
        // Approved in this very moment: an entry that stays would let whoever has the link approve it once more, for another account.
        if gateway.directory.device(&key).is_some() {
            gateway.pending_devices.settle(&key);
        }
        tracing::debug!(device = key.fingerprint(), %address, "unknown device asked for approval");
        let link = ConnectUrl::new(&gateway.public_url(), &format!("device at {address}"), &key);
        return Err(Rejection::unauthorized("unauthorized").with_signin_url(link.to_string()));
    };
    let used = Used { key: &key, challenge: &challenge, ts, address, once };
    match gateway.replays.admit(used, now, tolerance) {
        Verdict::First | Verdict::Again => {}
        Verdict::Spent => return Err(Rejection::unauthorized("unauthorized: this signature was used already")),
        Verdict::Stolen(first) => {
            Box::pin(report(gateway, &key, target, address, first, now)).await;
            return Err(Rejection::unauthorized("unauthorized: this signature was used from another address"));
        }
        Verdict::Forgotten => {
            let message = "unauthorized: this gateway's clock was set back, and it cannot tell whether the signature was used already";
            return Err(Rejection::unauthorized(message));
        }
        Verdict::TooMany => {
            let message = "this device makes more signatures than can be remembered";
            return Err(Rejection::new(429, message).header("retry-after", "60"));
        }
    }
    if is_new {
        gateway.signature_cache.insert(claim, proof);
    }
    if once {
        let ahead = u64::try_from(ts.saturating_sub(now)).unwrap_or_default();
        let waited = tokio::time::timeout(Duration::from_secs(ahead + 1), wait_until(&gateway.clock, ts)).await;
        // It would wait for as long as the clock was set back by.
        if waited.is_err() {
            let message =
                "unauthorized: this gateway's clock was set back while the request waited for its time; sign it anew";
            return Err(Rejection::unauthorized(message));
        }
    }
    gateway.directory.used(Use::Device(key), now);
    Ok(Caller { user: known.user, credential: Credential::Device(known.credential) })
}

/// What changes something is done when its time has come, however far ahead the clock is that it was signed credential: a gateway that starts
/// takes nothing from before its start, so that nothing which was used here is good again there.
async fn wait_until(clock: &Clock, ts: i64) {
    while ts > clock.now() {
        tokio::time::sleep(WAIT).await;
    }
}

/// Says that somebody has got hold of a signature, in the log and in the audit trail: as often as it can be without letting anybody fill the
/// disk. An account's own device can do it for ever, from two addresses.
async fn report(gateway: &Gateway, key: &PublicKey, target: &Target<'_>, from: IpAddr, first: IpAddr, now: i64) {
    let device = key.fingerprint();
    if !gateway.log_throttle.allow(&device, now) {
        return;
    }
    tracing::warn!(device, %from, first_from = %first, path = target.path, "a signature was replayed from another address");
    let event = Event {
        at: now,
        actor: "gateway".to_owned(),
        action: "signature.replayed",
        subject: device,
        detail: format!("{} {}, first used from {first}", target.method, target.path),
        address: from.to_string(),
    };
    if let Err(error) = gateway.directory.commit(Change::Note, event).await {
        tracing::error!(%error, "the replay could not be recorded");
    }
}

#[cfg(test)]
mod tests;
