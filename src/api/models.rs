//! Requests about models: running them is here (`/api/generate`, `/api/chat`, `/api/embed`); describing, listing and managing them is in
//! the files below.

mod listing;
mod show;

use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::api::body::{Bounds, json};
use crate::api::error::ApiError;
use crate::api::ndjson::LineStream;
use crate::api::session::Session;

pub use listing::{CreateRequest, ListedModel, RunningModel};
pub use show::ShowResponse;

/// `think`: on, off, or how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Think {
    /// On or off.
    Switch(bool),
    /// `low`, `medium`, `high` or `max`.
    Level(String),
}

/// `POST /api/generate`.
#[derive(Debug, Serialize)]
pub struct GenerateRequest<'a> {
    /// The model, as the host calls it.
    pub model: &'a str,
    /// The prompt.
    pub prompt: &'a str,
    /// Overrides the model's system message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<&'a str>,
    /// Base64 of each attached file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// `"json"` or a JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'a RawValue>,
    /// Model parameters, such as `temperature`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub options: &'a Map<String, Value>,
    /// How long the model stays loaded: a duration such as `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<&'a str>,
    /// Whether to think first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<&'a Think>,
}

/// `POST /api/embed`.
#[derive(Debug, Serialize)]
pub struct EmbedRequest<'a> {
    /// The model, as the host calls it.
    pub model: &'a str,
    /// The text.
    pub input: &'a str,
    /// Whether to cut input that is too long (the server's default) or to refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
    /// Length of the vector, for models that can shorten it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<u32>,
    /// How long the model stays loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<&'a str>,
    /// Model parameters.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub options: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct EmbedResponse {
    #[serde(default)]
    embeddings: Vec<Box<RawValue>>,
}

impl Session<'_> {
    /// `POST /api/generate`, streamed. `timeout` bounds each wait (`None`: a model may take as long as it takes).
    ///
    /// # Errors
    /// What the host answers before the stream begins.
    pub async fn generate(
        &self,
        body: &GenerateRequest<'_>,
        timeout: Option<Duration>,
    ) -> Result<LineStream, ApiError> {
        self.stream("/api/generate", body, timeout).await
    }

    /// `POST /api/embed`: the vector, as the JSON array that the host sent.
    ///
    /// # Errors
    /// [`ApiError::Protocol`] when the answer holds no vector.
    pub async fn embed(&self, body: &EmbedRequest<'_>, timeout: Option<Duration>) -> Result<Box<RawValue>, ApiError> {
        let host = self.base().to_string();
        let response = self.request(Method::POST, "/api/embed").json(body)?.streaming(timeout).send().await?;
        let answer: EmbedResponse = json(response, &host, Bounds::inference(timeout)).await?;
        let reason = "it holds no embedding".to_owned();
        answer.embeddings.into_iter().next().ok_or(ApiError::Protocol { host, reason })
    }

    async fn stream(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Option<Duration>,
    ) -> Result<LineStream, ApiError> {
        self.request(Method::POST, path).json(body)?.stream(timeout).await
    }
}

/// `POST /api/chat`.
#[derive(Debug, Serialize)]
pub struct ChatRequest<'a, M> {
    /// The model, as the host calls it.
    pub model: &'a str,
    /// The conversation, oldest message first.
    pub messages: Vec<M>,
    /// `"json"` or a JSON schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'a RawValue>,
    /// Model parameters, such as `temperature`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub options: &'a Map<String, Value>,
    /// How long the model stays loaded: a duration such as `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<&'a str>,
    /// Whether to think first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think: Option<&'a Think>,
}

impl Session<'_> {
    /// `POST /api/chat`, streamed. `timeout` bounds each wait (`None`: a model may take as long as it takes).
    ///
    /// # Errors
    /// What the host answers before the stream begins.
    pub async fn chat<M: Serialize>(
        &self,
        body: &ChatRequest<'_, M>,
        timeout: Option<Duration>,
    ) -> Result<LineStream, ApiError> {
        self.request(Method::POST, "/api/chat").json(body)?.stream(timeout).await
    }

    /// Has the model loaded before anything is asked of it, as stock does: `POST /api/generate` without a prompt.
    ///
    /// # Errors
    /// What the host answers.
    pub async fn preload(&self, model: &str, keep_alive: Option<&str>) -> Result<(), ApiError> {
        let mut body = serde_json::json!({ "model": model });
        if let Some(keep_alive) = keep_alive {
            body["keep_alive"] = keep_alive.into();
        }
        let mut stream = self.request(Method::POST, "/api/generate").json(&body)?.stream(None).await?;
        while stream.next().await?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_sends_nothing_that_was_not_asked_for() {
        let request = GenerateRequest {
            model: "m",
            prompt: "hi",
            system: None,
            images: vec![],
            format: None,
            options: &Map::new(),
            keep_alive: None,
            think: Some(&Think::Level("high".into())),
        };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"model":"m","prompt":"hi","think":"high"}"#);
    }
}
