//! The models that a host has and has loaded, and changing them: pull, push, copy, create, remove, unload. Each listed model is also
//! kept as it was sent, so that a script gets all of it. A member of a type other than the protocol's counts as missing: one odd model
//! must not hide the others.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::Method;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::api::body::{Bounds, error_text, json, json as read};
use crate::api::error::ApiError;
use crate::api::ndjson::LineStream;
use crate::api::session::Session;

/// A model in the answer to `GET /api/tags`.
#[derive(Debug, Default)]
pub struct ListedModel {
    /// Its name, with the tag.
    pub name: String,
    /// The digest of its manifest, in hex.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// When it was changed last.
    pub modified_at: Option<Timestamp>,
    /// As [`ShowResponse::capabilities`](super::ShowResponse::capabilities); older servers do not list them here.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub capabilities: Option<Vec<String>>,
    /// Its name at the other host, where it runs at one.
    pub remote_model: Option<String>,
    /// Present when the model runs at another host.
    #[cfg_attr(not(feature = "gateway"), allow(dead_code, reason = "`quickstart` is the one that needs it"))]
    pub remote_host: Option<String>,
    /// All that was sent of it.
    pub sent: Map<String, Value>,
}

/// A model in the answer to `GET /api/ps`.
#[derive(Debug, Default)]
pub struct RunningModel {
    /// Its name, with the tag.
    pub name: String,
    /// The digest of its manifest, in hex.
    pub digest: String,
    /// Bytes that it takes up.
    pub size: u64,
    /// Those of them in the memory of a GPU.
    pub size_vram: u64,
    /// Tokens of its context.
    pub context_length: u64,
    /// When it is unloaded.
    pub expires_at: Option<Timestamp>,
    /// All that was sent of it.
    pub sent: Map<String, Value>,
}

impl From<Map<String, Value>> for ListedModel {
    fn from(sent: Map<String, Value>) -> Self {
        let capabilities = sent.get("capabilities").and_then(Value::as_array);
        let names = |all: &Vec<Value>| all.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Self {
            name: name(&sent),
            digest: text(&sent, "digest").unwrap_or_default(),
            size: number(&sent, "size"),
            modified_at: time(&sent, "modified_at"),
            capabilities: capabilities.map(names),
            remote_model: text(&sent, "remote_model").filter(|name| !name.is_empty()),
            remote_host: text(&sent, "remote_host"),
            sent,
        }
    }
}

impl From<Map<String, Value>> for RunningModel {
    fn from(sent: Map<String, Value>) -> Self {
        Self {
            name: name(&sent),
            digest: text(&sent, "digest").unwrap_or_default(),
            size: number(&sent, "size"),
            size_vram: number(&sent, "size_vram"),
            context_length: number(&sent, "context_length"),
            expires_at: time(&sent, "expires_at"),
            sent,
        }
    }
}

fn name(sent: &Map<String, Value>) -> String {
    text(sent, "name").or_else(|| text(sent, "model")).unwrap_or_default()
}

fn text(sent: &Map<String, Value>, member: &str) -> Option<String> {
    sent.get(member).and_then(Value::as_str).map(str::to_owned)
}

fn number(sent: &Map<String, Value>, member: &str) -> u64 {
    sent.get(member).and_then(Value::as_u64).unwrap_or(0)
}

/// `None` for Go's year 1 too, which is Go's zero time.
fn time(sent: &Map<String, Value>, member: &str) -> Option<Timestamp> {
    let time: Timestamp = sent.get(member)?.as_str()?.parse().ok()?;
    (time.as_second() > YEAR_TWO).then_some(time)
}

/// The Unix time of 0002-01-01, in seconds.
const YEAR_TWO: i64 = -62_104_060_800;

/// Models that are taken. A host can name more of them in few bytes than there is memory for.
const MOST: usize = 100_000;

#[derive(Deserialize)]
struct Listing {
    #[serde(deserialize_with = "bounded")]
    models: Vec<Map<String, Value>>,
}

fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Map<String, Value>>, D::Error> {
    deserializer.deserialize_any(Objects)
}

struct Objects;

impl<'de> Visitor<'de> for Objects {
    type Value = Vec<Map<String, Value>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of models")
    }

    /// Go writes an empty list as null.
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut models = Vec::new();
        while let Some(model) = list.next_element()? {
            if models.len() == MOST {
                return Err(Error::custom(format_args!("more than {MOST} models")));
            }
            models.push(model);
        }
        Ok(models)
    }
}

impl Session<'_> {
    /// `GET /api/tags`: the models that the host has, in its order.
    ///
    /// # Errors
    /// Any [`ApiError`] of the request; [`ApiError::Protocol`] for an answer that is not a list of models, or has more than 8 MB or
    /// 100,000 models.
    pub async fn models(&self) -> Result<Vec<ListedModel>, ApiError> {
        self.listing("/api/tags").await
    }

    /// `GET /api/ps`: the models that the host has loaded, in its order.
    ///
    /// # Errors
    /// As for [`Session::models`].
    pub async fn running(&self) -> Result<Vec<RunningModel>, ApiError> {
        self.listing("/api/ps").await
    }

    async fn listing<T: From<Map<String, Value>>>(&self, path: &str) -> Result<Vec<T>, ApiError> {
        let host = self.base().to_string();
        let response = self.request(Method::GET, path).harmless().send().await?;
        let listing: Listing = json(response, &host, Bounds::MODELS).await?;
        Ok(listing.models.into_iter().map(T::from).collect())
    }
}

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
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_has_the_wrong_type_is_missing() {
        let model = ListedModel::from(object(json!({
            "name": 7, "model": "m:1", "digest": [], "size": -4, "modified_at": "yesterday", "capabilities": {}, "remote_model": ""
        })));
        assert_eq!((model.name.as_str(), model.digest.as_str(), model.size), ("m:1", "", 0));
        assert!(model.modified_at.is_none() && model.capabilities.is_none() && model.remote_model.is_none());
        assert_eq!(model.sent["size"], -4);
        let model = RunningModel::from(object(json!({ "expires_at": "0001-01-01T00:00:00Z", "context_length": 4096 })));
        assert!(model.expires_at.is_none() && model.context_length == 4096);
    }

    #[test]
    fn only_what_is_given_is_sent() {
        let mut request =
            CreateRequest { model: "mine", from: "tiny", system: None, parameters: &Map::new(), messages: &[] };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"model":"mine","from":"tiny"}"#);
        request.system = Some("Be brief.");
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"model":"mine","from":"tiny","system":"Be brief."}"#);
    }
}
