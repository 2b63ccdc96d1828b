//! The local token: a word that programs have to send, and that is not forwarded.

use axum::http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// A shorter token could be guessed: nothing slows down attempts from the same machine.
const MIN_LENGTH: usize = 16;
/// The longest token, which has to fit in a header.
const MAX_LENGTH: usize = 4096;

/// A text is not a valid token. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token must be one word of {MIN_LENGTH} to {MAX_LENGTH} printable ASCII characters")]
pub struct InvalidToken;

/// The hash of a token: hashes have equal lengths, and the token itself is not stored.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Takes a text, with the space around it cut off.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn new(text: &SecretString) -> Result<Self, InvalidToken> {
        let word = text.expose_secret().trim();
        let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(Sha256::digest(word).into())) } else { Err(InvalidToken) }
    }

    /// Whether a request carries it, as `Authorization: Bearer` or as `x-api-key`.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let bearers = headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| {
            let (scheme, word) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(word)
        });
        let keys = headers.get_all("x-api-key").iter().map(axum::http::HeaderValue::as_bytes);
        bearers.chain(keys).any(|word| Sha256::digest(word.trim_ascii()).as_slice().ct_eq(&self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_token_is_one_long_word() {
        let made = |text: &str| Token::new(&SecretString::from(text)).is_ok();
        assert!(made("0123456789abcdef") && made(" 0123456789abcdef\n"));
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcdé\u{e9}", &"x".repeat(MAX_LENGTH + 1)] {
            assert!(!made(bad), "{bad}");
        }
    }

    #[test]
    fn a_token_is_accepted_in_either_header_and_only_whole() {
        let token = Token::new(&SecretString::from("0123456789abcdef")).unwrap();
        let found = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            token.is_in(&headers)
        };
        assert!(
            found("authorization", "Bearer 0123456789abcdef") && found("authorization", "bearer  0123456789abcdef")
        );
        assert!(found("x-api-key", "0123456789abcdef"));
        for (name, value) in [
            ("authorization", "0123456789abcdef"),
            ("authorization", "Basic 0123456789abcdef"),
            ("authorization", "Bearer 0123456789abcde"),
            ("authorization", "Bearer 0123456789abcdef0"),
            ("authorization", "Bearer"),
            ("x-api-key", "0123456789ABCDEF"),
            ("x-api-key", ""),
            ("cookie", "0123456789abcdef"),
        ] {
            assert!(!found(name, value), "{name}: {value}");
        }
    }
}
