//! What a provider says about a person, and the secrets of a sign-in, are recorded only as far as they are needed.

use serde_json::json;

use super::{Given, SECRET};
use crate::gateway_audit_privacy::assert_absent;
use crate::harness::poll;

#[test]
fn api_keys_in_claims_and_secrets_of_a_sign_in_are_recorded_nowhere() {
    let given = Given::start("");
    let key = given.gateway.key(&given.gateway.device_of("root"), &["k"]);
    given.person(&json!({ "sub": "1", "preferred_username": key, "email": format!("{key}@example.com"), "name": key, "groups": [key, "staff"] }));
    given.browser().signed_in();
    given.person(
        &json!({ "sub": "2", "preferred_username": key, "email": format!("{key}@example.com"), "groups": [key] }),
    );
    assert_eq!(given.browser().sign_in().status, 403);
    // What a stranger sends in place of a provider.
    for name in ["error", "error_description", "code", "state"] {
        given.gateway.ask("GET", &format!("/oidc/company/callback?state=x&{name}={key}"), &[], "");
    }
    let events = || given.gateway.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0).stdout;
    poll("the refusal", || String::from_utf8_lossy(&events()).contains("not_admitted").then_some(()));
    let canaries = [key, SECRET.to_owned()];
    assert_absent("the event log", &events(), &canaries);
    assert_absent("the accounts", &given.gateway.admin(&["user", "list", "--json"]).stdout, &canaries);
    assert_absent("the log", given.gateway.child().wait_stderr(|_| true).as_bytes(), &canaries);
    for more in ["", "-wal"] {
        let path = format!("{}{more}", given.gateway.database().display());
        assert_absent(&path, &std::fs::read(&path).unwrap(), &canaries);
    }
}
