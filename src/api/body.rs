//! Reading answers whole, within bounds, and finding the host's own words in an error.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{ApiError, Unreachable, innermost, seconds};

/// An error body beyond this is cut: it is only quoted.
const ERROR_LIMIT: usize = 64 * 1024;
/// How long an error body may take to arrive.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// Up to [`ERROR_LIMIT`] bytes of a body, and whether that is all of it. What cannot be read is left out, since the status
/// has already said the news.
pub(super) async fn read_limited(mut body: impl Body<Data = Bytes> + Unpin) -> (Vec<u8>, bool) {
    let mut read = Vec::new();
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if read.len() > ERROR_LIMIT {
                read.truncate(ERROR_LIMIT);
                return false;
            }
        }
        true
    };
    let complete = tokio::time::timeout(ERROR_TIMEOUT, all).await.unwrap_or(false);
    (read, complete)
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
    pub const LOOK_UP: Self = Self { size: 64 << 20, time: Some(Duration::from_secs(30)) };
    /// A list of models: that of a large server is one megabyte.
    pub const MODELS: Self = Self { size: 8 << 20, time: Some(Duration::from_secs(30)) };
    /// One API key, or a page of a list of them.
    pub const KEYS: Self = Self { size: 8 << 20, time: Some(Duration::from_secs(30)) };
    /// An account.
    pub const ACCOUNT: Self = Self { size: 1 << 20, time: Some(Duration::from_secs(30)) };

    /// Embeddings of long inputs are megabytes, and take what a model takes.
    pub fn inference(time: Option<Duration>) -> Self {
        Self { size: 256 << 20, time }
    }
}

/// Reads an answer whole and parses it.
pub(super) async fn json<T: DeserializeOwned>(response: Response, host: &str, bounds: Bounds) -> Result<T, ApiError> {
    let body = whole(response, host, bounds).await?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::Protocol { host: host.to_owned(), reason: format!("no valid JSON: {error}") })
}

/// Reads an answer whole.
pub(super) async fn whole(response: Response, host: &str, bounds: Bounds) -> Result<Vec<u8>, ApiError> {
    let read = read_whole(response, host, bounds.size);
    let Some(limit) = bounds.time else {
        return read.await;
    };
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| {
        Err(ApiError::Unreachable {
            host: host.to_owned(),
            reason: format!("its answer did not end within {}", seconds(limit)),
            kind: Unreachable::Timeout,
        })
    })
}

async fn read_whole(mut response: Response, host: &str, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(ApiError::Cut { host: host.to_owned(), reason: innermost(&error) });
            }
        }
        if body.len() > limit {
            let reason = format!("an answer of more than {limit} bytes");
            return Err(ApiError::Protocol { host: host.to_owned(), reason });
        }
    }
}

/// What an error body says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorBody {
    /// The host's own words.
    pub message: String,
    /// The sign-in link, as sent; what is not text is shown as JSON, so that it is not taken for "none".
    pub signin_url: Option<String>,
    /// It is a JSON object that holds an `error`.
    pub recognised: bool,
    /// The member `code` beside the error: what happened, for programs.
    pub code: Option<String>,
    /// The member `by`: the id of the object that prevents the change.
    pub by: Option<String>,
    /// The member `missing`: the proof that is missing.
    pub missing: Option<String>,
    /// The member `key`: the id of the API key that was sent.
    pub key: Option<String>,
    /// The member `user_code`: what can be typed in place of opening the sign-in link.
    pub user_code: Option<String>,
    /// The member `renews_at`: when the budget renews that is used up.
    pub renews_at: Option<String>,
}

/// The longest error text that is quoted, in characters.
const QUOTED: usize = 500;

/// Reads an error body. Ollama sends `error` as a string, OpenAI- and Anthropic-style endpoints as an object with a `message`;
/// member names are matched without regard to case and the last one wins, as Go's decoder does.
pub(super) fn error_body(body: &[u8], status: StatusCode) -> ErrorBody {
    if let Ok(Value::Object(object)) = serde_json::from_slice(body) {
        let member =
            |name: &str| object.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let error = member("error");
        let signin_url = member("signin_url").filter(|url| !url.is_null()).map(|url| match url {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let text = |name: &str| member(name).and_then(Value::as_str).map(str::to_owned);
        return ErrorBody {
            code: text("code"),
            by: text("by"),
            missing: text("missing"),
            key: text("key"),
            user_code: text("user_code"),
            renews_at: text("renews_at"),
            message: error.map(error_text).unwrap_or_else(|| reason(status)),
            signin_url: signin_url.filter(|url| !url.is_empty()),
            recognised: error.is_some(),
        };
    }
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let quotable = !text.is_empty() && text.len() <= 200 && !text.starts_with('<');
    let message = if quotable { text.to_owned() } else { reason(status) };
    ErrorBody {
        message,
        signin_url: None,
        recognised: false,
        code: None,
        by: None,
        missing: None,
        key: None,
        user_code: None,
        renews_at: None,
    }
}

/// The words of an `error` member.
pub(super) fn error_text(error: &Value) -> String {
    let text = match error {
        Value::String(text) => text.clone(),
        other => match other.get("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => other.to_string(),
        },
    };
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn reason(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("no reason given").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_words_of_each_style_of_error() {
        let read = |body: &str| {
            let read = error_body(body.as_bytes(), StatusCode::BAD_GATEWAY);
            (read.message, read.signin_url, read.recognised)
        };
        let link = || Some("https://x/".to_owned());
        assert_eq!(read(r#"{"error":"nope"}"#), ("nope".into(), None, true));
        assert_eq!(read(r#"{"error":{"message":"m","type":"t"}}"#), ("m".into(), None, true));
        assert_eq!(
            read(r#"{"Error":"a","error":"unauthorized","Signin_URL":"https://x/"}"#),
            ("unauthorized".into(), link(), true)
        );
        assert_eq!(read(r#"{"message":"m","signin_url":"https://x/"}"#), ("bad gateway".into(), link(), false));
        assert_eq!(
            read(r#"{"error":{"code":1},"signin_url":[1]}"#),
            (r#"{"code":1}"#.into(), Some("[1]".into()), true)
        );
        assert_eq!(read("<html>…"), ("bad gateway".into(), None, false));
        assert_eq!(read(""), ("bad gateway".into(), None, false));
        assert_eq!(read("upstream down\n"), ("upstream down".into(), None, false));
    }
}
