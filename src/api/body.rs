//! Reading answers whole, within bounds, and finding the host's own words in an error.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{ApiError, Unreachable, innermost, seconds};

/// An error body beyond this is cut: it is only quoted.
const ERROR_LIMIT: usize = 64 * 1024;
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

/// How much of an answer is read, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes.
    pub size: usize,
    /// From the head of the answer to its end; `None` waits as long as it takes.
    pub time: Option<Duration>,
}

impl Bounds {
    /// A look-up: the models of a large server, the vocabulary of a model.
    pub const LOOK_UP: Self = Self {
        size: 64 << 20,
        time: Some(Duration::from_secs(30)),
    };
    /// An account.
    pub const ACCOUNT: Self = Self {
        size: 1 << 20,
        time: Some(Duration::from_secs(30)),
    };

    /// Embeddings of long inputs are megabytes, and take what a model takes.
    pub fn inference(time: Option<Duration>) -> Self {
        Self {
            size: 256 << 20,
            time,
        }
    }
}

/// Reads an answer whole and parses it.
pub(super) async fn json<T: DeserializeOwned>(
    response: Response,
    host: &str,
    bounds: Bounds,
) -> Result<T, ApiError> {
    let read = read_whole(response, host, bounds.size);
    let body = match bounds.time {
        None => read.await?,
        Some(limit) => {
            tokio::time::timeout(limit, read)
                .await
                .map_err(|_| ApiError::Unreachable {
                    host: host.to_owned(),
                    reason: format!("its answer did not end within {}", seconds(limit)),
                    kind: Unreachable::Timeout,
                })??
        }
    };
    serde_json::from_slice(&body).map_err(|error| ApiError::Protocol {
        host: host.to_owned(),
        reason: format!("no valid JSON: {error}"),
    })
}

async fn read_whole(mut response: Response, host: &str, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(ApiError::Cut {
                    host: host.to_owned(),
                    reason: innermost(&error),
                });
            }
        }
        if body.len() > limit {
            let reason = format!("an answer of more than {limit} bytes");
            return Err(ApiError::Protocol {
                host: host.to_owned(),
                reason,
            });
        }
    }
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
