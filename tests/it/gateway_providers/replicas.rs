//! Several gateways on one database: each finishes what another began, and a sign-out at the provider ends sessions at all of them.

use serde_json::{Value, json};

use super::{Browser, CLIENT, SECRET};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};
use crate::harness::pages::FORM;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

struct Pair {
    issuer: HostileIssuer,
    one: Gateway,
    other: Gateway,
    _upstream: Server,
    _folder: Sandbox,
}

fn pair() -> Pair {
    let (issuer, folder) = (HostileIssuer::start(), Sandbox::new());
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    folder.write("client-secret", SECRET);
    let text = format!(
        "[oidc.company]\nissuer = \"{}\"\nclient-id = \"{CLIENT}\"\nclient-secret-file = \"client-secret\"\ndefault-role = \"member\"\n",
        issuer.issuer()
    );
    let file = folder.write("gateway.toml", text);
    let args = ["--config", file.to_str().unwrap()];
    let database = Postgres::shared().database();
    let [one, other] = [(); 2].map(|()| Gateway::start_on(&database, &upstream.url(), &args));
    one.add_user("root", "admin");
    poll("the account at the other gateway", || (other.status_of("nothing") == 401).then_some(()));
    Pair { issuer, one, other, _upstream: upstream, _folder: folder }
}

impl Pair {
    fn person(&self, session: &str) {
        let claims = json!({
            "sub": "1", "sid": session, "preferred_username": "ada", "email": "ada@example.com", "email_verified": true,
        });
        self.issuer.sign_in_returns(json!({ "id_token": { "claims": claims } }));
    }

    /// The provider tells a gateway of a sign-out.
    #[track_caller]
    fn tell(&self, gateway: &Gateway, claims: &Value) {
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let mut all = json!({ "aud": CLIENT, "events": { event: {} }, "sub": null });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let token = self.issuer.mint(&json!({ "claims": all }));
        let told = gateway.ask("POST", "/oidc/company/logout", &[FORM], &format!("logout_token={token}"));
        assert_eq!(told.status, 200, "{}", told.text());
    }
}

#[test]
fn a_sign_out_told_to_one_gateway_ends_sessions_and_sign_ins_at_another() {
    let pair = pair();
    pair.person("a");
    let open = Browser::new(&pair.other).signed_in();
    // The session "a" has another tab, whose answer of the provider is on its way.
    let late = Browser::new(&pair.other);
    let back = late.at_provider(&late.begin());
    pair.tell(&pair.one, &json!({ "sid": "a" }));
    assert_eq!(late.arrive(&back).status, 503, "the sign-in has ended at the provider");
    assert!(late.cookies("-session-").is_empty());
    poll("the end of the session", || (!open.is_signed_in()).then_some(()));

    pair.person("b");
    let open = Browser::new(&pair.other).signed_in();
    pair.tell(&pair.one, &json!({ "sub": "1" }));
    poll("the end of all sessions", || (!open.is_signed_in()).then_some(()));
    Browser::new(&pair.one).signed_in();
}

#[test]
fn a_logout_token_counts_once_at_all_gateways() {
    let pair = pair();
    pair.person("a");
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let claims = json!({ "aud": CLIENT, "events": { event: {} }, "sub": "1", "sid": null });
    let body = format!("logout_token={}", pair.issuer.mint(&json!({ "claims": claims })));
    let tell = |gateway: &Gateway| gateway.ask("POST", "/oidc/company/logout", &[FORM], &body).status;
    assert_eq!(tell(&pair.one), 200);
    let open = Browser::new(&pair.other).signed_in();
    assert_eq!(tell(&pair.other), 400);
    assert!(open.is_signed_in());
    // Neither does a code: the cookie of the sign-in is the same.
    let first = Browser::new(&pair.one);
    let back = first.at_provider(&first.begin());
    let second = first.copy();
    assert_eq!(first.arrive(&back).status, 200);
    assert_eq!(second.arrive(&back).status, 403);
}
