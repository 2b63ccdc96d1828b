//! The built-in demonstration model: a server that speaks enough of Ollama's API for a chat, so that the whole flow can
//! be shown on a machine without Ollama. It is called `demo` and is not a language model.

mod exchange;
mod generator;
mod ollama;
mod openai;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The model's name.
pub const NAME: &str = "demo";

/// The same with its tag.
const FULL_NAME: &str = "demo:latest";

/// The largest accepted conversation, in bytes.
const MAX_BODY_SIZE: usize = 16 << 20;

/// Every endpoint.
pub fn router() -> Router {
    LazyLock::force(&generator::CHAIN);
    LazyLock::force(&STARTED);
    Router::new()
        .route("/", get(ollama::root))
        .route("/api/version", get(ollama::version))
        .route("/api/tags", get(ollama::tags))
        .route("/api/ps", get(ollama::ps))
        .route("/api/show", post(ollama::show))
        .route("/api/pull", post(ollama::pull))
        .route("/api/generate", post(ollama::generate))
        .route("/api/chat", post(ollama::chat))
        .route("/v1/models", get(openai::models))
        .route("/v1/chat/completions", post(openai::completions))
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY_SIZE))
}

/// Serves until it is dropped, with all its connections.
///
/// # Errors
/// When the listener is not at a loopback address: other machines must not reach it.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    if !listener.local_addr()?.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the demonstration model serves loopback only"));
    }
    let (router, mut connections) = (router(), JoinSet::new());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Such as too many open files: that passes, and so does a caller that left at once.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // A caller that leaves is not an error of ours.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

static STARTED: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

/// When the model came to be: the time of the first look at it.
fn started() -> Timestamp {
    *STARTED
}

/// As the real server has it.
async fn unknown() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain")], "404 page not found").into_response()
}
