//! Device signatures, as the stock client and the desktop app send them.
//!
//! What was signed is tried in two forms (`docs/explanation/protocol.md`, "Signed requests"): the whole target, and the path with `ts` alone where other
//! parameters were not signed. A base path is never signed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::gateway::rejection::Rejection;
use crate::gateway::target::Target;
use crate::identity::{Challenge, PublicKey, SecondProof, VerifyError, verify};
use crate::keyspec::KeyId;

/// A longer time than the world will see, in digits.
const LONGEST_TS: usize = 12;

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

/// When a signature is fresh.
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
    let text = target.ts()?.ok_or_else(|| Rejection::new(400, "a signed request needs the parameter ts"))?;
    let digits = !text.is_empty() && text.len() <= LONGEST_TS && text.bytes().all(|byte| byte.is_ascii_digit());
    let ts = text.parse::<i64>().ok().filter(|_| digits);
    let ts = ts.ok_or_else(|| Rejection::new(400, "the parameter ts must be a time in Unix seconds"))?;

    let mut challenge = whole(target);
    let mut checked = verify(header, &challenge);
    if checked == Err(VerifyError::WrongSignature) && target.other_parameters().is_some() {
        challenge = Challenge::of_request(target.method, &format!("{}?ts={text}", target.path));
        checked = verify(header, &challenge);
    }
    let key = checked.map_err(|error| Rejection::unauthorized(format!("unauthorized: {error}")))?;
    Ok(Proof { key, challenge, ts })
}

/// Verifies the header of a second proof against a target and the API key with that id, at whatever time.
///
/// # Errors
/// 401 for everything that does not prove it.
pub fn prove_second(header: &str, key_id: &KeyId, target: &Target<'_>) -> Result<Proof, Rejection> {
    let query = target.query.map(|query| format!("?{query}")).unwrap_or_default();
    let sent = format!("{}{query}", target.path);
    let verified = SecondProof::verify(header, key_id.as_str(), target.method, &sent);
    let refused = |error| Rejection::unauthorized(format!("unauthorized: X-Ollama-Auth-Signature: {error}"));
    let (key, challenge, ts) = verified.map_err(refused)?;
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
            "unauthorized: the request was signed before this gateway started; sign it again",
        ));
    }
    Ok(())
}

/// What is signed when all of it is.
pub fn whole(target: &Target<'_>) -> Challenge {
    Challenge::of_request(target.method, &format!("{}?{}", target.path, target.query.unwrap_or_default()))
}

/// The size of the cache. When it is full it is cleared, which costs one verification for each entry.
const MOST: usize = 8192;

/// A header and the request that it came with, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim([u8; 32]);

impl Claim {
    /// Of a request.
    pub fn new(header: &str, target: &Target<'_>) -> Self {
        Self::of(&[header, target.method, target.path, target.query.unwrap_or_default()])
    }

    /// Of a second proof, beside the API key with that id.
    pub fn second(header: &str, key_id: &KeyId, target: &Target<'_>) -> Self {
        let query = target.query.unwrap_or_default();
        Self::of(&["second proof", key_id.as_str(), header, target.method, target.path, query])
    }

    fn of(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        // Each with its length, so that no two requests are written the same.
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

/// Signatures that were verified lately. A client that asks for the same thing again within a second sends the same signature again
/// (measured: its time is in seconds, and Ed25519 is deterministic), and verifying one costs more than all else that is done for a
/// request.
///
/// An entry says that this very header proves that very request, and nothing else: whether its time is now, whose device it is and
/// whether it was used already is asked each time.
#[derive(Debug, Default)]
pub struct SignatureCache(Mutex<HashMap<Claim, Proof>>);

impl SignatureCache {
    /// What was proven by it.
    pub fn get(&self, claim: &Claim) -> Option<Proof> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(claim).cloned()
    }

    /// Keeps what was verified. Only for devices that are known: a stranger's keys are not to fill it.
    pub fn insert(&self, claim: Claim, proof: Proof) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(claim, proof);
    }
}

#[cfg(test)]
mod tests;
