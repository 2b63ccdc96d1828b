//! The provider is asked again about people who signed in.

use serde_json::{Value, json};

use super::Given;
use crate::harness::{contains, poll};

const MORE: &str = "recheck = \"1m\"\ndefault-role = \"none\"\n";

/// Ada has signed in, with a device and a key.
struct Signed {
    given: Given,
    key: String,
}

fn signed_in() -> Signed {
    let given = Given::start(MORE);
    given.person(&json!({ "groups": ["staff", "lab"] }));
    given.browser().signed_in();
    let device = given.gateway.device_of("ada");
    let make = ["keys", "create", "ci", "--host", &given.gateway.url()];
    let key = device.command(make).run().expect_code(0).stdout().trim().to_owned();
    assert_eq!(given.gateway.status_of(&key), 200);
    Signed { given, key }
}

impl Signed {
    /// Lets the time until the next look pass, and waits for it.
    fn pass(&self) {
        self.pass_seconds(61);
    }

    fn pass_seconds(&self, seconds: i64) {
        let asked = |given: &Given| {
            let all = given.issuer.requests("token");
            all.iter().filter(|request| request["body"].as_str().unwrap().contains("refresh_token")).count()
        };
        let before = asked(&self.given);
        self.given.clock.pass(seconds);
        let given = &self.given;
        poll("the question to the provider", || (asked(given) > before).then_some(()));
    }
}

#[test]
fn it_asks_for_a_refresh_token_that_nobody_can_read_in_the_database() {
    let signed = signed_in();
    let url = signed.given.browser().begin();
    assert!(url.contains("offline_access") && url.contains("prompt=consent"), "{url}");
    let bodies = |given: &Given| -> Vec<String> {
        given.issuer.requests("token").iter().map(|request| request["body"].as_str().unwrap().to_owned()).collect()
    };
    // Until the answer has had its effect: otherwise the time that passes next would end the request.
    for groups in [json!(["staff"]), json!(["staff", "lab"])] {
        signed.given.person(&json!({ "groups": groups }));
        signed.pass();
        let wanted = groups.as_array().unwrap().len() - 1;
        poll("the groups", || (signed.given.user("ada")["groups"].as_array().unwrap().len() == wanted).then_some(()));
    }
    let given = &signed.given;
    let used: Vec<String> = bodies(given)
        .iter()
        .filter_map(|body| {
            url::form_urlencoded::parse(body.as_bytes())
                .find(|(name, _)| name == "refresh_token")
                .map(|(_, value)| value.into_owned())
        })
        .collect();
    assert!(used.len() >= 2 && used[0] != used[1], "each is used once: {used:?}");
    let database: Vec<u8> = ["", "-wal"]
        .iter()
        .flat_map(|more| std::fs::read(format!("{}{more}", given.gateway.database().display())).unwrap_or_default())
        .collect();
    let log = given.gateway.child().wait_stderr(|_| true);
    for token in &used {
        assert!(!contains(&database, token.as_bytes()) && !log.contains(token.as_str()), "a token can be read");
    }
    assert_eq!(given.gateway.status_of(&signed.key), 200);
}

#[test]
fn new_claims_count_and_the_last_rule_takes_everything() {
    let signed = signed_in();
    signed.given.person(&json!({ "groups": ["staff"] }));
    signed.pass();
    let given = &signed.given;
    poll("the groups", || (given.user("ada")["groups"] == json!([])).then_some(()));
    assert_eq!(given.user("ada")["role"], "member");
    signed.given.person(&json!({ "groups": ["others"] }));
    signed.pass();
    let given = &signed.given;
    poll("the end of the key", || (given.gateway.status_of(&signed.key) != 200).then_some(()));
    assert_eq!(given.events("user.suspended").len(), 1);
    given.person(&json!({ "groups": ["staff"] }));
    given.browser().signed_in();
    assert_eq!(given.gateway.status_of(&signed.key), 200);
}

#[test]
fn who_is_removed_at_the_provider_loses_everything_until_the_next_sign_in() {
    let signed = signed_in();
    let browser = signed.given.browser().signed_in();
    signed.given.issuer.behave("token", json!({ "status": 400, "body": "{\"error\":\"invalid_grant\"}" }));
    signed.pass();
    let given = &signed.given;
    poll("the end of the key", || (given.gateway.status_of(&signed.key) != 200).then_some(()));
    assert!(!browser.is_signed_in());
    let user = given.user("ada");
    assert!(user["suspended_reason"].as_str().unwrap().contains("no longer admits"), "{user}");
    assert_eq!(given.events("user.suspended")[0]["details"]["provider"], "company");
    // Nobody is asked about again.
    let asked = given.issuer.count("token");
    given.clock.pass(300);
    given.issuer.behave("token", Value::Null);
    given.person(&json!({}));
    given.browser().signed_in();
    assert_eq!(given.issuer.count("token"), asked + 1);
    assert_eq!(given.gateway.status_of(&signed.key), 200);
    assert_eq!(given.user("ada")["suspended_at"], Value::Null);
}

/// It would refuse an unknown one, and may give a refresh token without it.
#[test]
fn a_provider_is_not_asked_for_a_scope_that_it_does_not_know() {
    let signed = signed_in();
    let known = json!({ "patch": { "scopes_supported": ["openid", "profile", "email"] } });
    signed.given.issuer.behave("discovery", known);
    signed.given.clock.pass(60);
    let url = signed.given.browser().begin();
    assert!(!url.contains("offline_access") && !url.contains("prompt="), "{url}");
}

#[test]
fn what_a_provider_says_about_the_person_counts_and_what_it_says_about_the_gateway_does_not() {
    for (error, admits) in [("invalid_client", true), ("server_error", true), ("access_denied", false)] {
        let signed = signed_in();
        let given = &signed.given;
        given.issuer.behave("token", json!({ "status": 400, "body": json!({ "error": error }).to_string() }));
        signed.pass();
        let is_over = || given.user("ada")["suspended_at"] != Value::Null;
        if !admits {
            poll("the end of the account", || is_over().then_some(()));
            continue;
        }
        // The answer has had its effect once the provider is asked again.
        given.clock.pass(300);
        let asked = given.issuer.count("token");
        poll("another question", || (given.issuer.count("token") > asked).then_some(()));
        assert!(!is_over() && given.gateway.status_of(&signed.key) == 200, "{error}");
    }
}

#[test]
fn while_the_provider_is_down_nothing_changes() {
    let signed = signed_in();
    for how in [
        json!({ "close": true }),
        json!({ "status": 500 }),
        json!({ "body": "{}" }),
        json!({ "status": 401, "body": "{\"error\":\"invalid_client\"}" }),
        json!({ "status": 400, "body": "{\"error\":\"temporarily_unavailable\"}" }),
    ] {
        // The issuer of the tests uses the token up, whatever it answers.
        signed.given.person(&json!({ "groups": ["staff", "lab"] }));
        signed.given.browser().signed_in();
        signed.given.issuer.behave("token", how.clone());
        signed.pass();
        signed.given.issuer.behave("token", Value::Null);
        assert_eq!(signed.given.gateway.status_of(&signed.key), 200, "{how}");
    }
    // Closed before it was looked at, the same token is good afterwards.
    signed.given.browser().signed_in();
    signed.given.issuer.behave("token", json!({ "close": true }));
    signed.pass();
    signed.given.issuer.behave("token", Value::Null);
    signed.given.person(&json!({ "groups": ["staff"] }));
    // After a failure some time passes before the next attempt.
    signed.pass_seconds(121);
    let given = &signed.given;
    poll("the groups", || (given.user("ada")["groups"] == json!([])).then_some(()));
    assert!(given.events("user.suspended").is_empty());
}

#[test]
fn without_a_refresh_token_nobody_stays() {
    let given = Given::start("default-role = \"none\"\n");
    let staff = json!({ "groups": ["staff"] });
    given.person(&staff);
    let early = given.browser().signed_in();
    let device = given.gateway.device_of("ada");
    let list = ["keys", "list", "--host", &given.gateway.url()];
    given.reload("", MORE);
    // The request passes through the browser, which can take the scope out of it.
    given.returns(json!({ "id_token": { "claims": staff }, "token": { "refresh_token": null } }));
    let refused = given.browser().sign_in();
    assert!(refused.status == 403 && refused.text().contains("allow offline"), "{}", refused.text());
    device.command(list).run().expect_code(0);
    // Nor does who signed in before: until the next sign-in.
    given.clock.pass(61);
    poll("the end of the device", || (device.command(list).run().code() != 0).then_some(()));
    assert!(!early.is_signed_in());
    let cause = given.events("user.suspended")[0]["details"]["cause"].clone();
    assert!(cause.as_str().unwrap().contains("no refresh token"), "{cause}");
    given.person(&staff);
    given.browser().signed_in();
    device.command(list).run().expect_code(0);
}

#[test]
fn a_token_of_another_client_is_not_sent_and_counts_as_none() {
    let signed = signed_in();
    let given = &signed.given;
    let asked = given.issuer.count("token");
    let text =
        std::fs::read_to_string(&given.file).unwrap().replace("client-id = \"gateway\"", "client-id = \"other\"");
    std::fs::write(&given.file, text).unwrap();
    given.gateway.child().signal(rustix::process::Signal::HUP);
    given.gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
    given.clock.pass(61);
    given.gateway.child().wait_stderr(|text| text.contains("the person has to sign in again"));
    assert_eq!(given.gateway.status_of(&signed.key), 200, "there is time for that");
    given.clock.pass(61);
    poll("the end of the key", || (given.gateway.status_of(&signed.key) != 200).then_some(()));
    assert_eq!(given.issuer.count("token"), asked);
}

#[test]
fn a_failure_after_the_answer_postpones_nothing() {
    let signed = signed_in();
    let given = &signed.given;
    // Without the groups the userinfo endpoint is asked, which fails once.
    given.issuer.behave("userinfo", json!({ "status": 500 }));
    given.person(&json!({ "groups": null }));
    signed.pass();
    let says = "a person could not be looked up at the provider";
    given.gateway.child().wait_stderr(|text| text.contains(says));
    given.issuer.behave("userinfo", Value::Null);
    given.person(&json!({ "groups": ["staff"] }));
    // Long before the time of the next look.
    signed.pass_seconds(121);
    poll("the groups", || (given.user("ada")["groups"] == json!([])).then_some(()));
}

#[test]
fn a_gateway_that_stops_waits_for_the_answer() {
    let mut signed = signed_in();
    signed.given.issuer.behave("token", json!({ "drip": 1 }));
    signed.pass();
    signed.given.gateway.end(rustix::process::Signal::TERM);
    signed.given.issuer.behave("token", Value::Null);
    signed.given.gateway.restart();
    signed.given.person(&json!({ "groups": ["staff"] }));
    signed.pass();
    let given = &signed.given;
    poll("the groups", || (given.user("ada")["groups"] == json!([])).then_some(()));
    assert!(given.events("user.suspended").is_empty(), "the token is the one that the provider gave");
}

#[test]
fn an_answer_about_another_person_changes_nothing() {
    let signed = signed_in();
    signed.given.person(&json!({ "sub": "2", "groups": ["admins"] }));
    for count in 1..3 {
        // After a failure some time passes before the next attempt.
        signed.pass_seconds(121);
        let says = "a person could not be looked up at the provider";
        signed.given.gateway.child().wait_stderr(|text| text.matches(says).count() >= count);
    }
    let user = signed.given.user("ada");
    assert_eq!((&user["role"], &user["suspended_at"]), (&json!("member"), &Value::Null));
}
