//! What a server knows of one model.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::body::{Bounds, json};
use crate::api::error::ApiError;
use crate::api::session::Session;

/// The answer to `POST /api/show`. A member of another type than the protocol's counts as missing.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct ShowResponse {
    /// `completion`, `vision`, `audio`, `embedding`, `thinking`, `tools`, …
    pub capabilities: Vec<String>,
    /// The licenses, one after the other.
    pub license: String,
    /// A Modelfile that makes the same model.
    pub modelfile: String,
    /// Parameters, one a line: name, white space, value.
    pub parameters: String,
    /// The template of the prompt.
    pub template: String,
    /// The system message.
    pub system: String,
    /// Messages that a conversation with it begins with, as they were sent.
    pub messages: Vec<Value>,
    /// The model that it was made from, from its details: a name or a file.
    pub parent_model: String,
    /// The architecture, from its details.
    pub family: String,
    /// Such as `8.0B`.
    pub parameter_size: String,
    /// Such as `Q4_K_M`.
    pub quantization_level: String,
    /// The oldest version of Ollama that runs it, where it names one.
    pub requires: String,
    /// Its name at the other host, where it runs at one.
    pub remote_model: String,
    /// That host.
    pub remote_host: String,
    /// What its file says about it.
    pub model_info: Option<Map<String, Value>>,
    /// The same for the part that takes images or sounds. Servers older than `capabilities` have it for models that see.
    pub projector_info: Option<Map<String, Value>>,
    /// `name`, `type` and `shape` of each tensor.
    pub tensors: Vec<Value>,
}

impl From<Map<String, Value>> for ShowResponse {
    fn from(mut sent: Map<String, Value>) -> Self {
        let details = object(sent.remove("details")).unwrap_or_default();
        let detail = |member: &str| details.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (family, parameter_size) = (detail("family"), detail("parameter_size"));
        let parent_model = detail("parent_model");
        let quantization_level = detail("quantization_level");
        let capabilities = array(sent.remove("capabilities"));
        let mut text = |member: &str| match sent.remove(member) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        Self {
            license: text("license"),
            modelfile: text("modelfile"),
            parameters: text("parameters"),
            template: text("template"),
            system: text("system"),
            requires: text("requires"),
            remote_model: text("remote_model"),
            remote_host: text("remote_host"),
            capabilities: capabilities.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            model_info: object(sent.remove("model_info")),
            projector_info: object(sent.remove("projector_info")),
            tensors: array(sent.remove("tensors")),
            messages: array(sent.remove("messages")),
            parent_model,
            family,
            parameter_size,
            quantization_level,
        }
    }
}

fn object(value: Option<Value>) -> Option<Map<String, Value>> {
    match value {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn array(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(array)) => array,
        _ => Vec::new(),
    }
}

impl ShowResponse {
    /// Whether the model has a capability.
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|each| each == capability)
    }

    /// Whether images or sounds can be attached.
    pub fn takes_media(&self) -> bool {
        self.can("vision")
            || self.can("audio")
            || self.projector_info.as_ref().is_some_and(|info| !info.is_empty())
            || self.model_info.as_ref().is_some_and(|info| info.keys().any(|key| key.contains(".vision.")))
    }
}

impl Session<'_> {
    /// `POST /api/show`.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] when the host does not have the model.
    pub async fn show(&self, model: &str) -> Result<ShowResponse, ApiError> {
        Ok(self.show_as_sent(model, false).await?.into())
    }

    /// The same as it was sent; with vocabularies and the like where `verbose`.
    ///
    /// # Errors
    /// As for [`Session::show`].
    pub async fn show_as_sent(&self, model: &str, verbose: bool) -> Result<Map<String, Value>, ApiError> {
        let mut body = serde_json::json!({ "model": model });
        if verbose {
            body["verbose"] = true.into();
        }
        let request = self.request(Method::POST, "/api/show").json(&body)?;
        json(request.harmless().send().await?, &self.base().to_string(), Bounds::LOOK_UP).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> ShowResponse {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn old_servers_tell_vision_by_other_members() {
        assert!(show(r#"{"capabilities":["vision"]}"#).takes_media());
        assert!(show(r#"{"projector_info":{"a":1}}"#).takes_media());
        assert!(show(r#"{"model_info":{"llama.vision.blocks":1}}"#).takes_media());
        assert!(!show(r#"{"model_info":{"llama.blocks":1},"capabilities":["completion"]}"#).takes_media());
        assert!(!show("{}").takes_media());
    }

    #[test]
    fn what_has_the_wrong_type_is_missing() {
        let odd =
            r#"{"license":[1],"details":"x","model_info":[],"tensors":{},"capabilities":[1,"tools"],"system":"s"}"#;
        let model = show(odd);
        assert_eq!((model.license.as_str(), model.family.as_str(), model.system.as_str()), ("", "", "s"));
        assert!(model.model_info.is_none() && model.tensors.is_empty() && model.can("tools"));
    }
}
