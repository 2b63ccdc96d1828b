//! `pull`, `push`, `list`, `show`, `ps`, `stop`, `rm`, `cp`: what they ask, print and end with, against recorded servers, hostile ones
//! and the real gateway.

mod changing;
#[cfg(feature = "gateway")]
mod gateway;
mod hostile;
mod missing;
mod pull;
mod push;
mod reading;
mod terminal;

use serde_json::Value;

use crate::harness::cmd::{Cmd, Sandbox};
use crate::harness::http::{Reply, Step};
use crate::harness::ollama::Ollama;

/// Every command with arguments that make sense, and the request that it cannot do without.
const COMMANDS: [(&[&str], &str, &str); 8] = [
    (&["list"], "GET", "/api/tags"),
    (&["ps"], "GET", "/api/ps"),
    (&["show", "tiny"], "POST", "/api/show"),
    (&["stop", "tiny"], "POST", "/api/generate"),
    (&["rm", "tiny"], "DELETE", "/api/delete"),
    (&["cp", "tiny", "other"], "POST", "/api/copy"),
    (&["pull", "tiny"], "POST", "/api/pull"),
    (&["push", "ada/tiny"], "POST", "/api/push"),
];

fn at(sandbox: &Sandbox, ollama: &Ollama, args: &[&str]) -> Cmd {
    sandbox.command(args).env("OLLAMA_HOST", ollama.url())
}

/// The bodies of the requests to a path.
fn bodies(ollama: &Ollama, path: &str) -> Vec<Value> {
    let requests = ollama.server().requests();
    requests.iter().filter(|one| one.path() == path).map(|one| serde_json::from_slice(&one.body).unwrap()).collect()
}

/// A line of a stream.
fn line(object: Value) -> Step {
    Step::send(format!("{object}\n"))
}

fn status(text: &str) -> Step {
    line(serde_json::json!({ "status": text }))
}

fn layer(digest: &str, total: u64, completed: u64) -> Step {
    let status = format!("pulling {}", &digest[..digest.len().min(12)]);
    let digest = format!("sha256:{digest}");
    line(serde_json::json!({ "status": status, "digest": digest, "total": total, "completed": completed }))
}

/// Answers a path with a stream of these lines.
fn streams(ollama: &Ollama, path: &str, steps: impl IntoIterator<Item = Step>) {
    let steps: Vec<Step> = steps.into_iter().collect();
    ollama.route("POST", path, move |_| Reply::ndjson(steps.clone()));
}
