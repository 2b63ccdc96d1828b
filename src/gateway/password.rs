//! Passwords of local accounts: argon2id, in PHC strings.

use std::fmt;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const MIN_LENGTH: usize = 8;
/// Longer ones are refused: hashing megabytes for a caller would be expensive.
const MAX_LENGTH: usize = 1024;

/// The stored form of a password: a PHC string. It cannot be printed.
#[derive(Clone)]
pub struct PasswordHash(SecretString);

/// Why a password is not taken.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Too short.
    #[error("a password must have at least {MIN_LENGTH} characters")]
    Short,
    /// Too long.
    #[error("a password must have at most {MAX_LENGTH} bytes")]
    Long,
    /// No memory or no random bytes.
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

impl PasswordHash {
    /// Hashes a password. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn of(password: &SecretString) -> Result<Self, PasswordError> {
        let text = password.expose_secret();
        if text.chars().count() < MIN_LENGTH {
            return Err(PasswordError::Short);
        }
        if text.len() > MAX_LENGTH {
            return Err(PasswordError::Long);
        }
        let hash: Phc =
            hasher()?.hash_password(text.as_bytes()).map_err(|error| PasswordError::Hash(error.to_string()))?;
        Ok(Self(SecretString::from(hash.to_string())))
    }

    /// A hash that was read from the store.
    pub fn kept(text: SecretString) -> Self {
        Self(text)
    }

    /// Whether it is the hash of `password`. Takes as long as making one.
    pub fn fits(&self, password: &SecretString) -> bool {
        let password = password.expose_secret();
        let (Ok(hasher), Ok(hash)) = (hasher(), Phc::new(self.0.expose_secret())) else { return false };
        password.len() <= MAX_LENGTH && hasher.verify_password(password.as_bytes(), &hash).is_ok()
    }

    /// The PHC string, for the store.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(****)")
    }
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| PasswordError::Hash(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_only_its_own_hash() {
        let hash = PasswordHash::of(&"correct horse".into()).unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hash.fits(&"correct horse".into()) && !hash.fits(&"correct horsf".into()));
        assert!(!PasswordHash::kept("nonsense".into()).fits(&"correct horse".into()));
        assert_eq!(format!("{hash:?}"), "PasswordHash(****)");
    }

    #[test]
    fn password_lengths_have_limits() {
        assert!(matches!(PasswordHash::of(&"1234567".into()), Err(PasswordError::Short)));
        assert!(matches!(PasswordHash::of(&"x".repeat(1025).into()), Err(PasswordError::Long)));
        assert!(PasswordHash::of(&"ä".repeat(8).into()).is_ok());
    }
}
