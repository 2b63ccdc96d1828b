//! The secret that forms, cookies and the setup link are made with. Gateways on one database have the same one, so that each accepts what
//! another has made.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// In bytes, of what a file holds.
const SHORTEST: usize = 32;

/// See the module.
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// A random one.
    ///
    /// # Errors
    /// When the operating system gives no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// That of a file; spaces and line ends around it do not count. `None` if it is shorter than 32 bytes.
    pub fn of_file(content: &[u8]) -> Option<Self> {
        let content = content.trim_ascii();
        (content.len() >= SHORTEST).then(|| Self(Zeroizing::new(Sha256::digest(content).into())))
    }

    /// A key for one purpose. Those of different purposes tell nothing about each other.
    pub fn key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = mac(&self.0);
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }
}

/// An HMAC under a key of 32 bytes.
pub fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    // A key of the block's size or less is taken as it is: 32 bytes into 64.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    Hmac::<Sha256>::new((&*block).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_give_equal_keys_and_other_purposes_other_ones() {
        let of = |content: &str| Secret::of_file(content.as_bytes());
        let long = "x".repeat(32);
        let (one, other) = (of(&long).unwrap(), of(&format!(" {long}\n")).unwrap());
        assert_eq!(one.key("a"), other.key("a"));
        assert_ne!(one.key("a"), one.key("b"));
        assert_ne!(one.key("a"), of(&"y".repeat(32)).unwrap().key("a"));
        assert_ne!(Secret::random().unwrap().key("a"), Secret::random().unwrap().key("a"));
        assert!(of(&"x".repeat(31)).is_none() && of(&" ".repeat(40)).is_none());
    }
}
