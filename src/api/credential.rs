//! What a request is authenticated with. A credential is handed to one `Session`, which is bound to one origin.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::workload_token::WorkloadToken;
use crate::identity::DeviceKey;
use crate::keyspec::{ApiKey, KeyForm};

/// The credential of one session. `Debug` shows its kind only.
#[derive(Clone, Default)]
pub enum Credential {
    /// Requests go out unauthenticated.
    #[default]
    None,
    /// A bearer token: `Authorization: Bearer <key>`.
    ApiKey(SecretString),
    /// An Ed25519 key that signs each request.
    Device(Arc<DeviceKey>),
    /// A OIDC token, which is renewed before it ends.
    Workload(Arc<WorkloadToken>),
}

impl Credential {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "Credential::None",
            Self::ApiKey(_) => "Credential::ApiKey(****)",
            Self::Device(_) => "Credential::Device(****)",
            Self::Workload(_) => "Credential::Workload(****)",
        })
    }
}

/// Whether a key has the shape that ollama.com gives its own: 32 lower-case hex digits, a dot, 24 characters of
/// `[A-Za-z0-9_-]`. Two secret scanners agree on it, but it is not documented: good for a warning or for caution, never
/// for refusing a key.
pub fn looks_like_ollama_com_key(key: &SecretString) -> bool {
    KeyForm::of(key.expose_secret()) == KeyForm::OllamaCom
}

/// Whether a text is an API key, as far as can be seen: a gateway's, also with a typing error in it, or one of ollama.com.
pub fn looks_like_key(text: &str) -> bool {
    /// No name of somebody who calls a key after its form is that long.
    const LIKE_A_KEY: usize = 30;
    let ours = text.starts_with(ApiKey::PREFIX) && text.len() >= LIKE_A_KEY && !text.contains(char::is_whitespace);
    ours || looks_like_ollama_com_key(&SecretString::from(text))
}

/// Whether a text contains something that looks like an API key: in quotes, behind `KEY=`, at the end of a sentence.
pub fn holds_key(text: &str) -> bool {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
    words.map(|word| word.trim_matches('.')).any(looks_like_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_the_shape_of_an_ollama_com_key() {
        let shaped = |s: &str| looks_like_ollama_com_key(&SecretString::from(s));
        assert!(shaped("0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_"));
        assert!(!shaped("0123456789ABCDEF0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_"));
        assert!(!shaped("0123456789abcdef0123456789abcdef.short"));
        assert!(!shaped("olauth_something"));
    }

    #[test]
    fn finds_a_key_in_a_text() {
        let key = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
        for text in [
            format!("use {key}."),
            format!("OLLAMA_API_KEY=\"{key}\" run\nit"),
            format!("{}{}", ApiKey::PREFIX, "x".repeat(30)),
        ] {
            assert!(holds_key(&text), "{text}");
        }
        assert!(!holds_key("what is an olauth_ key, and 0123456789abcdef0123456789abcdef.txt?"));
    }

    #[test]
    fn debug_never_shows_the_key() {
        let shown = format!("{:?}", Credential::ApiKey(SecretString::from("hunter2")));
        assert_eq!(shown, "Credential::ApiKey(****)");
    }
}
