//! Invitations: a link makes one account, once, with the role that it names, and nothing else.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::http::{Reply, Server};
use crate::harness::pages::{FORM, between, cookie};
use crate::harness::poll;
use crate::harness::postgres::Postgres;
use crate::harness::set_clock::SetClock;

fn started() -> Gateway {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("root", "admin");
    gateway
}

fn invite(gateway: &Gateway, args: &[&str]) -> Value {
    gateway.admin(&[&["user", "invite"], args, &["--json"]].concat()).expect_code(0).json()
}

/// The link, below the gateway's address.
fn path(invitation: &Value) -> &str {
    let link = invitation["link"].as_str().unwrap();
    &link[link.find("/invite?token=").unwrap()..]
}

/// A browser that has opened the link.
struct Visitor<'a> {
    gateway: &'a Gateway,
    cookie: String,
    csrf: String,
    token: String,
}

impl<'a> Visitor<'a> {
    fn at(gateway: &'a Gateway, invitation: &Value) -> Self {
        let form = gateway.ask("GET", path(invitation), &[], "");
        assert_eq!((form.status, form.header("cache-control")), (200, Some("no-store")), "{}", form.text());
        assert_eq!(form.header("referrer-policy"), Some("same-origin"));
        let csrf = between(form.text(), "name=\"csrf\" value=\"", "\"");
        Self {
            gateway,
            cookie: cookie(&form, "visitor"),
            csrf,
            token: path(invitation)["/invite?token=".len()..].to_owned(),
        }
    }

    fn accept_with(&self, name: &str, password: &str, again: &str) -> Answer {
        let encoded = |text: &str| text.replace(' ', "+");
        let (csrf, token) = (&self.csrf, &self.token);
        let (password, again) = (encoded(password), encoded(again));
        let body = format!("csrf={csrf}&token={token}&name={name}&email=&password={password}&again={again}");
        self.gateway.ask("POST", "/invite", &[&self.cookie, FORM], &body)
    }

    fn accept(&self, name: &str) -> Answer {
        self.accept_with(name, PASSWORD, PASSWORD)
    }
}

fn users(gateway: &Gateway) -> Vec<(String, String)> {
    let listed = gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let text = |user: &Value, name: &str| user[name].as_str().unwrap().to_owned();
    listed["users"].as_array().unwrap().iter().map(|user| (text(user, "name"), text(user, "role"))).collect()
}

fn state(gateway: &Gateway, invitation: &Value) -> String {
    let listed = gateway.admin(&["user", "invitations", "--json"]).expect_code(0).json();
    let all = listed["invitations"].as_array().unwrap().clone();
    let row = all.into_iter().find(|row| row["id"] == invitation["id"]).unwrap();
    assert!(row.get("link").is_none() && row.get("token").is_none(), "{row}");
    row["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_person_makes_an_account_with_the_link_and_is_signed_in() {
    let gateway = started();
    let made = invite(&gateway, &["--role", "maintainer", "--reason", "joins the lab"]);
    assert!(made["link"].as_str().unwrap().starts_with(&format!("{}/invite?token=", gateway.url())), "{made}");
    assert_eq!(path(&made).len(), "/invite?token=".len() + 43);
    let week = made["expires_at"].as_i64().unwrap() - made["created_at"].as_i64().unwrap();
    assert_eq!((week, &made["name"], &made["state"]), (7 * 86_400, &Value::Null, &json!("open")));
    let visitor = Visitor::at(&gateway, &made);
    let done = visitor.accept("eve");
    assert_eq!((done.status, done.header("location")), (303, Some("/account?welcome=true")), "{}", done.text());
    let page = gateway.ask("GET", "/account?welcome=true", &[&cookie(&done, "session")], "");
    let next = format!("ollama-auth signin --host {}", gateway.url());
    assert!(page.text().contains("Your account is ready") && page.text().contains(&next), "{}", page.text());
    assert!(users(&gateway).contains(&("eve".to_owned(), "maintainer".to_owned())));
    gateway.browse(&format!("{}/login", gateway.url()), "eve", "Sign in").expect_code(0);
    assert_eq!(state(&gateway, &made), "used");

    let events = gateway.admin(&["audit", "--json"]).expect_code(0).json();
    let token = &visitor.token;
    assert!(!events.to_string().contains(token.as_str()), "the token is in no event");
    let database = std::fs::read(gateway.database()).unwrap();
    assert!(!crate::harness::contains(&database, token.as_bytes()), "nor in the database");
    let find = |action: &str| {
        let events = events["events"].as_array().unwrap();
        events.iter().find(|event| event["action"] == action).unwrap_or_else(|| panic!("{action}: {events:?}")).clone()
    };
    let (created, used, joined) = (find("invitation.created"), find("invitation.used"), find("user.created"));
    assert_eq!((&created["subject"], &created["actor"]), (&made["id"], &json!("admin")));
    assert_eq!(
        (&created["details"]["role"], &created["details"]["reason"]),
        (&json!("maintainer"), &json!("joins the lab"))
    );
    assert_eq!(
        (&used["subject"], &used["account"], &used["address"]),
        (&made["id"], &json!("eve"), &json!("127.0.0.1"))
    );
    assert_eq!((&joined["actor"], &joined["details"]["invitation"]), (&json!("user:eve"), &made["id"]));
}

#[test]
fn a_link_works_once_and_says_why_not_a_second_time() {
    let gateway = started();
    let [used, revoked] = [invite(&gateway, &[]), invite(&gateway, &[])];
    let (one, two, third) =
        (Visitor::at(&gateway, &used), Visitor::at(&gateway, &used), Visitor::at(&gateway, &revoked));
    assert_eq!(one.accept("eve").status, 303);
    let id = revoked["id"].as_str().unwrap();
    let answer = gateway.admin(&["user", "uninvite", id, "--json"]).expect_code(0).json();
    assert_eq!((&answer["state"], &answer["id"]), (&json!("revoked"), &revoked["id"]));
    gateway.admin(&["user", "uninvite", id]).expect_code(0);
    for (visitor, link, title) in
        [(&two, &used, "This invitation was used"), (&third, &revoked, "This invitation was revoked")]
    {
        for refused in [visitor.accept("mallory"), gateway.ask("GET", path(link), &[], "")] {
            assert_eq!(refused.status, 410, "{}", refused.text());
            assert!(refused.text().contains(title), "{}", refused.text());
        }
    }
    // A used one cannot be revoked: the account is there.
    let late = gateway.admin(&["user", "uninvite", used["id"].as_str().unwrap()]).expect_code(1);
    assert!(late.stderr().contains("was used") && late.stderr().contains("gateway user disable"), "{}", late.stderr());
    gateway.admin(&["user", "uninvite", "inv_0123456789abcdef"]).expect_code(3);
    gateway.admin(&["user", "uninvite", "eve"]).expect_code(2);
    for wrong in [
        "/invite",
        "/invite?token=",
        "/invite?token=x",
        &format!("{}x", path(&used)),
        &format!("{0}&token={1}", path(&used), one.token),
    ] {
        let refused = gateway.ask("GET", wrong, &[], "");
        assert_eq!(refused.status, 403, "{wrong}: {}", refused.text());
        assert!(refused.text().contains("This link is not valid"));
    }
    assert_eq!(users(&gateway).len(), 2);
}

#[test]
fn mistakes_in_the_form_are_shown_and_the_link_stays_valid() {
    let gateway = started();
    let made = invite(&gateway, &[]);
    let visitor = Visitor::at(&gateway, &made);
    for (name, password, again, status, says) in [
        ("Eve+L", PASSWORD, PASSWORD, 422, "lower-case letters (a to z)"),
        ("eve", "short", "short", 422, "at least 8 characters"),
        ("eve", PASSWORD, "another one", 422, "The passwords do not match"),
        ("root", PASSWORD, PASSWORD, 422, "This name is taken"),
    ] {
        let refused = visitor.accept_with(name, password, again);
        assert_eq!(refused.status, status, "{name}: {}", refused.text());
        assert!(refused.text().contains(says) && !refused.text().contains(PASSWORD), "{}", refused.text());
    }
    // A form of another browser, and of another site.
    let csrf = &Visitor::at(&gateway, &made).csrf;
    let body = format!("csrf={csrf}&token={}&name=eve&password=x&again=x", visitor.token);
    assert_eq!(gateway.ask("POST", "/invite", &[&visitor.cookie, FORM], &body).status, 403);
    let elsewhere = [&*visitor.cookie, FORM, "Origin: https://evil.example"];
    assert_eq!(gateway.ask("POST", "/invite", &elsewhere, &body).status, 403);
    assert_eq!(visitor.accept("eve").status, 303);
}

#[test]
fn attempts_are_throttled_for_each_invitation() {
    let gateway = started();
    let (made, other) = (invite(&gateway, &[]), invite(&gateway, &[]));
    let visitor = Visitor::at(&gateway, &made);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        statuses.push(visitor.accept("root").status);
        assert!(statuses.len() < 40, "{statuses:?}");
    }
    let refused = visitor.accept("eve");
    if refused.status == 429 {
        assert!(refused.text().contains("Too many attempts") && refused.header("retry-after").is_some());
    }
    assert_eq!(Visitor::at(&gateway, &other).accept("mallory").status, 303);
}

#[test]
fn a_name_that_was_given_cannot_be_changed() {
    let gateway = started();
    let made = invite(&gateway, &["eve", "--email", "eve@lab.example"]);
    let form = gateway.ask("GET", path(&made), &[], "");
    assert!(form.text().contains("eve@lab.example") && !form.text().contains("name=\"name\""), "{}", form.text());
    assert_eq!(Visitor::at(&gateway, &made).accept("root2").status, 303);
    assert_eq!(users(&gateway), [("eve".to_owned(), "member".to_owned()), ("root".to_owned(), "admin".to_owned())]);
    // Two for the same name: the second finds it taken.
    let [one, two] = [invite(&gateway, &["ada"]), invite(&gateway, &["ada"])];
    let late = Visitor::at(&gateway, &two);
    assert_eq!(Visitor::at(&gateway, &one).accept("").status, 303);
    let refused = late.accept("");
    assert!(refused.status == 409 && refused.text().contains("This name is taken"), "{}", refused.text());
    for (args, code, says) in [
        (&["ada"][..], 1, "already exists"),
        (&["Ada"], 2, "invalid user name"),
        (&["bob", "--role", "no such"], 2, "invalid role"),
        (&["bob", "--role", "pilot"], 1, "there is no role"),
        (&["bob", "--expires", "31d"], 2, "within 30 days"),
        (&["bob", "--expires", "0s"], 2, "within 30 days"),
        (&["bob", "--email", "a\u{7}"], 2, "invalid e-mail"),
        (&["bob", "--reason", "a\nb"], 2, "invalid reason"),
    ] {
        let output = gateway.admin(&[&["user", "invite"], args].concat()).expect_code(code);
        assert!(output.stderr().contains(says), "{args:?}: {}", output.stderr());
    }
}

#[test]
fn an_invitation_expires_and_its_record_is_deleted_later() {
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let gateway = Gateway::start_with_within("http://127.0.0.1:9", &["--set", "key-retention=1d"], &clock.line());
    gateway.add_user("root", "admin");
    let made = invite(&gateway, &["--expires", "1h"]);
    let visitor = Visitor::at(&gateway, &made);
    clock.pass(3601);
    for refused in [visitor.accept("eve"), gateway.ask("GET", path(&made), &[], "")] {
        assert!(refused.status == 410 && refused.text().contains("This invitation has expired"), "{}", refused.text());
    }
    assert_eq!(state(&gateway, &made), "expired");
    poll("that the record is deleted", || {
        clock.pass(3600);
        let listed = gateway.admin(&["user", "invitations", "--json"]).expect_code(0).json();
        listed["invitations"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(gateway.ask("GET", path(&made), &[], "").status, 403, "unknown from then on");
}

#[test]
fn a_role_that_is_not_defined_any_more_is_said() {
    let folder = Sandbox::new();
    let file = folder.write("gateway.toml", "[roles.guest]\nbase = \"viewer\"\n");
    let gateway = Gateway::start_with("http://127.0.0.1:9", &["--config", file.to_str().unwrap()]);
    gateway.add_user("root", "admin");
    let made = invite(&gateway, &["--role", "guest"]);
    let visitor = Visitor::at(&gateway, &made);
    std::fs::write(&file, "").unwrap();
    gateway.child().signal(Signal::HUP);
    gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
    for refused in [visitor.accept("eve"), gateway.ask("GET", path(&made), &[], "")] {
        assert!(
            refused.status == 409 && refused.text().contains("The role that it gives is not defined"),
            "{}",
            refused.text()
        );
    }
    assert_eq!((users(&gateway).len(), state(&gateway, &made).as_str()), (1, "open"));
}

#[test]
fn invitations_outlive_a_restart_and_are_copied_to_another_database() {
    let mut gateway = started();
    let made = invite(&gateway, &[]);
    gateway.end(Signal::TERM);
    // Without a gateway the link has no address, unless the configuration has one.
    let offline = gateway.admin(&["user", "invite"]).expect_code(0);
    assert!(
        offline.stdout().starts_with("/invite?token=") && offline.stderr().contains("public-url"),
        "{}",
        offline.stderr()
    );
    let (from, to) = (gateway.database(), gateway.sandbox().path("copy.db"));
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    gateway.sandbox().command(["gateway", "db", "copy", from, to]).run().expect_code(0);
    let listed = gateway.sandbox().command(["gateway", "user", "invitations", "--json", "--database", to]).run();
    assert_eq!(listed.expect_code(0).json()["invitations"].as_array().unwrap().len(), 2);
    gateway.restart();
    assert_eq!(Visitor::at(&gateway, &made).accept("eve").status, 303);
    let late = Visitor {
        token: offline.stdout().trim()["/invite?token=".len()..].to_owned(),
        ..Visitor::at(&gateway, &invite(&gateway, &[]))
    };
    assert_eq!(late.accept("bob").status, 303);
}

#[test]
fn of_two_browsers_at_two_gateways_one_gets_the_account() {
    let (upstream, database) = (Server::start(|_| Reply::json(200, "{}")), Postgres::shared().database());
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = Gateway::start_on(&database, &upstream.url(), &["--set", &format!("public-url={}", one.url())]);
    one.add_user("root", "admin");
    for round in 0..3 {
        let made = invite(&one, &[]);
        for gateway in [&one, &other] {
            poll("the invitation", || (gateway.ask("GET", path(&made), &[], "").status == 200).then_some(()));
        }
        let (here, there) = (Visitor::at(&one, &made), Visitor::at(&other, &made));
        let names = [format!("a{round}"), format!("b{round}")];
        let mut statuses = std::thread::scope(|scope| {
            let here = scope.spawn(|| here.accept(&names[0]).status);
            let there = scope.spawn(|| there.accept(&names[1]).status);
            [here.join().unwrap(), there.join().unwrap()]
        });
        statuses.sort();
        assert_eq!(statuses, [303, 410]);
        let found = users(&one).into_iter().filter(|(name, _)| names.contains(name)).count();
        assert_eq!(found, 1);
    }
    // One that was revoked at one gateway is refused at the other.
    let made = invite(&one, &[]);
    poll("the invitation", || (other.ask("GET", path(&made), &[], "").status == 200).then_some(()));
    one.admin(&["user", "uninvite", made["id"].as_str().unwrap()]).expect_code(0);
    poll("the revocation", || (other.ask("GET", path(&made), &[], "").status == 410).then_some(()));
}
