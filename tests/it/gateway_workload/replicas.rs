//! Several gateways on one database, and the database moved.

use serde_json::json;

use super::{AUDIENCE, CLAIMS, bearer, rule};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};
use crate::harness::postgres::Postgres;

fn exchange(gateway: &Gateway, token: &str) -> Answer {
    gateway.ask("POST", "/api/user/keys", &[&bearer(token), "Content-Type: application/json"], "{}")
}

#[test]
fn gateways_on_one_database_share_the_account_and_what_was_exchanged() {
    let (server, issuer, folder) = (Postgres::start(), HostileIssuer::start(), Sandbox::new());
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let database = server.database();
    let file = folder.write("gateway.toml", rule("deploy", &issuer, CLAIMS, ""));
    let args = ["--config", file.to_str().unwrap()];
    let one = Gateway::start_on(&database, &upstream.url(), &args);
    // One that does not know the rule yet is not disturbed by the account.
    let without = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = Gateway::start_on(&database, &upstream.url(), &args);
    one.add_user("root", "admin");
    let token = |jti: &str| issuer.token(json!({ "aud": AUDIENCE, "project": "app", "jti": jti }));
    let me = |gateway: &Gateway| gateway.ask("POST", "/api/me", &[&bearer(&token("a"))], "").json()["id"].clone();
    assert_eq!(me(&one), me(&other));
    assert!(me(&one).is_string());
    assert_eq!(without.ask("POST", "/api/me", &[&bearer(&token("a"))], "").status, 401);

    let tokens: Vec<String> = (0..6).map(|number| token(&format!("t{number}"))).collect();
    for token in &tokens {
        let statuses = std::thread::scope(|scope| {
            let asked =
                [&one, &other, &one, &other].map(|gateway| scope.spawn(move || exchange(gateway, token).status));
            asked.map(|one| one.join().unwrap())
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 201 | 409)), "{statuses:?}");
    }
    // What is refused uses up nothing.
    let body = |id: &str| json!({ "id": id }).to_string();
    let with_id = |gateway: &Gateway, token: &str, id: &str| {
        gateway.ask("POST", "/api/user/keys", &[&bearer(token), "Content-Type: application/json"], &body(id)).status
    };
    assert_eq!(with_id(&one, &token("c1"), "key_abcdefgh1234"), 201);
    assert_eq!(with_id(&other, &token("c2"), "key_abcdefgh1234"), 409);
    assert_eq!(with_id(&one, &token("c2"), "key_abcdefgh5678"), 201);
    // A key of one is accepted at the other, and refused where the rule is not defined.
    let key = exchange(&one, &token("b")).json()["key"].as_str().unwrap().to_owned();
    crate::harness::poll("the key", || (other.status_of(&key) == 200).then_some(()));
    crate::harness::poll("the refusal", || (without.status_of(&key) == 403).then_some(()));
    // Suspended at one, refused at all.
    one.admin(&["user", "disable", "workload:deploy"]).expect_code(0);
    crate::harness::poll("the end", || (other.status_of(&token("c")) == 403).then_some(()));
}

#[test]
fn a_copy_of_the_database_keeps_service_accounts() {
    let (server, issuer, folder) = (Postgres::start(), HostileIssuer::start(), Sandbox::new());
    let upstream = Server::start(|_| Reply::json(200, r#"{"models":[]}"#));
    let file = folder.write("gateway.toml", rule("deploy", &issuer, CLAIMS, ""));
    let args = ["--config", file.to_str().unwrap()];
    let mut first = Gateway::start_with(&upstream.url(), &args);
    first.add_user("root", "admin");
    let token = issuer.token(json!({ "aud": AUDIENCE, "project": "app", "jti": "a" }));
    let key = exchange(&first, &token).json()["key"].as_str().unwrap().to_owned();
    first.admin(&["user", "limits", "workload:deploy", "--limit", "streams=3"]).expect_code(0);
    first.end(rustix::process::Signal::TERM);
    let database = server.database();
    let from = first.database();
    first.sandbox().command(["gateway", "db", "copy", from.to_str().unwrap(), &database]).run().expect_code(0);
    let second = Gateway::start_on(&database, &upstream.url(), &args);
    assert_eq!((second.status_of(&token), second.status_of(&key)), (200, 200));
    assert_eq!(exchange(&second, &token).status, 409, "what was exchanged stays so");
    let users = second.admin(&["user", "list", "--json"]).expect_code(0).json();
    let account = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "workload:deploy").unwrap();
    assert_eq!((&account["role"], &account["limits"]["streams"]), (&"workload:deploy".into(), &3.into()));
}
