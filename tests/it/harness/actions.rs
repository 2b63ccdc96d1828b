//! A stand-in for the endpoint at which jobs of GitHub Actions get tokens. It checks the request and gives tokens that nobody signed,
//! numbered, so that a test knows each beforehand.

use std::sync::{Arc, Mutex};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    cmd::Sandbox,
    http::{Reply, Request, Server},
};

/// The secret that a job has for the endpoint.
pub const REQUEST_TOKEN: &str = "request-token-of-a-job-0123456789";
/// Its path and query, as GitHub writes them.
const TARGET: &str = "/36//idtoken/some-plan/some-job";

/// A token with these claims and a signature that no one checks.
pub fn token_with(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
    format!("{}.{}.{}", part(&header), part(claims), BASE64_URL_SAFE_NO_PAD.encode("no signature"))
}

struct State {
    given: usize,
    audience: String,
    /// Answers in place of tokens, first to last.
    replies: Vec<Reply>,
}

/// The endpoint.
pub struct Actions {
    server: Server,
    state: Arc<Mutex<State>>,
    started_at: i64,
    audience: String,
    lifetime: i64,
}

impl Actions {
    /// Gives tokens for `audience`, each of them valid for `lifetime` seconds longer than the one before.
    pub fn start(audience: &str, lifetime: i64) -> Self {
        let started_at = Timestamp::now().as_second();
        let state = Arc::new(Mutex::new(State { given: 0, audience: audience.to_owned(), replies: Vec::new() }));
        let server = Server::start({
            let state = state.clone();
            move |request| answer(request, &mut state.lock().unwrap(), started_at, lifetime)
        });
        Self { server, state, started_at, audience: audience.to_owned(), lifetime }
    }

    /// The token of that number, from 1.
    pub fn token(&self, number: usize) -> String {
        token(number, &self.audience, self.started_at, self.lifetime)
    }

    /// How many were given.
    pub fn given(&self) -> usize {
        self.state.lock().unwrap().given
    }

    /// Answers this once in place of a token.
    pub fn reply(&self, reply: Reply) -> &Self {
        self.state.lock().unwrap().replies.push(reply);
        self
    }

    /// The server below.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The value of `ACTIONS_ID_TOKEN_REQUEST_URL`.
    pub fn url(&self) -> String {
        format!("{}{TARGET}?api-version=2.0", self.server.url())
    }

    /// Makes the programs of a sandbox steps of a job that may get tokens.
    pub fn give_to(&self, sandbox: &mut Sandbox) {
        sandbox.set_env("GITHUB_ACTIONS", "true");
        sandbox.set_env("ACTIONS_ID_TOKEN_REQUEST_URL", self.url());
        sandbox.set_env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN);
    }
}

fn token(number: usize, audience: &str, started_at: i64, lifetime: i64) -> String {
    let end = started_at + lifetime * i64::try_from(number).unwrap();
    token_with(&json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:octo/app:ref:refs/heads/main",
        "aud": audience, "exp": end, "iat": started_at, "jti": number.to_string(),
    }))
}

fn answer(request: &Request, state: &mut State, started_at: i64, lifetime: i64) -> Reply {
    let expected = format!("Bearer {REQUEST_TOKEN}");
    if request.method != "GET" || request.path() != TARGET || request.authorization() != Some(&expected) {
        return Reply::json(401, r#"{"message":"not the request of a job"}"#);
    }
    let query = (request.query("api-version"), request.query("audience"));
    if query != (Some("2.0".to_owned()), Some(state.audience.clone())) {
        return Reply::json(400, json!({ "message": format!("{query:?}") }));
    }
    if !state.replies.is_empty() {
        return state.replies.remove(0);
    }
    state.given += 1;
    Reply::json(200, json!({ "count": 1, "value": token(state.given, &state.audience, started_at, lifetime) }))
}
