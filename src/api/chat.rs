//! What a conversation asks of a server: an answer, and a model that is loaded beforehand.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::models::Think;
use super::ndjson::LineStream;
use super::session::Session;

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
