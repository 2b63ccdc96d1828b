//! A sign-in at a provider that is under way. All of it is in a cookie of the browser, encrypted, so that no gateway keeps anything for
//! browsers that may never come back, and each can finish what another has begun.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::gateway::authn::random_token;
use crate::gateway::secret::Secret;

/// How long a person has for it, in seconds.
pub const MAX_AGE: i64 = 600;
/// The longest cookie that is read, in bytes.
const LONGEST: usize = 3000;
/// Of the nonce of the cipher, in bytes.
const NONCE: usize = 24;

/// What the sign-in is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A new session.
    SignIn,
    /// To prove again who the person of the session is.
    Again,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The name of the provider.
    pub provider: String,
    /// Its issuer, and the client id there: the configuration may change meanwhile.
    pub issuer: String,
    /// See [`issuer`](Self::issuer).
    pub client_id: String,
    /// The browser has to bring it back.
    pub state: String,
    /// The ID token has to hold it.
    pub nonce: String,
    /// Of PKCE: the token endpoint has to be told it.
    pub verifier: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The path of the page that it leads to.
    pub path: String,
    /// The SHA-256 of the cookie of the session that the browser had. The browser sends that cookie not when another site leads it here.
    pub session: Option<[u8; 32]>,
    /// When it began, in Unix seconds.
    pub since: i64,
}

impl Transaction {
    /// With new random values.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn new(provider: &str, issuer: &str, client_id: &str, now: i64) -> Result<Self, getrandom::Error> {
        Ok(Self {
            provider: provider.to_owned(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            state: random_token()?,
            nonce: random_token()?,
            verifier: random_token()?,
            purpose: Purpose::SignIn,
            path: String::new(),
            session: None,
            since: now,
        })
    }

    /// Whether it can be finished at `now`.
    pub fn is_current(&self, now: i64) -> bool {
        (0..=MAX_AGE).contains(&now.saturating_sub(self.since))
    }
}

/// Encrypts what browsers keep.
pub struct TransactionCipher(XChaCha20Poly1305);

impl TransactionCipher {
    /// Those of gateways with the same secret read each other's.
    pub fn new(secret: &Secret) -> Self {
        Self(XChaCha20Poly1305::new((&*secret.key("sign-in transactions")).into()))
    }

    /// The value of a cookie of that name.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn seal(&self, name: &str, transaction: &Transaction) -> Result<String, getrandom::Error> {
        let plain = Zeroizing::new(serde_json::to_vec(transaction).unwrap_or_default());
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        let payload = Payload { msg: &plain, aad: name.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        Ok(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// What a cookie of that name holds; `None` if no gateway with this secret has made it, or it is too old.
    pub fn open(&self, name: &str, value: &str, now: i64) -> Option<Transaction> {
        let bytes = (value.len() <= LONGEST).then(|| URL_SAFE_NO_PAD.decode(value).ok())??;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        let plain = Zeroizing::new(self.0.decrypt(&XNonce::from(*nonce), payload).ok()?);
        let transaction: Transaction = serde_json::from_slice(&plain).ok()?;
        transaction.is_current(now).then_some(transaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_under_its_name_by_gateways_with_the_secret_for_ten_minutes() {
        let secret = Secret::random().unwrap();
        let (one, other) = (TransactionCipher::new(&secret), TransactionCipher::new(&secret));
        let transaction = Transaction::new("company", "https://a.example", "client", 1000).unwrap();
        let value = one.seal("n", &transaction).unwrap();
        assert_ne!(value, one.seal("n", &transaction).unwrap());
        assert!(!value.contains(&transaction.state) && value.len() < LONGEST);
        assert_eq!(other.open("n", &value, 1600), Some(transaction.clone()));
        assert_eq!((other.open("n", &value, 1601), other.open("n", &value, 999)), (None, None));
        let stranger = TransactionCipher::new(&Secret::random().unwrap());
        assert_eq!((stranger.open("n", &value, 1000), one.open("m", &value, 1000)), (None, None));
        for at in [0, 30, 40, value.len() - 1] {
            let mut changed = value.clone();
            let instead = if &changed[at..=at] == "A" { "B" } else { "A" };
            changed.replace_range(at..=at, instead);
            assert_eq!(one.open("n", &changed, 1000), None, "{at}");
        }
        for wrong in ["", "A", &value[..20], &"A".repeat(5000)] {
            assert_eq!(one.open("n", wrong, 1000), None);
        }
        let others = Transaction::new("company", "https://a.example", "client", 1000).unwrap();
        assert!(others.state != transaction.state && others.nonce != transaction.nonce && others.verifier.len() == 43);
    }
}
