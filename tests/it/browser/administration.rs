//! An administrator in a real browser: the pages look right everywhere, and work without a mouse.

use serde_json::json;

use super::looks::Inspection;
use super::{assert_quiet, sign_in_as_ada, with_ada};
use crate::harness::chromium::{Chromium, key};
use crate::harness::gateway::PASSWORD;

#[test]
fn the_pages_of_an_administrator() {
    let (_upstream, gateway) = with_ada();
    gateway.admin(&["user", "role", "ada", "admin"]).expect_code(0);
    let long = "a".repeat(64);
    gateway.add_user("bob", "maintainer").add_user(&long, "member").add_user("carol", "member");
    gateway.admin(&["user", "suspend", "carol", "--reason", "on leave until spring"]).expect_code(0);
    gateway.admin(&["user", "limits", "bob", "--limit", "rpm=30"]).expect_code(0);
    let device = gateway.device_added_to("bob");
    gateway.key(&device, &["nightly summaries", "--limit", "rpm=60", "--env", "ci"]);
    gateway.key(&device, &[&"W".repeat(100), "--model", "llama3.2"]);
    let page = Chromium::start();
    let mut seen = Inspection::default();
    sign_in_as_ada(&page, &gateway);
    page.press("Admin");
    assert_eq!((page.path().as_str(), page.text("h1").as_str()), ("/admin", "The gateway is well"));
    seen.look(&page, "admin-status");
    page.press("People");
    assert_eq!((page.path().as_str(), page.text("h1").as_str()), ("/admin/people", "People"));
    seen.look(&page, "admin-people");
    page.press("bob");
    assert_eq!(page.text("h1"), "bob");
    seen.look(&page, "admin-person");
    page.open(&format!("{}/admin/person?name={long}", gateway.url()));
    seen.look(&page, "admin-person-long");
    page.open(&format!("{}/admin/person?name=carol", gateway.url()));
    seen.look(&page, "admin-person-suspended");
    page.press("Lift suspension");
    seen.look(&page, "admin-change");
    // What a browser checks by itself, before anything is sent.
    page.click(&page.labelled("Lift suspension"));
    assert!(page.has("#reason:invalid"));
    page.fill("#reason", "back again");
    page.press("Lift suspension");
    assert_eq!(page.text("[role=status]"), "The suspension of the account is lifted.");
    seen.look(&page, "admin-person-resumed");
    page.open(&format!("{}/admin/change?action=disable-user&of=ada", gateway.url()));
    page.fill("#reason", "mistake");
    page.press("Disable");
    assert!(page.text("[role=alert]").contains("only active administrator"), "{}", page.text("main"));
    seen.look(&page, "admin-change-refused");
    page.press("Roles");
    seen.look(&page, "admin-roles");
    page.press("Invitations");
    seen.look(&page, "admin-invitations-empty");
    page.press("Invite a person");
    seen.look(&page, "admin-invite");
    page.fill("#name", "eve");
    page.fill("#reason", "joins the lab");
    page.press("Create the link");
    assert_eq!(page.text("h1"), "The invitation");
    seen.look(&page, "admin-invited");
    let link = page.text("#link");
    page.press("I have copied it");
    seen.look(&page, "admin-invitations");
    page.press("Event log");
    seen.look(&page, "admin-audit-of-administrator");
    page.press("Maintenance");
    seen.look(&page, "admin-maintenance");
    page.fill("#message", "A new GPU is built in on Friday at 14:00 UTC, which takes two hours");
    page.fill("#reason", "planned");
    page.press("Set the message");
    assert!(page.text("[role=status]").contains("A new GPU"), "{}", page.text("body"));
    seen.look(&page, "admin-maintenance-set");
    page.press("Remove the message");
    page.fill("#reason", "done");
    page.press("Remove");
    assert_eq!(page.text("[role=status]"), "The maintenance message is removed.");
    page.press("Sign out");

    page.open(&link);
    assert_eq!(page.text("h1"), "Create your account");
    seen.look(&page, "invite");
    page.fill("#password", PASSWORD);
    page.fill("#again", PASSWORD);
    page.press("Create the account");
    assert_eq!(
        (page.path(), page.text("[role=status]").contains("Your account is ready")),
        ("/account".to_owned(), true)
    );
    seen.look(&page, "invite-done");
    page.open(&link);
    assert_eq!(page.text("h1"), "This invitation was used");
    seen.look(&page, "invite-used");
    assert!(!page.text("body").contains("Admin"), "a member has no such pages");
    assert_quiet(&page);
    seen.end();
}

#[test]
fn the_event_log_for_an_auditor_and_for_each_person() {
    let (_upstream, gateway) = with_ada();
    gateway.admin(&["user", "role", "ada", "auditor"]).expect_code(0);
    let long = "a".repeat(64);
    gateway.add_user(&long, "member");
    let device = gateway.device_added_to("ada");
    gateway.key(&device, &["nightly summaries", "--scope", "models:read"]);
    let key = gateway.key(&device, &[&"W".repeat(100), "--scope", "models:read", "--model", "llama3.2"]);
    let header = format!("Authorization: Bearer {key}");
    assert_eq!(gateway.ask("POST", "/api/generate", &[&header], r#"{"model":"tiny"}"#).status, 403);
    gateway
        .admin(&["user", "suspend", &long, "--reason", "\u{5de} <b>on leave</b> \u{202e} until spring, or longer"])
        .expect_code(0);
    let page = Chromium::start();
    let mut seen = Inspection::default();
    sign_in_as_ada(&page, &gateway);
    page.press("Event log");
    assert_eq!((page.path().as_str(), page.text("h1").as_str()), ("/admin/audit", "Event log"));
    seen.look(&page, "admin-audit");
    page.click(&page.labelled("Filters"));
    page.fill("#action", "key");
    page.press("Show");
    assert!(page.text("tbody").contains("key.created") && !page.text("tbody").contains("user.created"));
    seen.look(&page, "admin-audit-filtered");
    page.open(&format!("{}/admin/audit?address=10.0.0.0/8", gateway.url()));
    seen.look(&page, "admin-audit-error");
    page.open(&format!("{}/admin/audit?action=nothing", gateway.url()));
    seen.look(&page, "admin-audit-empty");
    page.open(&format!("{}/account", gateway.url()));
    page.press("Your events");
    assert_eq!(page.text("h1"), "Your events");
    seen.look(&page, "events");
    assert_quiet(&page);
    seen.end();
}

#[test]
fn a_person_is_suspended_with_the_keyboard_and_without_scripts() {
    let (_upstream, gateway) = with_ada();
    gateway.admin(&["user", "role", "ada", "admin"]).expect_code(0);
    gateway.add_user("bob", "member");
    let page = Chromium::without_scripts();
    sign_in_as_ada(&page, &gateway);
    page.open(&format!("{}/admin/person?name=bob", gateway.url()));
    page.run("arguments[0].focus()", &json!([page.labelled("Suspend").value()]));
    page.and_wait(|| page.keys(key::ENTER));
    assert_eq!(page.text("h1"), "Suspend this account?");
    // The cursor is in the reason.
    page.keys("laptop lost");
    page.and_wait(|| page.keys(key::ENTER));
    assert_eq!(page.text("[role=status]"), "The account is suspended.");
    let users = gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let bob = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "bob").unwrap();
    assert_eq!(bob["suspended_reason"], "laptop lost");
}
