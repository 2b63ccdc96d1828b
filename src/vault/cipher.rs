//! The cipher of the encrypted file: a passphrase becomes a key (Argon2id), the key seals the content
//! (XChaCha20-Poly1305) together with the header that says how.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub(super) const VERSION: u64 = 1;
const ALGORITHM: &str = "argon2id";
const CIPHER: &str = "xchacha20poly1305";
const SALT_LENGTH: usize = 16;
const KEY_LENGTH: usize = 32;
const CHECK_LENGTH: usize = 16;
const TAG_LENGTH: usize = 16;
/// The content is padded to a multiple of this many bytes, so that its length does not tell the number of entries.
const PAD: usize = 4096;

/// Argon2id's cost: RFC 9106, section 4, second recommended option (64 MiB, 3 passes, 4 lanes).
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// What a file may ask for. Less would be a weakened file, more a way to exhaust the machine.
const MEMORY_KIB_RANGE: std::ops::RangeInclusive<u32> = 8 * 1024..=1024 * 1024;
const PASSES_RANGE: std::ops::RangeInclusive<u32> = 1..=16;
const LANES_RANGE: std::ops::RangeInclusive<u32> = 1..=16;

/// How the key follows from the passphrase. Salt and check are base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kdf {
    algorithm: String,
    m_kib: u32,
    t: u32,
    p: u32,
    salt: String,
    /// Follows from the passphrase beside the key: tells a wrong passphrase from damaged content.
    check: String,
}

/// Everything in the file but the content; all of it is authenticated with the content.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Header {
    version: u64,
    kdf: Kdf,
    cipher: String,
    nonce: String,
}

/// The encrypted file as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct EncryptedDocument {
    #[serde(flatten)]
    pub(super) header: Header,
    ciphertext: String,
}

/// A key and the parameters it was derived with.
pub(super) struct FileKey {
    pub(super) kdf: Kdf,
    bytes: Zeroizing<[u8; KEY_LENGTH]>,
}

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub(super) enum CipherError {
    #[error("wrong passphrase")]
    WrongPassphrase,
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Internal(String),
}

impl FileKey {
    /// Derives a key with a fresh salt and today's cost.
    pub(super) fn create(passphrase: &SecretString) -> Result<Self, CipherError> {
        let mut salt = [0_u8; SALT_LENGTH];
        getrandom::fill(&mut salt).map_err(internal)?;
        let kdf = Kdf {
            algorithm: ALGORITHM.to_owned(),
            m_kib: MEMORY_KIB,
            t: PASSES,
            p: LANES,
            salt: BASE64.encode(salt),
            check: String::new(),
        };
        let (bytes, check) = derive(&kdf, &salt, passphrase)?;
        let check = BASE64.encode(check);
        Ok(Self { kdf: Kdf { check, ..kdf }, bytes })
    }

    /// Derives the key of an existing file and finds out whether the passphrase is the right one.
    pub(super) fn unlock(kdf: &Kdf, passphrase: &SecretString) -> Result<Self, CipherError> {
        let in_bounds = kdf.algorithm == ALGORITHM
            && MEMORY_KIB_RANGE.contains(&kdf.m_kib)
            && PASSES_RANGE.contains(&kdf.t)
            && LANES_RANGE.contains(&kdf.p);
        if !in_bounds {
            return Err(damaged("its key derivation parameters are out of range"));
        }
        let salt = decode::<SALT_LENGTH>(&kdf.salt, "salt")?;
        let expected = decode::<CHECK_LENGTH>(&kdf.check, "check")?;
        let (bytes, check) = derive(kdf, &salt, passphrase)?;
        if !bool::from(check.ct_eq(&expected)) {
            return Err(CipherError::WrongPassphrase);
        }
        Ok(Self { kdf: kdf.clone(), bytes })
    }

    /// The key and its parameters as bytes, for [`FileKey::from_kept`].
    pub(super) fn to_kept(&self) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        let kdf = serde_json::to_vec(&self.kdf).map_err(internal)?;
        let mut kept = Zeroizing::new(Vec::with_capacity(KEY_LENGTH + kdf.len()));
        kept.extend_from_slice(&*self.bytes);
        kept.extend_from_slice(&kdf);
        Ok(kept)
    }

    /// A key from the bytes of [`FileKey::to_kept`], if it belongs to these parameters.
    pub(super) fn from_kept(kept: &[u8], kdf: &Kdf) -> Option<Self> {
        let (key, of) = kept.split_first_chunk::<KEY_LENGTH>()?;
        let of: Kdf = serde_json::from_slice(of).ok()?;
        (of == *kdf).then(|| Self { kdf: of, bytes: Zeroizing::new(*key) })
    }

    /// Encrypts JSON text under a fresh nonce. The buffer is consumed and holds no secret afterwards.
    pub(super) fn encrypt(&self, mut content: Zeroizing<Vec<u8>>) -> Result<EncryptedDocument, CipherError> {
        let padded = content.len().next_multiple_of(PAD);
        if content.capacity() < padded + TAG_LENGTH {
            // Growing in place would leave the old buffer behind unwiped.
            let mut roomy = Zeroizing::new(Vec::with_capacity(padded + TAG_LENGTH));
            roomy.extend_from_slice(&content);
            content = roomy;
        }
        content.resize(padded, b' ');
        let mut nonce = [0_u8; 24];
        getrandom::fill(&mut nonce).map_err(internal)?;
        let header =
            Header { version: VERSION, kdf: self.kdf.clone(), cipher: CIPHER.to_owned(), nonce: BASE64.encode(nonce) };
        self.cipher()
            .encrypt_in_place(&XNonce::from(nonce), &header.authenticated()?, &mut *content)
            .map_err(|_| CipherError::Internal("the content is too long to encrypt".to_owned()))?;
        Ok(EncryptedDocument { header, ciphertext: BASE64.encode(&*content) })
    }

    /// Decrypts what [`FileKey::encrypt`] made; padding remains, as JSON white space.
    pub(super) fn decrypt(&self, document: &EncryptedDocument) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        if document.header.cipher != CIPHER {
            return Err(damaged("its cipher is unknown"));
        }
        let nonce = decode::<24>(&document.header.nonce, "nonce")?;
        let content = BASE64.decode(&document.ciphertext).map_err(|_| damaged("its ciphertext is not base64"))?;
        let mut content = Zeroizing::new(content);
        let header = document.header.authenticated()?;
        self.cipher()
            .decrypt_in_place(&XNonce::from(nonce), &header, &mut *content)
            .map_err(|_| damaged("its content fails authentication"))?;
        Ok(content)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

impl EncryptedDocument {
    pub(super) fn kdf(&self) -> &Kdf {
        &self.header.kdf
    }
}

impl Header {
    /// The associated data: the header as compact JSON in the order of its fields, however the file lays it out.
    fn authenticated(&self) -> Result<Vec<u8>, CipherError> {
        serde_json::to_vec(self).map_err(internal)
    }
}

type KeyAndCheck = (Zeroizing<[u8; KEY_LENGTH]>, [u8; CHECK_LENGTH]);

fn derive(kdf: &Kdf, salt: &[u8], passphrase: &SecretString) -> Result<KeyAndCheck, CipherError> {
    // One output for both: neither half of it says anything about the other.
    let mut output = Zeroizing::new([0_u8; KEY_LENGTH + CHECK_LENGTH]);
    let params = Params::new(kdf.m_kib, kdf.t, kdf.p, Some(output.len())).map_err(internal)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose_secret().as_bytes(), salt, &mut *output)
        .map_err(internal)?;
    let mut key = Zeroizing::new([0_u8; KEY_LENGTH]);
    let mut check = [0_u8; CHECK_LENGTH];
    key.copy_from_slice(&output[..KEY_LENGTH]);
    check.copy_from_slice(&output[KEY_LENGTH..]);
    Ok((key, check))
}

fn decode<const LENGTH: usize>(text: &str, what: &str) -> Result<[u8; LENGTH], CipherError> {
    BASE64
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| damaged(&format!("its {what} is not {LENGTH} bytes of base64")))
}

fn damaged(reason: &str) -> CipherError {
    CipherError::Damaged(reason.to_owned())
}

fn internal(error: impl std::fmt::Display) -> CipherError {
    CipherError::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(content: &[u8]) -> (FileKey, EncryptedDocument) {
        let key = FileKey::create(&"right".into()).unwrap();
        let document = key.encrypt(Zeroizing::new(content.to_vec())).unwrap();
        (key, document)
    }

    #[test]
    fn the_header_is_bound_to_the_content() {
        let (key, document) = document(b"{}");
        assert_eq!(key.decrypt(&document).unwrap().trim_ascii_end(), b"{}");
        // Opened with the very key, so that nothing but the associated data can notice the change.
        let changes: [fn(&mut Header); 6] = [
            |header| header.version = 0,
            |header| header.kdf.m_kib += 1,
            |header| header.kdf.t += 1,
            |header| header.kdf.p += 1,
            |header| header.kdf.salt.push('='),
            |header| header.kdf.check.push('='),
        ];
        for change in changes {
            let mut header = document.header.clone();
            change(&mut header);
            let ciphertext = document.ciphertext.clone();
            let changed = EncryptedDocument { header, ciphertext };
            assert!(matches!(key.decrypt(&changed), Err(CipherError::Damaged(_))));
        }
    }

    #[test]
    fn a_kept_key_opens_its_file_only() {
        let (key, document) = document(b"{}");
        let kept = key.to_kept().unwrap();
        let again = FileKey::from_kept(&kept, document.kdf()).unwrap();
        assert_eq!(again.decrypt(&document).unwrap().trim_ascii_end(), b"{}");
        let mut other = document.kdf().clone();
        other.salt.push('=');
        assert!(FileKey::from_kept(&kept, &other).is_none());
        for length in 0..kept.len() {
            assert!(FileKey::from_kept(&kept[..length], document.kdf()).is_none());
        }
    }

    #[test]
    fn the_length_is_a_multiple_of_the_padding() {
        for length in [1, PAD - 1, PAD, PAD + 1] {
            let (_, document) = document(&vec![b' '; length]);
            let written = BASE64.decode(document.ciphertext).unwrap();
            assert_eq!(written.len(), length.next_multiple_of(PAD) + TAG_LENGTH);
        }
    }

    #[test]
    fn a_wrong_passphrase_is_known_before_anything_is_decrypted() {
        let (_, document) = document(b"{}");
        let wrong = FileKey::unlock(document.kdf(), &"wrong".into());
        assert!(matches!(wrong, Err(CipherError::WrongPassphrase)));
        assert!(FileKey::unlock(document.kdf(), &"right".into()).is_ok());
    }
}
