//! A provider that misbehaves as a test says (`tests/oidc/hostile.mjs`, on npm's `jose`). It serves discovery, keys, authorization,
//! token, userinfo and end of session, and mints any token.
//!
//! An issuer may have a path: `{issuer}/a/b` is one too, with the same keys, whose endpoints lie below that path. At the beginning it has
//! one key, called `first`, of RS256, whose id is `first`.
//!
//! ```ignore
//! let issuer = HostileIssuer::start();
//! let token = issuer.token(json!({ "aud": "https://gpu.example.com", "repository_id": "1" }));
//! let forged = issuer.mint(&json!({ "sign": "hmac", "header": { "alg": "HS256" }, "claims": { "aud": "…" } }));
//! issuer.behave("jwks", json!({ "stall": true }));
//! ```

use std::ops::Deref;

use serde_json::{Value, json};

use super::node_server::NodeServer;

/// The server (to which it dereferences for [`issuer`](NodeServer::issuer), [`count`](NodeServer::count) and
/// [`requests`](NodeServer::requests)). Its endpoints are `discovery`, `jwks`, `authorize`, `token`, `userinfo`, `end_session`,
/// `key` (see [`key_set_of`](Self::key_set_of)) and `other`.
pub struct HostileIssuer(NodeServer);

impl HostileIssuer {
    /// At `http://127.0.0.1:PORT`.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1")
    }

    /// At that name of this machine. For browsers `localhost` is another site than `127.0.0.1`.
    pub fn start_at(host: &str) -> Self {
        Self(NodeServer::start("hostile.mjs", include_str!("../../oidc/hostile.mjs"), host))
    }

    /// An honest token with those claims beside the usual `iss`, `sub`, `iat`, `exp` (in five minutes) and `jti`. A claim that is
    /// null is left out.
    #[track_caller]
    pub fn token(&self, claims: Value) -> String {
        self.mint(&json!({ "claims": claims }))
    }

    /// Any token. Members, all optional:
    ///
    /// - `key`: the name of the key, `first` otherwise.
    /// - `claims` beside the usual ones, or `payload`: the text that is signed instead.
    /// - `header` beside `alg`, `kid` and `typ`; null leaves a parameter out.
    /// - `sign`: `honest` (by jose, the default); `none` (an empty signature); `hmac` (with the public key as the secret, which has
    ///   the `form` `pem`, `pem-without-newline`, `der`, `jwk`, `modulus` or `empty`); `random`; `raw` (SHA-256 with the key, whatever the
    ///   header says); `key` (a good signature of another header).
    /// - `renamed`: header parameters that are changed after the token was signed.
    #[track_caller]
    pub fn mint(&self, how: &Value) -> String {
        self.call("mint", how).as_str().unwrap().to_owned()
    }

    /// What jose makes of a token: its claims, or why it refuses it.
    pub fn verify(&self, token: &str, audience: &str) -> Result<Value, String> {
        self.try_call("verify", &json!({ "token": token, "audience": audience }))
    }

    /// Makes a key of that name, or replaces it, and gives its public half. `alg` is one of jose's, such as `RS256`, `PS384`, `ES256`
    /// or `EdDSA`.
    #[track_caller]
    pub fn add_key(&self, name: &str, alg: &str) -> Value {
        self.make_key(&json!({ "name": name, "alg": alg }))
    }

    /// The same with more to say: `kid`, `published` (true otherwise), and `members` of its JWK that are set, or removed by null.
    #[track_caller]
    pub fn make_key(&self, how: &Value) -> Value {
        self.call("key", how)
    }

    /// Whether the key is in the key set from now on.
    pub fn publish(&self, name: &str, published: bool) {
        self.call("publish", &json!({ "name": name, "published": published }));
    }

    /// Where a key set is that holds this key alone, published or not: for `jku`.
    pub fn key_set_of(&self, name: &str) -> String {
        format!("{}/keys/{name}", self.issuer())
    }

    /// How an endpoint misbehaves from now on; null: not at all. Members, all optional:
    ///
    /// - `close`: the connection is closed instead of an answer; `stall`: no answer comes; `redirect`: to that URL;
    ///   `endless`: a key set that does not end.
    /// - `status`, `headers`, `body` (text) instead of the honest ones; `patch`: members of the JSON that are set, or removed by null.
    /// - `more_keys`: so many other keys before the honest ones in a key set; `padding`: so many bytes of white space before the body.
    /// - `drip`: the body comes byte by byte, one every so many milliseconds.
    pub fn behave(&self, endpoint: &str, how: Value) {
        self.call("behave", &json!({ "endpoint": endpoint, "how": how }));
    }

    /// What a sign-in of a person returns from now on: the authorization endpoint signs everyone in at once. Codes are used once and the
    /// token endpoint checks PKCE. Members, all optional; null removes a member or claim:
    ///
    /// - `response`: parameters of the redirect (`code`, `state`, `iss`, `error`); `redirect`: to that URL instead of the `redirect_uri`.
    /// - `id_token`: as for [`mint`](Self::mint), such as `{"claims": {"sub": "1", "email": "…"}}`. The usual claims are `iss`, `aud`
    ///   (the client), `nonce`, `auth_time` and `at_hash` beside those of a token.
    /// - `token`: members of the token endpoint's response; `userinfo`: claims of the userinfo endpoint, beside `sub`.
    /// - `reusable_codes`: a code can be used again.
    pub fn sign_in_returns(&self, how: Value) {
        self.call("sign_in", &json!({ "how": how }));
    }

    /// The ID token of the last sign-in.
    pub fn last_id_token(&self) -> String {
        self.call("last_id_token", &json!({})).as_str().expect("somebody has signed in").to_owned()
    }
}

impl Deref for HostileIssuer {
    type Target = NodeServer;

    fn deref(&self) -> &NodeServer {
        &self.0
    }
}
