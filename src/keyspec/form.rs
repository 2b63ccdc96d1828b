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
        if key.starts_with(ApiKey::PREFIX) {
            return Self::Gateway;
        }
        let Some((id, secret)) = key.split_once('.') else { return Self::Unknown };
        let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if is_id && secret.len() == 24 && secret.bytes().all(is_digit) { Self::OllamaCom } else { Self::Unknown }
    }
}
