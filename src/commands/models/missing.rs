//! A model that the host does not have: which one was probably meant, or that there is no Ollama API at this address at all.

use std::time::Duration;

use crate::api::{ApiError, Session};
use crate::exit::{Exit, Problem};

/// How long the host may take to list its models. The list only improves a message.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// The least similarity of a name that is suggested, from 0 to 1.
const SIMILAR: f64 = 0.8;
/// Longer names are not compared: the host decides how long its names are.
const MAX_NAME_LENGTH: usize = 256;

/// Explains a 404 for a model; every other error is returned unchanged.
pub async fn explain_missing(session: &Session<'_>, model: &str, error: ApiError) -> anyhow::Error {
    match error {
        ApiError::NotFound { host, message, recognised: true, .. } => {
            missing_model(session, model, format!("{host} has no model {model:?}: {message}")).await.into()
        }
        _ => error.into(),
    }
}

/// The problem of a model that the host does not have. `message` says so.
pub async fn missing_model(session: &Session<'_>, model: &str, message: String) -> Problem {
    let listed = tokio::time::timeout(LOOKUP_TIMEOUT, session.models()).await;
    // A host whose list of models is missing too has no model because it has no such API.
    if let Ok(Err(ApiError::NotFound { message, .. })) = listed {
        return no_api(session, &message);
    }
    let names = listed.ok().and_then(Result::ok).unwrap_or_default();
    let see = "see which models there are: ollama-auth list";
    let hint = match nearest(model, names.iter().map(|model| model.name.as_str())) {
        Some(name) => format!("did you mean {name}?\n{see}"),
        None => see.to_owned(),
    };
    Problem::new(Exit::NotFound, message).hint(hint)
}

/// Explains a 404 for a list, which names no model; every other error is returned unchanged.
pub fn explain_missing_list(session: &Session<'_>, error: ApiError) -> anyhow::Error {
    match error {
        ApiError::NotFound { message, .. } => no_api(session, &message).into(),
        _ => error.into(),
    }
}

fn no_api(session: &Session<'_>, words: &str) -> Problem {
    let base = session.base();
    let hint = match base.path() {
        "" => format!("check the address: Ollama may be below a path there, as in {base}/ollama"),
        path => format!("check the path {path} of the address"),
    };
    Problem::new(Exit::Failed, format!("there is no Ollama API at {base}: {words}")).hint(hint)
}

/// The name that is most like `model`, if one is like it at all.
fn nearest<'a>(model: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = model.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        // A name without a tag is compared with names without theirs.
        let compared = if wanted.contains(':') { &name } else { name.split(':').next().unwrap_or(&name) };
        strsim::jaro_winkler(&wanted, compared)
    };
    let known = names.filter(|name| name.len() <= MAX_NAME_LENGTH && *name != model);
    known
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= SIMILAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_no_other() {
        let names = ["llama3.2:latest", "llama3.1:8b", "qwen2.5-coder:7b", "tiny:latest"];
        for (typed, expected) in [
            ("lama3.2", Some("llama3.2:latest")),
            ("Llama3.2", Some("llama3.2:latest")),
            ("llama3.1", Some("llama3.1:8b")),
            ("qwen2.5coder:7b", Some("qwen2.5-coder:7b")),
            ("tinny", Some("tiny:latest")),
            ("mistral", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names.into_iter()), expected, "{typed}");
        }
        assert_eq!(nearest("x", ["x"].into_iter()), None, "it is there, and something else is wrong");
    }
}
