//! Tokens of workloads that must not be accepted, and issuers that misbehave. Each test also sends an honest token: what refuses
//! everything proves nothing.

mod claims;
mod forged;
mod issuers;
mod keys;

use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};
use crate::harness::set_clock::SetClock;

/// What the tokens are for.
const AUDIENCE: &str = "https://gpu.example.com";

/// The claims of the honest token.
fn honest() -> Value {
    json!({ "aud": AUDIENCE, "repository_id": "1", "repository": "example/app", "ref": "refs/heads/main" })
}

/// `base` with the members of `change`; those that are null stay, so that the issuer leaves them out.
fn with(mut base: Value, change: &Value) -> Value {
    base.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
    base
}

/// A rule of that issuer.
fn rule(name: &str, issuer: &str, claims: &str) -> String {
    format!(
        "[[workload]]\nname = \"{name}\"\nissuer = \"{issuer}\"\naudience = \"{AUDIENCE}\"\nclaims = {claims}\n\
         scopes = [\"models:read\"]\n"
    )
}

/// The rule that accepts the honest token.
fn usual_rule(issuer: &str) -> String {
    rule("deploy", issuer, "{ repository_id = \"1\", ref = \"refs/heads/main\" }")
}

/// A gateway with rules, and an issuer.
struct Given {
    issuer: HostileIssuer,
    gateway: Gateway,
    upstream: Server,
    _folder: Sandbox,
}

impl Given {
    /// With the usual rule.
    fn start() -> Self {
        Self::start_with(HostileIssuer::start(), usual_rule)
    }

    /// With the usual rule and an issuer that misbehaves from the beginning, see [`HostileIssuer::behave`].
    fn misbehaving(endpoint: &str, how: &Value) -> Self {
        let issuer = HostileIssuer::start();
        issuer.behave(endpoint, how.clone());
        Self::start_with(issuer, usual_rule)
    }

    /// With the rules that are made for that issuer.
    fn start_with(issuer: HostileIssuer, rules: impl FnOnce(&str) -> String) -> Self {
        Self::start_at(issuer, rules, None)
    }

    /// With the usual rule, and a clock that the test moves on.
    fn with_clock(clock: &SetClock) -> Self {
        Self::start_at(HostileIssuer::start(), usual_rule, Some(clock))
    }

    fn start_at(issuer: HostileIssuer, rules: impl FnOnce(&str) -> String, clock: Option<&SetClock>) -> Self {
        let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
        let folder = Sandbox::new();
        let file = folder.write("gateway.toml", rules(issuer.issuer()));
        let args = ["--config", file.to_str().unwrap()];
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(&upstream.url(), &args, &clock.line()),
            None => Gateway::start_with(&upstream.url(), &args),
        };
        Self { issuer, gateway, upstream, _folder: folder }
    }

    fn ask(&self, token: &str) -> Answer {
        self.gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {token}")], "")
    }

    /// The status of a list of models with the honest token, changed.
    fn status(&self, change: &Value) -> u16 {
        self.ask(&self.issuer.token(with(honest(), change))).status
    }

    /// The honest token is accepted.
    #[track_caller]
    fn accepts_the_honest(&self) {
        assert_eq!(self.status(&json!({})), 200);
    }

    /// A token is refused with one of these statuses before anything reaches the upstream server, and the response does not say more than
    /// it must.
    #[track_caller]
    fn refuses_with_one(&self, statuses: &[u16], what: &str, token: &str) {
        let asked = self.upstream.count("GET", "/api/tags");
        let answer = self.ask(token);
        assert!(statuses.contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
        assert_eq!(self.upstream.count("GET", "/api/tags"), asked, "{what}");
        for secret in ["repository_id", "refs/heads/main", "example/app"] {
            assert!(!answer.text().contains(secret), "{what}: {}", answer.text());
        }
    }

    #[track_caller]
    fn refuses_with(&self, status: u16, what: &str, token: &str) {
        self.refuses_with_one(&[status], what, token);
    }

    /// The same with 401.
    #[track_caller]
    fn refuses(&self, what: &str, token: &str) {
        self.refuses_with(401, what, token);
    }

    /// A token as [`HostileIssuer::mint`] makes it, with the claims of the honest one, is refused.
    #[track_caller]
    fn refuses_minted(&self, how: &Value) {
        self.refuses(&how.to_string(), &self.minted(how));
    }

    /// The same of one that names a key which its issuer does not publish. Between two readings of the keys it may be a new one: 503.
    #[track_caller]
    fn refuses_unknown_key(&self, how: &Value) {
        self.refuses_with_one(&[401, 503], &how.to_string(), &self.minted(how));
    }

    fn minted(&self, how: &Value) -> String {
        let claims = with(honest(), how.get("claims").unwrap_or(&json!({})));
        self.issuer.mint(&with(how.clone(), &json!({ "claims": claims })))
    }
}
