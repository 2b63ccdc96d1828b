//! The OpenID Connect providers: each is discovered, signs someone in, and gives tokens that verify.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::chromium::Chromium;
use crate::harness::gateway::Answer;
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};
use crate::harness::keycloak::Keycloak;
use crate::harness::oidc_provider::OidcProvider;
use crate::harness::plain_http::{ask, post_form};
use crate::harness::poll;

/// Of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn discover(issuer: &str) -> Value {
    let found = ask("GET", &format!("{issuer}/.well-known/openid-configuration"), &[], "").json();
    assert_eq!(found["issuer"], *issuer);
    found
}

fn text<'a>(metadata: &'a Value, name: &str) -> &'a str {
    metadata[name].as_str().unwrap_or_else(|| panic!("no {name} in {metadata}"))
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// A client of a provider that is none of ours: its pages say nothing.
struct Client {
    server: Server,
    metadata: Value,
    secret: String,
}

impl Client {
    fn new() -> Self {
        Self { server: Server::start(|_| Reply::new(200, "Back")), metadata: Value::Null, secret: String::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// Where a sign-in begins.
    fn begin(&self, scope: &str, more: &str) -> String {
        let to = self.url("/callback");
        format!(
            "{}?client_id=gate&response_type=code&redirect_uri={to}&scope={scope}&state=s1&nonce=n1\
             &code_challenge={CHALLENGE}&code_challenge_method=S256{more}",
            text(&self.metadata, "authorization_endpoint")
        )
    }

    fn callback(&self) -> String {
        let requests = self.server.requests();
        let back = requests.iter().rfind(|request| request.path() == "/callback").expect("a sign-in that came back");
        assert_eq!(back.query("state").as_deref(), Some("s1"));
        back.query("code").unwrap_or_else(|| panic!("no code in {back}"))
    }

    fn token(&self, fields: &[(&str, &str)]) -> Answer {
        let to = self.url("/callback");
        let fixed = [("client_id", "gate"), ("redirect_uri", &to), ("code_verifier", VERIFIER)];
        let credentials = self.secret.replace(' ', "+");
        let basic = base64::prelude::BASE64_STANDARD.encode(format!("gate:{credentials}"));
        let basic = format!("Authorization: Basic {basic}");
        let headers: &[&str] = if self.secret.is_empty() { &[] } else { &[&basic] };
        post_form(text(&self.metadata, "token_endpoint"), headers, &[&fixed, fields].concat())
    }

    /// The tokens of the sign-in that just came back.
    fn tokens(&self) -> Value {
        let answer = self.token(&[("grant_type", "authorization_code"), ("code", &self.callback())]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    fn refresh(&self, token: &Value) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())])
    }
}

#[test]
fn the_hostile_issuer_signs_honestly_and_otherwise() {
    let issuer = HostileIssuer::start();
    discover(issuer.issuer());
    discover(&format!("{}/with/a/path", issuer.issuer()));
    let good = issuer.token(json!({ "aud": "gate", "repository_id": "1" }));
    assert_eq!(issuer.verify(&good, "gate").unwrap()["repository_id"], "1");
    for (alg, kid) in [("ES256", "second"), ("EdDSA", "third"), ("PS384", "fourth")] {
        issuer.add_key(kid, alg);
        let token = issuer.mint(&json!({ "key": kid, "claims": { "aud": "gate" } }));
        issuer.verify(&token, "gate").unwrap();
    }
    let bad = [
        json!({ "sign": "none", "header": { "alg": "none" } }),
        json!({ "sign": "hmac", "header": { "alg": "HS256" } }),
        json!({ "sign": "random" }),
        json!({ "sign": "key", "header": { "b": 1 } }),
        json!({ "renamed": { "kid": "second" } }),
        json!({ "claims": { "aud": "another" } }),
        json!({ "claims": { "aud": "gate", "exp": 1 } }),
    ];
    for how in bad {
        let mut with_audience = json!({ "claims": { "aud": "gate" } });
        with_audience.as_object_mut().unwrap().extend(how.as_object().cloned().unwrap());
        issuer.verify(&issuer.mint(&with_audience), "gate").unwrap_err();
    }
    issuer.publish("first", false);
    assert!(issuer.verify(&good, "gate").unwrap_err().contains("no applicable key"));
}

#[test]
fn the_hostile_issuer_misbehaves_as_it_is_told() {
    let issuer = HostileIssuer::start();
    let jwks = format!("{}/jwks", issuer.issuer());
    issuer.behave("jwks", json!({ "more_keys": 3, "padding": 10 }));
    let answer = ask("GET", &jwks, &[], "");
    assert_eq!((answer.json()["keys"].as_array().unwrap().len(), answer.body[..10].trim_ascii()), (4, &b""[..]));
    issuer.behave("jwks", json!({ "redirect": "http://127.0.0.1:1/" }));
    assert_eq!(ask("GET", &jwks, &[], "").header("location"), Some("http://127.0.0.1:1/"));
    issuer.behave("discovery", json!({ "patch": { "issuer": "https://other.example", "jwks_uri": null } }));
    let found = ask("GET", &format!("{}/.well-known/openid-configuration", issuer.issuer()), &[], "").json();
    assert_eq!((&found["issuer"], found.get("jwks_uri")), (&json!("https://other.example"), None));
    issuer.behave("jwks", json!({ "status": 500, "body": "no", "drip": 1 }));
    let answer = ask("GET", &jwks, &[], "");
    assert_eq!((answer.status, answer.text()), (500, "no"));
    issuer.behave("jwks", Value::Null);
    assert_eq!(ask("GET", &jwks, &[], "").json()["keys"].as_array().unwrap().len(), 1);
    assert_eq!((issuer.count("jwks"), issuer.count("discovery")), (4, 1));
    assert_eq!(issuer.requests("jwks")[0]["method"], "GET");
}

#[test]
fn the_hostile_issuer_signs_people_in() {
    let issuer = HostileIssuer::start();
    let mut client = Client::new();
    client.metadata = discover(issuer.issuer());
    let follow = || {
        let answer = ask("GET", &client.begin("openid", ""), &[], "");
        ask("GET", answer.header("location").unwrap(), &[], "");
    };
    follow();
    let tokens = client.tokens();
    let token = text(&tokens, "id_token");
    assert_eq!(issuer.verify(token, "gate").unwrap()["nonce"], "n1");
    assert_eq!(client.token(&[("grant_type", "authorization_code"), ("code", &client.callback())]).status, 400);
    assert_eq!(claims(text(&client.refresh(&tokens["refresh_token"]).json(), "id_token"))["sub"], "subject");
    issuer.sign_in_returns(
        json!({ "id_token": { "claims": { "sub": "2", "nonce": null } }, "token": { "access_token": null } }),
    );
    follow();
    let tokens = client.tokens();
    let claims = claims(text(&tokens, "id_token"));
    assert_eq!((&claims["sub"], claims.get("nonce"), tokens.get("access_token")), (&json!("2"), None, None));
}

#[test]
fn the_certified_provider_signs_people_in() {
    let provider = OidcProvider::start();
    let mut client = Client::new();
    client.metadata = discover(provider.issuer());
    client.secret = "a secret".to_owned();
    let (callback, told) = (client.url("/callback"), client.url("/told"));
    provider.register("gate", &client.secret, &[&callback], Some(&told));
    let ada =
        json!({ "preferred_username": "ada", "email": "ada@example.com", "email_verified": true, "groups": ["a"] });
    provider.set_account("1", &ada);
    let browser = Chromium::without_scripts();
    browser.open(&client.begin("openid+profile+email+offline_access", "&prompt=consent"));
    provider.sign_in(&browser, "ada");
    let tokens = client.tokens();
    let found = claims(text(&tokens, "id_token"));
    assert_eq!((&found["sub"], &found["groups"], &found["nonce"]), (&json!("1"), &json!(["a"]), &json!("n1")));
    // Its claims change, and its keys.
    provider.set_account("1", &json!({ "preferred_username": "ada", "groups": [] }));
    provider.rotate_keys(true);
    let renewed = client.refresh(&tokens["refresh_token"]).json();
    assert_eq!(claims(text(&renewed, "id_token"))["groups"], json!([]));
    assert_eq!(client.refresh(&tokens["refresh_token"]).json()["error"], "invalid_grant", "used twice");
    // Its administrator ends the session.
    let ended = provider.end_sessions("1");
    assert_eq!((ended.len(), &ended[0]["status"]), (1, &json!(200)));
    assert_eq!(client.server.count("POST", "/told"), 1);
    // Signed in again, and removed.
    browser.open(&client.begin("openid+offline_access", "&prompt=consent"));
    provider.sign_in(&browser, "ada");
    let tokens = client.tokens();
    provider.remove_account("1");
    assert_eq!(client.refresh(&tokens["refresh_token"]).json()["error"], "invalid_grant", "removed");
}

#[test]
fn keycloak_signs_people_in() {
    let realm = Keycloak::shared().realm();
    let mut client = Client::new();
    client.metadata = discover(&realm.issuer());
    let (callback, told) = (client.url("/callback"), client.url("/told"));
    client.secret = realm.register("gate", &[&callback], Some(&told));
    let ada = realm.add_person("ada", &["gpu-admins", "research"]);
    let browser = Chromium::start();
    browser.open(&client.begin("openid+profile+email", ""));
    realm.sign_in(&browser, "ada");
    let tokens = client.tokens();
    let found = claims(text(&tokens, "id_token"));
    assert_eq!((&found["sub"], &found["email_verified"], &found["nonce"]), (&json!(ada), &json!(true), &json!("n1")));
    assert_eq!(found["groups"].as_array().unwrap().len(), 2, "{found}");
    realm.remove_from_group(&ada, "gpu-admins");
    realm.rotate_keys(false);
    let renewed = client.refresh(&tokens["refresh_token"]).json();
    assert_eq!(claims(text(&renewed, "id_token"))["groups"], json!(["research"]), "{renewed}");
    realm.enable(&ada, false);
    assert_eq!(client.refresh(&renewed["refresh_token"]).json()["error"], "invalid_grant", "disabled");
    realm.enable(&ada, true);
    browser.open(&client.begin("openid+profile+email", "&prompt=login"));
    realm.sign_in(&browser, "ada");
    client.tokens();
    realm.end_sessions(&ada);
    poll("the logout token", || (client.server.count("POST", "/told") > 0).then_some(()));
}
