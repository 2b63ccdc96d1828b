//! Who gets an account, with which role and groups, and what becomes of it.

use rustix::process::Signal;
use serde_json::json;

use super::Given;
use crate::harness::poll;

#[test]
fn an_account_is_made_for_those_who_are_allowed_only() {
    let given = Given::start("allowed-domains = [\"example.com\"]\ndefault-role = \"none\"\n");
    for (claims, title) in [
        (json!({ "email_verified": false }), "Your e-mail address is not verified"),
        (json!({ "email_verified": null }), "Your e-mail address is not verified"),
        (json!({ "email": null }), "Your e-mail address is not verified"),
        (json!({ "email": "ada@evil.example" }), "Your e-mail address is not allowed"),
        (json!({ "email": "ada@example.com@evil.example" }), "Your e-mail address is not allowed"),
        (json!({ "email": "ada@sub.example.com" }), "Your e-mail address is not allowed"),
        (json!({ "groups": ["others"] }), "You may not use this gateway"),
        (json!({ "groups": [] }), "You may not use this gateway"),
    ] {
        given.returns(json!({ "id_token": { "claims": claims }, "userinfo": { "sub": "1" } }));
        let browser = given.browser();
        let refused = browser.sign_in();
        assert_eq!(refused.status, 403, "{claims}");
        assert!(refused.text().contains(title), "{claims}: {}", refused.text());
        assert!(browser.cookies("-session-").is_empty());
    }
    assert_eq!(given.users().len(), 1);
    poll("the event", || {
        let events = given.events("user.sign_in_failed");
        events.iter().any(|event| event["code"] == "not_admitted").then_some(())
    });
    given.person(&json!({ "email": "ada@EXAMPLE.com" }));
    given.browser().signed_in();

    given.reload("", "create-accounts = false\n");
    given.person(&json!({ "sub": "2" }));
    let refused = given.browser().sign_in();
    assert!(refused.status == 403 && refused.text().contains("You have no account"), "{}", refused.text());
    given.person(&json!({}));
    given.browser().signed_in();
}

#[test]
fn claims_give_the_role_and_the_groups_at_each_sign_in() {
    let given = Given::start("");
    let sign_in = |groups: &[&str]| {
        given.person(&json!({ "groups": groups }));
        given.browser().signed_in();
        let user = given.user("ada");
        (user["role"].as_str().unwrap().to_owned(), user["groups"].clone())
    };
    assert_eq!(sign_in(&["lab", "admins", "staff"]), ("admin".into(), json!(["lab"])));
    // A group that no rule gives is the administrators' affair.
    given.gateway.admin(&["user", "groups", "ada", "lab", "own", "--reason", "test"]);
    assert_eq!(sign_in(&["staff"]), ("member".into(), json!(["own"])));
    assert_eq!(sign_in(&["staff", "lab"]), ("member".into(), json!(["lab", "own"])));
    let roles = given.events("user.role");
    assert_eq!((&roles[0]["details"]["from"], &roles[0]["details"]["to"]), (&json!("admin"), &json!("member")));
    assert_eq!((&roles[0]["actor"], &roles[0]["details"]["provider"]), (&json!("gateway"), &json!("company")));
    // Rules give the role again, whatever an administrator says meanwhile.
    given.gateway.admin(&["user", "role", "ada", "maintainer"]).expect_code(0);
    assert_eq!(sign_in(&["staff"]).0, "member");
    // Without rules for roles the role is the administrators' affair too.
    given.reload("", "default-role = \"member\"\nrules = [{ value = \"lab\", groups = [\"lab\"] }]\n");
    given.gateway.admin(&["user", "role", "ada", "maintainer"]).expect_code(0);
    assert_eq!(sign_in(&["staff"]).0, "maintainer");
}

#[test]
fn the_last_administrator_stays_one() {
    let given = Given::without_accounts("", "");
    given.person(&json!({ "groups": ["admins"] }));
    given.browser().signed_in();
    given.person(&json!({ "groups": ["staff"] }));
    given.browser().signed_in();
    assert_eq!(given.user("ada")["role"], "admin");
    let kept = &given.events("user.role_kept")[0];
    assert_eq!((&kept["details"]["role"], &kept["details"]["instead_of"]), (&json!("admin"), &json!("member")));
    given.gateway.add_user("root", "admin");
    given.browser().signed_in();
    assert_eq!(given.user("ada")["role"], "member");
}

#[test]
fn the_first_account_is_an_administrators() {
    let given = Given::without_accounts("", "");
    given.person(&json!({ "groups": ["staff"] }));
    let refused = given.browser().sign_in();
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("This gateway has no administrator yet"), "{}", refused.text());
    assert!(given.users().is_empty());
    let link = given.gateway.listening()["setup_url"].as_str().unwrap().to_owned();
    let path = link.strip_prefix(&given.gateway.url()).unwrap();
    let page = given.browser().get(path);
    assert!(page.text().contains("Sign in with Company") && page.text().contains("Create the administrator"));
    given.person(&json!({ "groups": ["admins"] }));
    let browser = given.browser();
    let done = browser.arrive(&browser.at_provider(&browser.begin_at(path, &[])));
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(given.user("ada")["role"], "admin");
    assert_eq!(given.browser().get(path).status, 410, "the link is worth nothing any more");
}

#[test]
fn what_an_administrator_closed_stays_closed() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser().signed_in();
    given.gateway.admin(&["user", "suspend", "ada", "--reason", "a lost laptop"]).expect_code(0);
    assert!(!browser.is_signed_in());
    let refused = given.browser().sign_in();
    assert!(refused.status == 403 && refused.text().contains("This account is suspended"), "{}", refused.text());
    assert!(refused.text().contains("a lost laptop"), "{}", refused.text());
    given.gateway.admin(&["user", "resume", "ada"]).expect_code(0);
    given.gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    let refused = given.browser().sign_in();
    assert!(refused.status == 403 && refused.text().contains("This account is disabled"), "{}", refused.text());
    given.gateway.admin(&["user", "enable", "ada"]).expect_code(0);
    given.gateway.admin(&["user", "addresses", "ada", "--allow", "10.0.0.0/8", "--reason", "test"]).expect_code(0);
    assert_eq!(given.browser().sign_in().status, 403);
}

#[test]
fn whom_no_rule_admits_any_more_is_suspended_until_one_does() {
    let given = Given::start("default-role = \"none\"\n");
    given.person(&json!({}));
    let browser = given.browser().signed_in();
    let device = given.gateway.device_of("ada");
    let list = ["keys", "list", "--host", &given.gateway.url()];
    device.command(list).run().expect_code(0);
    given.person(&json!({ "groups": ["others"] }));
    let refused = given.browser().sign_in();
    assert!(refused.status == 403 && refused.text().contains("You may not use this gateway"), "{}", refused.text());
    assert!(!browser.is_signed_in());
    assert_ne!(device.command(list).run().code(), 0);
    let reason = given.user("ada")["suspended_reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("no longer admits"), "{reason}");
    assert_eq!(given.events("user.suspended")[0]["actor"], "gateway");
    given.person(&json!({}));
    given.browser().signed_in();
    device.command(list).run().expect_code(0);
    assert_eq!(given.events("user.resumed")[0]["actor"], "gateway");
}

#[test]
fn an_administrators_suspension_does_not_end_with_a_sign_in() {
    let given = Given::start("default-role = \"none\"\n");
    given.person(&json!({}));
    given.browser().signed_in();
    given.person(&json!({ "groups": ["others"] }));
    assert_eq!(given.browser().sign_in().status, 403);
    // Over what the gateway itself has done.
    given.gateway.admin(&["user", "suspend", "ada", "--reason", "a lost laptop"]).expect_code(0);
    assert_eq!(given.user("ada")["suspended_reason"], "a lost laptop");
    given.person(&json!({}));
    let refused = given.browser().sign_in();
    assert!(refused.status == 403 && refused.text().contains("a lost laptop"), "{}", refused.text());
    given.gateway.admin(&["user", "resume", "ada"]).expect_code(0);
    given.browser().signed_in();
}

#[test]
fn a_new_address_at_the_provider_is_that_of_the_account() {
    let given = Given::start("allowed-domains = [\"example.com\"]\n");
    given.person(&json!({}));
    given.browser().signed_in();
    let before = given.user("ada");
    for (claims, email) in [
        (json!({ "email": "lovelace@example.com" }), "lovelace@example.com"),
        // Anybody can claim one that is not verified.
        (json!({ "email": "root@example.com", "email_verified": false }), "lovelace@example.com"),
        (json!({ "email": "" }), "lovelace@example.com"),
        (json!({ "email": "ada@elsewhere.example" }), "ada@elsewhere.example"),
    ] {
        given.returns(json!({ "id_token": { "claims": claims }, "userinfo": { "sub": "1" } }));
        given.browser().signed_in();
        let user = given.user("ada");
        assert_eq!((&user["email"], &user["id"]), (&json!(email), &before["id"]), "{claims}");
    }
    let changed = &given.events("user.email")[0];
    assert_eq!((&changed["actor"], &changed["details"]["to"]), (&json!("gateway"), &json!("lovelace@example.com")));
}

#[test]
fn an_identity_goes_with_its_account_and_is_copied() {
    let mut given = Given::start("");
    given.person(&json!({}));
    given.browser().signed_in();
    let before = given.user("ada")["id"].clone();
    let copy = given.folder.path("copy.db");
    given.gateway.end(Signal::TERM);
    let to = format!("sqlite:{}", copy.display());
    let from = given.gateway.database();
    given.folder.command(["gateway", "db", "copy", from.to_str().unwrap(), &to]).run().expect_code(0);
    let listed =
        given.folder.command(["gateway", "user", "list", "--json", "--database", &to]).run().expect_code(0).json();
    let copied = listed["users"].as_array().unwrap().iter().find(|user| user["name"] == "ada").unwrap().clone();
    assert_eq!((&copied["identity"]["subject"], &copied["id"]), (&json!("1"), &before));
    given.gateway.restart();
    given.person(&json!({}));
    given.browser().signed_in();
    assert_eq!(given.user("ada")["id"], before);
    given.gateway.admin(&["user", "remove", "ada", "--yes"]).expect_code(0);
    given.browser().signed_in();
    assert_ne!(given.user("ada")["id"], before);
    assert_eq!(given.users().len(), 2);
}

#[test]
fn people_of_a_provider_that_is_gone_are_counted_in_the_log() {
    let mut given = Given::start("");
    for subject in ["1", "2"] {
        given.person(&json!({ "sub": subject }));
        given.browser().signed_in();
    }
    let issuer = format!("issuer = \"{}", given.issuer.issuer());
    let text = std::fs::read_to_string(&given.file).unwrap().replace(&issuer, &format!("{issuer}/other"));
    std::fs::write(&given.file, text).unwrap();
    given.gateway.child().signal(Signal::HUP);
    let says = |given: &Given| {
        let log = given.gateway.child().wait_stderr(|text| text.contains("their provider is not configured"));
        assert!(log.contains("people=2") && log.contains(given.issuer.issuer()), "{log}");
        assert!(log.contains("gateway user list"), "{log}");
    };
    says(&given);
    given.gateway.end(Signal::TERM);
    given.gateway.restart();
    says(&given);
}
