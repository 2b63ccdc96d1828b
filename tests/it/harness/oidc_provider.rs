//! The certified `oidc-provider` of npm (`tests/oidc/provider.mjs`): people sign in on pages of its own that need no script.
//!
//! It is at `localhost`, while the gateways of the tests are at `127.0.0.1`: two sites, as provider and gateway are in practice, so that
//! browsers send no cookie that is `SameSite=Strict` on the way back. PKCE is required. Scopes: `openid`, `profile`
//! (`preferred_username`, `name`, `groups`), `email` (`email`, `email_verified`), `groups`, and `offline_access`, which gives a refresh
//! token if the request says `prompt=consent` too, as OpenID Connect demands.

use std::ops::Deref;

use serde_json::{Value, json};

use super::chromium::Chromium;
use super::gateway::PASSWORD;
use super::node_server::NodeServer;

/// The server (to which it dereferences for [`issuer`](NodeServer::issuer), and [`count`](NodeServer::count) and
/// [`requests`](NodeServer::requests) of a path such as `/token`, `/auth`, `/me`, `/jwks`).
pub struct OidcProvider(NodeServer);

impl OidcProvider {
    /// With no client and no account.
    pub fn start() -> Self {
        Self(NodeServer::start("provider.mjs", include_str!("../../oidc/provider.mjs"), "localhost"))
    }

    /// Registers a client, or replaces it: it may be done after the gateway has its address. An empty secret makes a public client.
    /// `back_channel` is where it is told that a session ended.
    pub fn register(&self, client: &str, secret: &str, redirect_uris: &[&str], back_channel: Option<&str>) {
        self.register_with(&json!({
            "client_id": client,
            "client_secret": if secret.is_empty() { Value::Null } else { secret.into() },
            "redirect_uris": redirect_uris,
            "post_logout_redirect_uris": redirect_uris.iter().map(|uri| origin(uri)).collect::<Vec<_>>(),
            "backchannel_logout_uri": back_channel,
            "backchannel_logout_session_required": true,
        }));
    }

    /// The same with any metadata of a client. What is null is left out.
    pub fn register_with(&self, metadata: &Value) {
        let mut metadata = metadata.clone();
        metadata.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.call("client", &metadata);
    }

    /// An account, new or changed. `claims` has `preferred_username`, by which the person signs in with [`PASSWORD`], and others such as
    /// `name`, `email`, `email_verified` and `groups`. Claims are looked up whenever a token is made.
    pub fn set_account(&self, subject: &str, claims: &Value) {
        self.call("account", &json!({ "sub": subject, "password": PASSWORD, "claims": claims }));
    }

    /// Removes an account: it cannot sign in, and its refresh tokens are refused (`invalid_grant`).
    pub fn remove_account(&self, subject: &str) {
        self.call("remove_account", &json!({ "sub": subject }));
    }

    /// Whether the claims of scopes are in ID tokens (true at the beginning), or at the userinfo endpoint alone.
    pub fn put_claims_in_id_tokens(&self, wanted: bool) {
        self.call("configure", &json!({ "claims_in_id_token": wanted }));
    }

    /// Whether each refresh token is used once (true at the beginning).
    pub fn rotate_refresh_tokens(&self, wanted: bool) {
        self.call("configure", &json!({ "rotate_refresh_tokens": wanted }));
    }

    /// Signs with a new key from now on. The others stay in the key set or not.
    pub fn rotate_keys(&self, keep: bool) {
        self.call("rotate", &json!({ "keep": keep }));
    }

    /// Ends the sessions of an account, and tells each client by its back channel. Gives, for each, `client_id`, `sid` and the `status` that
    /// it answered.
    pub fn end_sessions(&self, subject: &str) -> Vec<Value> {
        self.call("logout", &json!({ "sub": subject })).as_array().cloned().unwrap_or_default()
    }

    /// Signs in at the page that the browser shows, and allows what the client asks for if that is asked.
    #[track_caller]
    pub fn sign_in(&self, browser: &Chromium, name: &str) {
        browser.fill("[name=login]", name);
        browser.fill("[name=password]", PASSWORD);
        browser.press("Sign in");
        if browser.title() == "Allow access?" {
            browser.press("Allow");
        }
    }
}

/// `http://127.0.0.1:PORT/` of a URL.
fn origin(url: &str) -> String {
    format!("{}/", url::Url::parse(url).unwrap().origin().ascii_serialization())
}

impl Deref for OidcProvider {
    type Target = NodeServer;

    fn deref(&self) -> &NodeServer {
        &self.0
    }
}
