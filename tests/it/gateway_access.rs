//! Who may pass the gateway, and what they may do.

mod caller;
mod errors;
mod models;
mod routes;
mod signin_link;

use crate::harness::http::{Request, Server};

/// A path that a route of the table stands for.
fn concrete(path: &str) -> String {
    path.replace("{digest}", &format!("sha256:{}", "0a".repeat(32)))
        .replace("{model}", "tiny")
        .replace("{encodedKey}", "a2V5XzEyMzQ1Njc4OQ")
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// What the upstream server was asked, without the gateway's own housekeeping.
fn asked(upstream: &Server) -> usize {
    let own = |request: &&Request| request.path() != "/api/version" || request.header("x-ollama-auth-user").is_some();
    upstream.requests().iter().filter(own).count()
}
