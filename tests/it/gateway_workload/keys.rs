//! The keys of issuers: files that are replaced, and addresses on this machine.

use serde_json::{Value, json};

use super::{AUDIENCE, bearer, rule};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::hostile_issuer::HostileIssuer;
use crate::harness::http::{Reply, Server};
use crate::harness::poll;
use rustix::process::Signal;

fn token(issuer: &HostileIssuer, key: &str) -> String {
    issuer.mint(&json!({ "key": key, "claims": { "aud": AUDIENCE, "project": "app" } }))
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.ask("POST", "/api/me", &[&bearer(token)], "").status
}

#[test]
fn a_reload_reads_the_keys_of_a_file_at_once() {
    let (issuer, folder) = (HostileIssuer::start(), Sandbox::new());
    let upstream = Server::start(|_| Reply::json(200, "{}"));
    let key = |name: &str| issuer.make_key(&json!({ "name": name, "alg": "ES256" }));
    let (good, stolen) = (key("good"), key("stolen"));
    let keys = |all: &[&Value]| json!({ "keys": all }).to_string();
    let path = folder.path("keys.json");
    let tables = rule("deploy", &issuer, "{ project = \"app\" }", &format!("jwks-file = \"{}\"", path.display()));
    let file = folder.write("gateway.toml", tables);
    // It is not there yet.
    let gateway = Gateway::start_with(&upstream.url(), &["--config", file.to_str().unwrap()]);
    assert_eq!(status(&gateway, &token(&issuer, "good")), 503);
    folder.write("keys.json", keys(&[&good, &stolen]));
    gateway.child().signal(Signal::HUP);
    poll("the keys", || (status(&gateway, &token(&issuer, "stolen")) == 200).then_some(()));
    let known = token(&issuer, "stolen");
    assert_eq!((status(&gateway, &known), status(&gateway, &token(&issuer, "good"))), (200, 200));
    folder.write("keys.json", keys(&[&good]));
    gateway.child().signal(Signal::HUP);
    poll("the end of the key", || (status(&gateway, &known) != 200).then_some(()));
    assert_ne!(status(&gateway, &token(&issuer, "stolen")), 200);
    assert_eq!(status(&gateway, &token(&issuer, "good")), 200);
    assert_eq!(issuer.count("jwks"), 0);
}

#[test]
fn keys_on_this_machine_are_not_asked_for_through_a_proxy() {
    let (issuer, folder) = (HostileIssuer::start(), Sandbox::new());
    let (upstream, proxy) = (Server::start(|_| Reply::json(200, "{}")), Server::start(|_| Reply::json(200, "{}")));
    // As a cluster that `kubectl proxy` leads to: the issuer itself has another address.
    let more = format!("jwks-url = \"{}/jwks\"", issuer.issuer());
    let name = "https://kubernetes.example";
    let tables = rule("deploy", &issuer, "{ project = \"app\" }", &more);
    let tables = tables.replace(&format!("issuer = \"{}\"", issuer.issuer()), &format!("issuer = \"{name}\""));
    let file = folder.write("gateway.toml", tables);
    let line = format!("export http_proxy={0} HTTP_PROXY={0} ALL_PROXY={0}", proxy.url());
    let gateway = Gateway::start_with_within(&upstream.url(), &["--config", file.to_str().unwrap()], &line);
    let token = issuer.mint(&json!({ "claims": { "iss": name, "aud": AUDIENCE, "project": "app" } }));
    assert_eq!(status(&gateway, &token), 200);
    assert_eq!((proxy.requests().len(), issuer.count("jwks")), (0, 1));
}
