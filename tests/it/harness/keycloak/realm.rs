//! A realm of Keycloak, administered by its REST API as its administrators do: a client, people, groups, sessions and keys.

use serde_json::{Value, json};

use super::Keycloak;
use crate::harness::chromium::Chromium;
use crate::harness::gateway::PASSWORD;

/// A realm. It stays until Keycloak ends.
pub struct Realm {
    keycloak: &'static Keycloak,
    name: String,
}

impl Realm {
    pub(super) fn new(keycloak: &'static Keycloak, name: String) -> Self {
        Self { keycloak, name }
    }

    /// The name of the issuer.
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", self.keycloak.url(), self.name)
    }

    #[track_caller]
    fn admin(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.keycloak.admin(method, &format!("/{}{path}", self.name), body);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// The id of the one that was made.
    #[track_caller]
    fn create(&self, path: &str, body: &Value) -> String {
        let answer = self.keycloak.admin("POST", &format!("/{}{path}", self.name), body);
        answer.header("location").unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// Registers a client, and gives its secret. Its tokens have the claim `groups` with the names of a person's groups. `back_channel` is where
    /// it is told that a session ended.
    pub fn register(&self, client: &str, redirect_uris: &[&str], back_channel: Option<&str>) -> String {
        let secret = format!("the secret of {client}");
        let groups = json!({
            "name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
            "config": {
                "claim.name": "groups", "full.path": "false", "id.token.claim": "true", "userinfo.token.claim": "true",
                "access.token.claim": "true",
            },
        });
        self.create(
            "/clients",
            &json!({
                "clientId": client, "secret": secret, "publicClient": false, "standardFlowEnabled": true,
                "redirectUris": redirect_uris, "protocolMappers": [groups],
                "attributes": {
                    "backchannel.logout.url": back_channel, "backchannel.logout.session.required": "true",
                    "post.logout.redirect.uris": "+", "pkce.code.challenge.method": "S256",
                },
            }),
        );
        secret
    }

    /// Changes the members of a client, such as `redirectUris`: when the gateway's address is known later.
    pub fn change_client(&self, client: &str, change: &Value) {
        let found = self.admin("GET", &format!("/clients?clientId={client}"), &Value::Null);
        let id = found[0]["id"].as_str().unwrap();
        let mut whole = found[0].clone();
        whole.as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
        self.admin("PUT", &format!("/clients/{id}"), &whole);
    }

    /// Adds a person with [`PASSWORD`] and a verified e-mail address, and gives their id, which is their subject.
    pub fn add_person(&self, name: &str, groups: &[&str]) -> String {
        let id = self.create(
            "/users",
            &json!({
                "username": name, "email": format!("{name}@example.com"), "emailVerified": true, "enabled": true,
                "firstName": name, "lastName": "Example",
                "credentials": [{ "type": "password", "value": PASSWORD, "temporary": false }],
            }),
        );
        for group in groups {
            self.add_to_group(&id, group);
        }
        id
    }

    /// Puts a person into a group, which is made if it is missing.
    pub fn add_to_group(&self, person: &str, group: &str) {
        let id = self.group(group).unwrap_or_else(|| self.create("/groups", &json!({ "name": group })));
        self.admin("PUT", &format!("/users/{person}/groups/{id}"), &Value::Null);
    }

    /// Takes a person out of a group.
    pub fn remove_from_group(&self, person: &str, group: &str) {
        let id = self.group(group).unwrap();
        self.admin("DELETE", &format!("/users/{person}/groups/{id}"), &Value::Null);
    }

    fn group(&self, name: &str) -> Option<String> {
        let found = self.admin("GET", &format!("/groups?search={name}&exact=true"), &Value::Null);
        Some(found[0]["id"].as_str()?.to_owned())
    }

    /// Whether a person may sign in, and whether their tokens are renewed.
    pub fn enable(&self, person: &str, enabled: bool) {
        self.admin("PUT", &format!("/users/{person}"), &json!({ "enabled": enabled }));
    }

    /// Removes a person.
    pub fn remove(&self, person: &str) {
        self.admin("DELETE", &format!("/users/{person}"), &Value::Null);
    }

    /// Ends the sessions of a person: each client is told by its back channel. A sign-in that asked for `offline_access` has no session
    /// there, so that nobody is told of it; refresh tokens are given without that scope too, and last as long as the session.
    pub fn end_sessions(&self, person: &str) {
        self.admin("POST", &format!("/users/{person}/logout"), &Value::Null);
    }

    /// Signs with a new key from now on. The others stay in the key set if they are kept.
    pub fn rotate_keys(&self, keep: bool) {
        let providers = "/components?type=org.keycloak.keys.KeyProvider";
        let before = self.admin("GET", providers, &Value::Null);
        let is_signing = |key: &&Value| key["providerId"] == "rsa-generated";
        let before: Vec<Value> = before.as_array().unwrap().iter().filter(is_signing).cloned().collect();
        let priority = before.iter().filter_map(|key| key["config"]["priority"][0].as_str()?.parse::<u32>().ok()).max();
        let priority = (priority.unwrap_or(0) + 1).to_string();
        self.create(
            "/components",
            &json!({
                "name": format!("key {priority}"), "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
                "config": { "priority": [priority], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"] },
            }),
        );
        for key in before.iter().filter(|_| !keep) {
            self.admin("DELETE", &format!("/components/{}", key["id"].as_str().unwrap()), &Value::Null);
        }
    }

    /// Signs in at the page that the browser shows. With `prompt=login` in a browser that is signed in, that page has the password alone.
    #[track_caller]
    pub fn sign_in(&self, browser: &Chromium, name: &str) {
        if browser.has("#username") {
            browser.fill("#username", name);
        }
        browser.fill("#password", PASSWORD);
        let button = browser.find("#kc-login");
        browser.and_wait(|| browser.click(&button));
    }
}
