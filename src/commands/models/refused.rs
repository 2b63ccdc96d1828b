//! Why a server could not pull or push. It says so in words alone, with status 500 or in the middle of its stream, and passes on
//! those of the registry: what they mean is read here, and nowhere else. Pure.

use crate::api::ApiError;

/// What a server's words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such model.
    Missing,
    /// The registry does not know the server's key.
    UnknownKey,
    /// The registry knows whose key it is, or does not say, and refuses.
    NotAllowed,
    /// The registry has no TLS, and `--insecure` was not given.
    Insecure,
    /// The text is no name of a model.
    BadName,
    /// Something else.
    Other,
}

impl Refused {
    /// Reads the words.
    pub fn read(message: &str) -> Self {
        let text = message.to_lowercase();
        let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if any(&["insecure protocol"]) {
            Self::Insecure
        } else if any(&["unknown ollama key", "signed in", "sign in"]) {
            Self::UnknownKey
        } else if any(&["access denied", "unauthorized", "denied", "forbidden", "not authorized", "401:", "403:"]) {
            Self::NotAllowed
        } else if any(&["file does not exist", "manifest unknown", "no such file or directory", "model not found"]) {
            Self::Missing
        } else if any(&["invalid model name", "invalid name", "model is required"]) {
            Self::BadName
        } else {
            Self::Other
        }
    }
}

/// The server's own words, where an error is one that only its words tell apart.
pub fn words(error: &ApiError) -> Option<&str> {
    match error {
        ApiError::InStream { message, .. } | ApiError::Status { message, status: 400 | 500, .. } => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_stock_servers_are_known() {
        for (words, refused) in [
            ("pull model manifest: file does not exist", Refused::Missing),
            (
                "open /root/.ollama/models/manifests/registry.ollama.ai/library/x/latest: no such file or directory",
                Refused::Missing,
            ),
            ("unauthorized: unknown ollama key \"ssh-ed25519 AAAA\"", Refused::UnknownKey),
            ("unauthorized: access denied", Refused::NotAllowed),
            ("403: {\"errors\":[{\"code\":\"DENIED\"}]}", Refused::NotAllowed),
            ("insecure protocol http", Refused::Insecure),
            ("invalid model name", Refused::BadName),
            ("dial tcp: lookup registry.ollama.ai: no such host", Refused::Other),
            ("", Refused::Other),
        ] {
            assert_eq!(Refused::read(words), refused, "{words}");
        }
    }
}
