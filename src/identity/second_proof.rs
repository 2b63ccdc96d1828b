//! The second proof: a device's signature beside an API key, in a header of its own.
//!
//! The header is `TS:<base64 wire blob>:<base64 signature>` with the time in Unix seconds. What is signed names the API key by its id, the
//! time, the method and the target, and begins with a text of its own: so it is good for this key alone, and neither as an
//! `Authorization`, nor is an `Authorization` good here.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use super::challenge::{Challenge, VerifyError, verify};
use super::key::DeviceKey;
use super::public::PublicKey;

/// A longer time than the world will see, in digits.
const LONGEST_TS: usize = 12;

/// The value of the header. It is a secret, as an [`Authorization`](super::Authorization) is.
pub struct SecondProof(SecretString);

impl SecondProof {
    /// The name of the header.
    pub const HEADER: &'static str = "x-ollama-auth-signature";

    /// Signs a request that is sent with the API key of that id. `target` is path and query as they are sent, without the base path.
    pub fn new(device: &DeviceKey, key_id: &str, ts: i64, method: &str, target: &str) -> Self {
        let signed = device.authorize(&Challenge::second_proof(key_id, ts, method, target));
        Self(SecretString::from(format!("{ts}:{}", signed.expose())))
    }

    /// The header's value.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Checks the value of the header for a request, at whatever time: whose it is, what was signed, and the time in it.
    ///
    /// # Errors
    /// [`VerifyError`] for everything else than what [`new`](Self::new) makes.
    pub fn verify(
        value: &str,
        key_id: &str,
        method: &str,
        target: &str,
    ) -> Result<(PublicKey, Challenge, i64), VerifyError> {
        let (text, signature) = value.split_once(':').ok_or(VerifyError::NotASignature)?;
        let ts = text.parse::<i64>().ok().filter(|ts| *ts >= 0 && text.len() <= LONGEST_TS && ts.to_string() == text);
        // A scheme in front is not for this header.
        let ts = ts.filter(|_| !signature.contains(' ')).ok_or(VerifyError::NotASignature)?;
        let challenge = Challenge::second_proof(key_id, ts, method, target);
        Ok((verify(signature, &challenge)?, challenge, ts))
    }
}

impl fmt::Debug for SecondProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecondProof(****)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY_ID: &str = "key_4ZtT5kQGzNcGqYtVdYfG";
    const TS: i64 = 1_795_210_715;

    fn device() -> DeviceKey {
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/it/fixtures/vectors/signing.json")).unwrap();
        DeviceKey::from_openssh(file["key"]["private_key_openssh"].as_str().unwrap(), None).unwrap()
    }

    /// The example of `docs/explanation/signatures.md`.
    #[test]
    fn the_documented_example_is_what_is_signed() {
        let proof = SecondProof::new(&device(), KEY_ID, TS, "GET", "/api/user/keys?limit=5");
        let challenge = Challenge::second_proof(KEY_ID, TS, "GET", "/api/user/keys?limit=5");
        assert_eq!(
            challenge.as_str(),
            "ollama-auth second proof v1\nkey_4ZtT5kQGzNcGqYtVdYfG\n1795210715\nGET\n/api/user/keys?limit=5"
        );
        assert_eq!(challenge.target(), "/api/user/keys?limit=5");
        let page = include_str!("../../docs/explanation/signatures.md");
        assert!(page.contains(proof.expose()), "{}", proof.expose());
        assert!(page.contains(challenge.as_str()));
    }

    #[test]
    fn it_is_good_for_one_request_with_one_key() {
        let proof = SecondProof::new(&device(), KEY_ID, TS, "POST", "/api/chat");
        let verify = |value: &str| SecondProof::verify(value, KEY_ID, "POST", "/api/chat");
        let (key, _, ts) = verify(proof.expose()).unwrap();
        assert_eq!((&key, ts), (device().public(), TS));
        for (id, method, target) in [
            ("key_4ZtT5kQGzNcGqYtVdYfH", "POST", "/api/chat"),
            (KEY_ID, "GET", "/api/chat"),
            (KEY_ID, "POST", "/api/generate"),
            (KEY_ID, "POST", "/api/chat?a=1"),
        ] {
            let refused = SecondProof::verify(proof.expose(), id, method, target);
            assert_eq!(refused, Err(VerifyError::WrongSignature), "{id} {method} {target}");
        }
        let (_, rest) = proof.expose().split_once(':').unwrap();
        assert_eq!(verify(&format!("{}:{rest}", TS + 1)), Err(VerifyError::WrongSignature));
        for text in ["", "0x5", "+1795210715", "01795210715", "-1", "1795210715.0", "1795210715000"] {
            assert_eq!(verify(&format!("{text}:{rest}")), Err(VerifyError::NotASignature), "{text}");
        }
        assert_eq!(verify(&format!("{TS}:Bearer {rest}")), Err(VerifyError::NotASignature));
        assert_eq!(verify(&TS.to_string()), Err(VerifyError::NotASignature));
        assert!(verify(rest).is_err());
    }

    #[test]
    fn neither_header_is_good_as_the_other() {
        let proof = SecondProof::new(&device(), KEY_ID, TS, "POST", "/api/me");
        let (_, rest) = proof.expose().split_once(':').unwrap();
        let challenge = Challenge::new("POST", "/api/me", TS);
        assert_eq!(verify(rest, &challenge), Err(VerifyError::WrongSignature));
        assert!(verify(proof.expose(), &challenge).is_err());
        let authorization = device().authorize(&challenge);
        for target in ["/api/me", "/api/me?ts=1795210715"] {
            let value = format!("{TS}:{}", authorization.expose());
            assert_eq!(SecondProof::verify(&value, KEY_ID, "POST", target), Err(VerifyError::WrongSignature));
        }
        assert_eq!(format!("{proof:?}"), "SecondProof(****)");
    }
}
