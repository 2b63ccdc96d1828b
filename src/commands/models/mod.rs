//! The models of a server: commands named as in stock Ollama, with the host and the credential that `run` would use, so that you
//! need no second tool behind a gateway.

mod format;
mod list;
mod manage;
mod missing;
mod registry;
mod show;
mod transfer;

use serde_json::{Map, Value};

use super::context::{Context, withheld_note};
use crate::address::ModelName;
use crate::api::Session;
use crate::app::App;
use crate::exit::{Exit, Problem};
use crate::profile::{Audience, CredentialSource};

pub use list::{list, list_running, model_table};
pub use manage::{cp, rm, stop};
use missing::explain_missing_list;
pub use missing::{explain_missing, missing_model};
pub use show::{render, show};
pub use transfer::{explain_pull, pull_command, push_command, try_pull};

/// A model's name as it was typed.
///
/// # Errors
/// Exit 2 when it is invalid.
fn parse_name(text: &str) -> Result<ModelName, Problem> {
    ModelName::parse(text).map_err(|error| Problem::new(Exit::Usage, format!("the model {text:?}: {error}")))
}

/// A session with the host that `run` would use for a model of that kind.
async fn session(app: &App, cloud: bool) -> anyhow::Result<Session<'_>> {
    let context = Context::resolve(app, Audience::Model { cloud })?;
    let unsent = context.withheld.filter(|_| context.source == CredentialSource::None && !context.url().is_loopback());
    if let Some(withheld) = unsent {
        app.printer.warn(&withheld_note(withheld, context.url()));
    }
    context.session(app).await
}

/// A session with an Ollama server, for what ollama.com does not do. `does` says what that is, after "ollama.com".
///
/// # Errors
/// Exit 2 when the host is ollama.com.
async fn session_with_server<'a>(app: &'a App, does: &str) -> anyhow::Result<Session<'a>> {
    let session = session(app, false).await?;
    if session.base().is_ollama_com() {
        let hint = "name the server with --host or OLLAMA_HOST, such as --host http://127.0.0.1:11434";
        return Err(Problem::new(Exit::Usage, format!("ollama.com {does}: an Ollama server does")).hint(hint).into());
    }
    Ok(session)
}

/// Whether a listed model is among those asked for. As stock has it, case does not matter.
pub fn has_prefix(name: &str, prefix: Option<&str>) -> bool {
    prefix.is_none_or(|prefix| name.to_lowercase().starts_with(&prefix.to_lowercase()))
}

/// A list in the form in which the host sends it.
fn models_json(models: impl IntoIterator<Item = Map<String, Value>>) -> Value {
    let models: Vec<Value> = models.into_iter().map(Value::Object).collect();
    serde_json::json!({ "models": models })
}
