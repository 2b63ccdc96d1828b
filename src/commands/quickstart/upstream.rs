//! Which model answers: one of the Ollama server that is running, else the built-in demonstration model.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::address::{BaseUrl, ModelName};
use crate::api::{Credential, ListedModel, Session};
use crate::app::App;
use crate::demo;

/// How long an Ollama server may take to list its models.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What the gateway is put in front of.
pub struct Upstream {
    /// Where it is.
    pub url: BaseUrl,
    /// The model that is run.
    pub model: String,
    /// It is the built-in demonstration model.
    pub is_demo: bool,
    /// One sentence: which it is, and why.
    pub description: String,
    serving: Option<AbortHandle>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

/// Asks the Ollama server that `--host` or `OLLAMA_HOST` names, else the local one.
///
/// # Errors
/// When not even the demonstration model can be served.
pub async fn choose(app: &App) -> anyhow::Result<Upstream> {
    let named = app.host.as_ref().or(app.ollama_host.as_ref()).filter(|url| !url.is_ollama_com());
    let url = named.cloned().unwrap_or_else(BaseUrl::local);
    let why = match first_model(app, &url).await {
        Ok(Some(model)) => {
            let description = format!("Using the model {model} of the Ollama server at {url}.");
            return Ok(Upstream { url, model, is_demo: false, description, serving: None });
        }
        Ok(None) => format!("The Ollama server at {url} has no local model"),
        Err(NoAnswer) => format!("No Ollama server answers at {url}"),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let serving = Some(tokio::spawn(demo::serve(listener)).abort_handle());
    let url = BaseUrl::parse(&format!("http://{address}"))?.url;
    let description = format!(
        "{why}, so the built-in demonstration model answers. It is a simple text generator, not a language model."
    );
    Ok(Upstream { url, model: demo::NAME.to_owned(), is_demo: true, description, serving })
}

/// Nothing answers there, or nothing that can be used.
struct NoAnswer;

async fn first_model(app: &App, url: &BaseUrl) -> Result<Option<String>, NoAnswer> {
    let session = Session::new(&app.transport, url.clone(), Credential::None, false, app.now).map_err(|_| NoAnswer)?;
    let listed = tokio::time::timeout(LONGEST_WAIT, session.models()).await.map_err(|_| NoAnswer)?;
    let listed = listed.map_err(|_| NoAnswer)?;
    Ok(listed.into_iter().find(is_suitable).map(|model| model.name))
}

/// A local model that generates text: a cloud model would need the server's own sign-in.
fn is_suitable(model: &ListedModel) -> bool {
    let generates = model.capabilities.as_ref().is_none_or(|all| all.iter().any(|each| each == "completion"));
    let local = model.remote_host.as_deref().unwrap_or_default().is_empty();
    generates && local && ModelName::parse(&model.name).is_ok_and(|name| !name.is_cloud())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_models_and_embedding_models_are_skipped() {
        let model = |name: &str, capabilities: Option<&[&str]>, remote: Option<&str>| ListedModel {
            name: name.to_owned(),
            capabilities: capabilities.map(|all| all.iter().map(|each| (*each).to_owned()).collect()),
            remote_host: remote.map(str::to_owned),
            ..ListedModel::default()
        };
        assert!(is_suitable(&model("tiny:latest", None, None)));
        assert!(is_suitable(&model("tiny:latest", Some(&["tools", "completion"]), Some(""))));
        assert!(!is_suitable(&model("bert:latest", Some(&["embedding"]), None)));
        assert!(!is_suitable(&model("gpt-oss:120b-cloud", None, None)));
        assert!(!is_suitable(&model("big:latest", None, Some("https://ollama.com:443"))));
        assert!(!is_suitable(&model("", None, None)));
    }
}
