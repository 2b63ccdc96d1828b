//! The public keys of an issuer (RFC 7517), and for which algorithms each is good.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// More are not looked at.
const MOST_KEYS: usize = 100;

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// The keys of an issuer that can be used.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// As it was read: two that are equal hold the same keys.
    text: Vec<u8>,
}

struct Key {
    id: Option<String>,
    /// What the key's own type allows: a token does not choose.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// Reads a set. Keys that are not for signatures, and those of unknown kinds, are left out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(text).map_err(|error| format!("its keys cannot be read: {error}"))?;
        if document.keys.len() > MOST_KEYS {
            return Err(format!("it has {} keys, which is more than {MOST_KEYS}", document.keys.len()));
        }
        let keys: Vec<Key> = document.keys.into_iter().filter_map(Key::read).collect();
        match keys.is_empty() {
            true => Err("it has no key that can be used for signatures".to_owned()),
            false => Ok(Self { keys, text: text.to_vec() }),
        }
    }

    /// Whether both hold the same keys.
    pub fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// Whether a token may be of a key that is not among them: it names one.
    pub fn misses(&self, id: Option<&str>) -> bool {
        id.is_some_and(|id| self.keys.iter().all(|key| key.id.as_deref() != Some(id)))
    }

    /// The keys that a signature with that algorithm and key id can be of. The id is only compared. A token without one can be of the only
    /// key that fits.
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fit = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
        match id {
            Some(id) => fit.filter(|key| key.id.as_deref() == Some(id)).map(|key| &key.key).collect(),
            None => {
                let fit: Vec<_> = fit.map(|key| &key.key).collect();
                if fit.len() == 1 { fit } else { Vec::new() }
            }
        }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        if common.key_operations.as_ref().is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
            return None;
        }
        let of_type: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &RSA,
            AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            // Above all no secrets of HMAC.
            _ => return None,
        };
        let algorithms = match common.key_algorithm {
            None => of_type.to_vec(),
            Some(named) => of_type.iter().copied().filter(|own| KeyAlgorithm::from(*own) == named).collect(),
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then(|| Self { id: jwk.common.key_id, algorithms, key })
    }
}
