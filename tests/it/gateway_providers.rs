//! People sign in at a provider: what a hostile one, another browser or a stranger can do, and what the claims give. The provider is a
//! hostile issuer, and the browser is a jar of cookies that keeps to `SameSite`.

mod accounts;
mod browser;
mod forged;
mod local;
mod outage;
mod reauthentication;
mod recheck;
mod recorded_claims;
mod replicas;
mod sign_in;
mod sign_out;
mod strangers;

use std::path::PathBuf;

use serde_json::{Value, json};

use self::browser::Browser;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};
use crate::harness::set_clock::SetClock;

const CLIENT: &str = "gateway";
const SECRET: &str = "the secret of the client";
const RULES: &str = "rules = [{ value = \"admins\", role = \"admin\" }, { value = \"lab\", groups = [\"lab\"] }, \
                     { value = \"staff\", role = \"member\" }]\n";

/// A gateway with one provider, called company, and the administrator root.
struct Given {
    issuer: HostileIssuer,
    gateway: Gateway,
    clock: SetClock,
    file: PathBuf,
    folder: Sandbox,
    _upstream: Server,
}

impl Given {
    /// With these settings of the provider.
    fn start(more: &str) -> Self {
        let given = Self::without_accounts("", more);
        given.gateway.add_user("root", "admin");
        given
    }

    /// The same without an account, and with other settings before the tables.
    fn without_accounts(top: &str, more: &str) -> Self {
        let (issuer, folder) = (HostileIssuer::start(), Sandbox::new());
        let clock = SetClock::at(jiff::Timestamp::now().as_second());
        let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
        let file = folder.path("gateway.toml");
        folder.write("client-secret", SECRET);
        folder.write("secret", "a secret of forty-two characters for a test");
        folder.write("gateway.toml", table(&issuer, top, more));
        let args = ["--config", file.to_str().unwrap()];
        let gateway = Gateway::start_with_within(&upstream.url(), &args, &clock.line());
        Self { issuer, gateway, clock, file, folder, _upstream: upstream }
    }

    /// Other settings, put into effect.
    fn reload(&self, top: &str, more: &str) {
        let log = self.gateway.reload(&self.folder.path("gateway.toml"), &table(&self.issuer, top, more));
        assert!(log.contains("configuration reloaded"), "{log}");
    }

    fn browser(&self) -> Browser<'_> {
        Browser::new(&self.gateway)
    }

    /// What the provider says of whoever signs in from now on. The times are the gateway's.
    fn person(&self, claims: &Value) {
        self.returns(json!({ "id_token": { "claims": claims } }));
    }

    /// The same with more of what the provider returns.
    fn returns(&self, mut how: Value) {
        let now = self.clock.now();
        let claims = &mut how["id_token"]["claims"];
        let mut all = json!({
            "sub": "1", "preferred_username": "ada", "email": "ada@example.com", "email_verified": true, "groups": ["staff"],
            "iat": now, "exp": now + 300, "auth_time": now,
        });
        all.as_object_mut().unwrap().extend(claims.as_object().cloned().unwrap_or_default());
        *claims = all;
        self.issuer.sign_in_returns(how);
    }

    fn users(&self) -> Vec<Value> {
        let listed = self.gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
        listed["users"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn user(&self, name: &str) -> Value {
        let users = self.users();
        users.iter().find(|user| user["name"] == name).unwrap_or_else(|| panic!("no {name} in {users:?}")).clone()
    }

    /// The events of that action, the oldest first.
    fn events(&self, action: &str) -> Vec<Value> {
        let events = self.gateway.admin(&["audit", "--limit", "1000", "--json"]).expect_code(0).json();
        let all = events["events"].as_array().unwrap().clone();
        let mut found: Vec<_> = all.into_iter().filter(|event| event["action"] == action).collect();
        found.sort_by_key(|event| event["id"].as_i64());
        found
    }
}

/// The configuration. Relative paths are below its folder.
fn table(issuer: &HostileIssuer, top: &str, more: &str) -> String {
    let issuer = issuer.issuer();
    let rules = if more.contains("rules") { "" } else { RULES };
    format!(
        "secret-file = \"secret\"\n{top}\n[groups.lab]\n[groups.own]\n[oidc.company]\nissuer = \"{issuer}\"\nclient-id = \"{CLIENT}\"\n\
         client-secret-file = \"client-secret\"\ntitle = \"Company\"\n{rules}{more}\n"
    )
}
