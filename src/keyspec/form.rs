//! Whose an API key is, as far as its text tells.

use super::ApiKey;

/// Whose an API key is, by its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// It begins as every key of a gateway does: ollama.com has no use for it.
    Gateway,
    /// It has the shape of ollama.com's own: 32 lower-case hex digits, a dot, 24 characters of `[A-Za-z0-9_-]`.
    OllamaCom,
    /// Neither.
    Unknown,
}

impl KeyForm {
    /// The form of a key, also of one with a typing error in it.
    pub fn of(key: &str) -> Self {
        let is = |text: &str, wanted: &str| text.get(..wanted.len()).is_some_and(|it| it.eq_ignore_ascii_case(wanted));
        let key = key.trim_start();
        // Copied with the name of its scheme, it is still the key.
        let key = if is(key, "bearer ") { key["bearer ".len()..].trim_start() } else { key };
        if is(key, ApiKey::PREFIX) {
            return Self::Gateway;
        }
        let Some((id, secret)) = key.split_once('.') else { return Self::Unknown };
        let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if is_id && secret.len() == 24 && secret.bytes().all(is_digit) { Self::OllamaCom } else { Self::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_key_is_recognised_however_it_was_copied() {
        for key in ["olauth_x", "OLAUTH_x", " olauth_x", "Bearer olauth_x", "bearer  olauth_x"] {
            assert_eq!(KeyForm::of(key), KeyForm::Gateway, "{key:?}");
        }
        for key in ["", "olaut", "sk-olauth_x", "Bearerolauth_x", "\u{e9}\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(KeyForm::of(key), KeyForm::Unknown, "{key:?}");
        }
    }
}
