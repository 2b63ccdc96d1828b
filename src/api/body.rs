//! Reading answers whole, within bounds, and finding the host's own words in an error.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::session::innermost;

/// An error body beyond this is cut: it is only quoted.
const ERROR_LIMIT: usize = 64 * 1024;
/// The largest answer that is read whole. Embeddings of long inputs and `/api/show` of large vocabularies are megabytes.
const ANSWER_LIMIT: usize = 256 * 1024 * 1024;
/// How long an error body may take to arrive.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// Up to [`ERROR_LIMIT`] bytes of a body; what cannot be read is left out, since the status has already said the news.
pub(super) async fn read_limited(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes);
            if body.len() >= ERROR_LIMIT {
                body.truncate(ERROR_LIMIT);
                break;
            }
        }
    };
    let _ = tokio::time::timeout(ERROR_TIMEOUT, read).await;
    body
}

/// Reads an answer whole and parses it.
pub(super) async fn json<T: DeserializeOwned>(
    mut response: Response,
    host: &str,
) -> Result<T, ApiError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => break,
            Err(error) => {
                return Err(ApiError::Cut {
                    host: host.to_owned(),
                    reason: innermost(&error),
                });
            }
        }
        if body.len() > ANSWER_LIMIT {
            let reason = format!("an answer of more than {ANSWER_LIMIT} bytes");
            return Err(ApiError::Protocol {
                host: host.to_owned(),
                reason,
            });
        }
    }
    serde_json::from_slice(&body).map_err(|error| ApiError::Protocol {
        host: host.to_owned(),
        reason: format!("no valid JSON: {error}"),
    })
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorField,
    #[serde(default)]
    signin_url: Option<String>,
}

/// Ollama sends a string, OpenAI- and Anthropic-style endpoints an object with a `message`.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorField {
    Text(String),
    Object { message: String },
}

/// The host's words and its sign-in link. A body that is no such object is quoted if it is short text.
pub(super) fn error_message(body: &[u8], status: StatusCode) -> (String, Option<String>) {
    if let Ok(parsed) = serde_json::from_slice::<ErrorBody>(body) {
        let (ErrorField::Text(message) | ErrorField::Object { message }) = parsed.error;
        let signin_url = parsed.signin_url.filter(|url| !url.is_empty());
        return (message, signin_url);
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let quotable = !text.is_empty() && text.len() <= 200 && !text.starts_with('<');
    let fallback = || {
        status
            .canonical_reason()
            .unwrap_or("no reason given")
            .to_lowercase()
    };
    (
        if quotable {
            text.to_owned()
        } else {
            fallback()
        },
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_words_of_each_style_of_error() {
        let text = |body: &str| error_message(body.as_bytes(), StatusCode::BAD_GATEWAY);
        assert_eq!(text(r#"{"error":"nope"}"#), ("nope".into(), None));
        assert_eq!(
            text(r#"{"error":{"message":"m","type":"t"}}"#),
            ("m".into(), None)
        );
        assert_eq!(
            text(r#"{"error":"unauthorized","signin_url":"https://x/"}"#),
            ("unauthorized".into(), Some("https://x/".into()))
        );
        assert_eq!(text("<html>…"), ("bad gateway".into(), None));
        assert_eq!(text(""), ("bad gateway".into(), None));
        assert_eq!(text("upstream down\n"), ("upstream down".into(), None));
    }
}
