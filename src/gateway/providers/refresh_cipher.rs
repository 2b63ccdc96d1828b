//! Encrypts refresh tokens, which are worth a sign-in at the provider: who reads the database alone can use none of them.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::gateway::secret::Secret;
use crate::gateway::store::{IdentityId, SealedToken};

/// Of the nonce of the cipher, in bytes.
const NONCE: usize = 24;

/// See the module.
pub struct RefreshCipher(XChaCha20Poly1305);

impl RefreshCipher {
    /// With a key of the `secret-file`, which outlives a restart.
    pub fn new(secret: &Secret) -> Self {
        Self(XChaCha20Poly1305::new((&*secret.key("refresh tokens")).into()))
    }

    /// Encrypts the token that a client has for an identity. That of another cannot be put in its place: a provider would refuse it.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn seal(&self, identity: &IdentityId, client: &str, token: &str) -> Result<SealedToken, getrandom::Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        let aad = associated(identity, client);
        let payload = Payload { msg: token.as_bytes(), aad: &aad };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        Ok(SealedToken([&nonce[..], &sealed].concat()))
    }

    /// The token; `None` if it was encrypted with another secret, or for another identity or client.
    pub fn open(&self, identity: &IdentityId, client: &str, token: &SealedToken) -> Option<SecretString> {
        let (nonce, sealed) = token.0.split_first_chunk::<NONCE>()?;
        let aad = associated(identity, client);
        let payload = Payload { msg: sealed, aad: &aad };
        let plain = Zeroizing::new(self.0.decrypt(&XNonce::from(*nonce), payload).ok()?);
        std::str::from_utf8(&plain).ok().map(|text| text.to_owned().into())
    }

    /// Whether both are the same token: providers that do not rotate them give the same again.
    pub fn is_same(token: &SecretString, other: &str) -> bool {
        token.expose_secret() == other
    }
}

fn associated(identity: &IdentityId, client: &str) -> Vec<u8> {
    [identity.as_bytes(), client.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_for_its_identity_with_its_secret_only() {
        let secret = Secret::random().unwrap();
        let cipher = RefreshCipher::new(&secret);
        let (identity, other) = (IdentityId::of("https://a.example", "1"), IdentityId::of("https://a.example", "2"));
        let token = cipher.seal(&identity, "client", "refresh-token").unwrap();
        assert!(!token.0.windows(7).any(|bytes| bytes == b"refresh"));
        let opened = RefreshCipher::new(&secret).open(&identity, "client", &token).unwrap();
        assert_eq!(opened.expose_secret(), "refresh-token");
        assert!(cipher.open(&other, "client", &token).is_none() && cipher.open(&identity, "other", &token).is_none());
        let stranger = RefreshCipher::new(&Secret::random().unwrap());
        assert!(stranger.open(&identity, "client", &token).is_none());
        assert!(cipher.open(&identity, "client", &SealedToken(vec![0; 10])).is_none());
    }
}
