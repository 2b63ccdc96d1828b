//! Passwords of local accounts: argon2id, in PHC strings.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, PasswordHash as Phc, Salt};
use argon2::password_hash::{self, try_generate_salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use zeroize::Zeroize as _;

/// OWASP's first choice for argon2id: 19 MiB, 2 passes, 1 lane. A stored hash that needs more memory fits nothing.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const LENGTH: usize = 32;
/// What hashes are computed in: as many buffers as were ever in use at once. They are kept because the allocator of glibc would keep what
/// is freed, once for each of its arenas.
static BUFFERS: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());
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
        let hash = fresh(text).map_err(|error| PasswordError::Hash(error.to_string()))?;
        Ok(Self(SecretString::from(hash.to_string())))
    }

    /// A hash that was read from the store.
    pub fn kept(text: SecretString) -> Self {
        Self(text)
    }

    /// Whether it is the hash of `password`. Takes as long as making one.
    pub fn fits(&self, password: &SecretString) -> bool {
        let password = password.expose_secret();
        let Ok(kept) = Phc::new(self.0.expose_secret()) else { return false };
        let (Ok(params), Some(salt)) = (Params::try_from(&kept), kept.salt) else { return false };
        // Outputs are compared in constant time.
        password.len() <= MAX_LENGTH && hash(password, params, salt).is_ok_and(|made| made == kept)
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

fn fresh(password: &str) -> Result<Phc, password_hash::Error> {
    let salt = Salt::new(&try_generate_salt()?)?;
    hash(password, Params::new(MEMORY_KIB, PASSES, LANES, Some(LENGTH))?, salt)
}

fn hash(password: &str, params: Params, salt: Salt) -> Result<Phc, password_hash::Error> {
    let buffers = || BUFFERS.lock().unwrap_or_else(PoisonError::into_inner);
    let buffer = buffers().pop();
    let mut buffer = buffer.unwrap_or_else(|| vec![Block::new(); MEMORY_KIB as usize]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; LENGTH];
    let done = argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut output, buffer.as_mut_slice());
    buffer.iter_mut().zeroize();
    buffers().push(buffer);
    done?;
    Ok(Phc {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into()?,
        salt: Some(salt),
        hash: Some(Output::new(&output)?),
    })
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

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
    fn hashes_of_before_and_of_other_programs_fit() {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let old: Phc = argon2.hash_password(b"correct horse").unwrap();
        let kept = PasswordHash::kept(old.to_string().into());
        assert!(kept.fits(&"correct horse".into()) && !kept.fits(&"correct horsf".into()));
        let new = PasswordHash::of(&"correct horse".into()).unwrap();
        argon2.verify_password(b"correct horse", new.expose()).unwrap();
        let more = old.to_string().replace("m=19456", "m=4294967295");
        assert!(!PasswordHash::kept(more.into()).fits(&"correct horse".into()));
    }

    #[test]
    fn password_lengths_have_limits() {
        assert!(matches!(PasswordHash::of(&"1234567".into()), Err(PasswordError::Short)));
        assert!(matches!(PasswordHash::of(&"x".repeat(1025).into()), Err(PasswordError::Long)));
        assert!(PasswordHash::of(&"ä".repeat(8).into()).is_ok());
    }
}
