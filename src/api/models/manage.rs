//! Changing which models a server has and which it has loaded: pull, push, copy, create, remove, unload.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::body::{Bounds, error_text, json as read};
use crate::api::error::ApiError;
use crate::api::ndjson::LineStream;
use crate::api::session::Session;

/// `POST /api/create`, from a model that is there.
#[derive(Debug, Serialize)]
pub struct CreateRequest<'a> {
    /// The new model.
    pub model: &'a str,
    /// The model that it is made from.
    pub from: &'a str,
    /// Its system message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<&'a str>,
    /// Its parameters.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: &'a Map<String, Value>,
    /// Its messages, each with `role` and `content`.
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    pub messages: &'a [Value],
}

impl Session<'_> {
    /// `POST /api/pull`, streamed. `timeout` bounds each wait.
    ///
    /// # Errors
    /// What the host answers before the stream begins.
    pub async fn pull(&self, model: &str, insecure: bool, timeout: Option<Duration>) -> Result<LineStream, ApiError> {
        self.stream("/api/pull", &json!({ "model": model, "insecure": insecure }), timeout).await
    }

    /// `POST /api/push`, streamed. `timeout` bounds each wait.
    ///
    /// # Errors
    /// What the host answers before the stream begins.
    pub async fn push(&self, model: &str, insecure: bool, timeout: Option<Duration>) -> Result<LineStream, ApiError> {
        self.stream("/api/push", &json!({ "model": model, "insecure": insecure }), timeout).await
    }

    /// `POST /api/create`, streamed as a pull is.
    ///
    /// # Errors
    /// What the host answers before the stream begins.
    pub async fn create(&self, body: &CreateRequest<'_>) -> Result<LineStream, ApiError> {
        self.stream("/api/create", body, None).await
    }

    /// `POST /api/copy`. The destination is replaced where it is there.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when the host does not have the source.
    pub async fn copy(&self, source: &str, destination: &str) -> Result<(), ApiError> {
        let body = json!({ "source": source, "destination": destination });
        self.request(Method::POST, "/api/copy").json(&body)?.send().await?;
        Ok(())
    }

    /// `DELETE /api/delete`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when the host does not have the model.
    pub async fn delete(&self, model: &str) -> Result<(), ApiError> {
        self.request(Method::DELETE, "/api/delete").json(&json!({ "model": model }))?.send().await?;
        Ok(())
    }

    /// Takes a model out of the host's memory: `POST /api/generate` without a prompt, to be kept for no time. One that is not
    /// loaded stays so.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when the host does not have the model.
    pub async fn unload(&self, model: &str) -> Result<(), ApiError> {
        let body = json!({ "model": model, "keep_alive": 0, "stream": false });
        let host = self.base().to_string();
        let response = self.request(Method::POST, "/api/generate").json(&body)?.harmless().send().await?;
        let answer: Map<String, Value> = read(response, &host, Bounds::ACCOUNT).await?;
        match answer.get("error").filter(|error| !error.is_null()) {
            Some(error) => Err(ApiError::InStream { host, message: error_text(error) }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let mut request =
            CreateRequest { model: "mine", from: "tiny", system: None, parameters: &Map::new(), messages: &[] };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"model":"mine","from":"tiny"}"#);
        request.system = Some("Be brief.");
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"model":"mine","from":"tiny","system":"Be brief."}"#);
    }
}
