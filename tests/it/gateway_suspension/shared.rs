//! Suspensions where several gateways share a PostgreSQL database, also while it does not answer.

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::poll;
use crate::harness::postgres::Postgres;

fn key(gateway: &Gateway, device: &Sandbox) -> (String, String) {
    let made = device.command(["keys", "create", "ci", "--json"]).run().expect_code(0).json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    assert_eq!(gateway.status_of(&text("key")), 200);
    (text("key"), text("id"))
}

fn upstream() -> Server {
    Server::start(|_| Reply::json(200, r#"{"models":[]}"#))
}

#[test]
fn what_one_gateway_suspends_the_others_refuse_until_it_is_lifted() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    one.add_user("root", "admin").add_user("ada", "member");
    let device = one.device_added_to("ada");
    let (secret, id) = key(&one, &device);
    let shown = device.command(["device", "show", "--host", &one.url(), "--json"]).run().expect_code(0).json();
    let fingerprint = shown["fingerprint"].as_str().unwrap().to_owned();
    poll("the key at the other gateway", || (other.status_of(&secret) == 200).then_some(()));
    for (kind, named) in [("key", &*id), ("user", "ada")] {
        for (does, status) in [("suspend", 403), ("resume", 200)] {
            other.admin(&[kind, does, named]).expect_code(0);
            for gateway in [&one, &other] {
                poll("the change", || (gateway.status_of(&secret) == status).then_some(()));
            }
        }
    }
    let lists = || device.command(["keys", "list", "--host", &one.url()]).run().code();
    for (does, code) in [("suspend", 5), ("resume", 0)] {
        other.admin(&["device", does, &fingerprint]).expect_code(0);
        poll("the change of the device", || (lists() == code).then_some(()));
    }
}

#[test]
fn without_the_database_commands_suspend_at_all_gateways_of_the_machine() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let two = one.start_beside(&upstream.url());
    one.add_user("root", "admin").add_user("ada", "member").add_user("bob", "member");
    let [ada, bob] = ["ada", "bob"].map(|name| one.device_added_to(name));
    let ((by_key, id), (by_user, _)) = (key(&one, &ada), key(&one, &bob));
    let shown = ada.command(["device", "show", "--host", &one.url(), "--json"]).run().expect_code(0).json();
    let fingerprint = shown["fingerprint"].as_str().unwrap().to_owned();
    let statuses = |secret: &str| [&one, &two].map(|gateway| gateway.status_of(secret));
    for secret in [&by_key, &by_user] {
        poll("the key", || (statuses(secret) == [200; 2]).then_some(()));
    }

    server.end("INT");
    // The second time it is in effect already, and still not stored.
    for _ in 0..2 {
        for (kind, named, what) in
            [("key", &*id, "the API key"), ("user", "bob", "the user"), ("device", &*fingerprint, "the device")]
        {
            let done = one.admin(&[kind, "suspend", named, "--reason", "stolen"]).expect_code(7);
            let stderr = done.stderr();
            assert!(stderr.contains(&format!("2 gateways of this machine refuse {what}")), "{stderr}");
            assert!(stderr.contains("not stored"), "{stderr}");
        }
        assert_eq!((statuses(&by_key), statuses(&by_user)), ([403; 2], [403; 2]));
        ada.command(["keys", "list", "--host", &one.url()]).run().expect_code(5);
    }
    let refused = one.admin(&["user", "suspend", "root"]).expect_code(1);
    assert!(refused.stderr().contains("\"root\" is the only active administrator"), "{}", refused.stderr());
    // What gives rights back needs the database.
    one.admin(&["key", "resume", &id]).expect_code(1);
    assert_eq!(statuses(&by_key), [403; 2]);

    server.start_again();
    for gateway in [&one, &two] {
        gateway.child().wait_stderr(|text| {
            text.matches("stored now").count() + text.matches("stored by another gateway").count() == 3
        });
    }
    let listed = one.admin(&["key", "list", "--json"]).expect_code(0).json();
    let suspended = listed["keys"].as_array().unwrap().iter().filter(|key| key["suspended_reason"] == "stolen").count();
    assert_eq!(suspended, 1, "{listed}");
    let events = one.admin(&["audit", "--json", "--limit", "1000"]).expect_code(0).json();
    let count =
        |action: &str| events["events"].as_array().unwrap().iter().filter(|event| event["action"] == action).count();
    assert_eq!(["key.suspended", "user.suspended", "device.suspended"].map(count), [1; 3], "{events}");
    for (kind, named) in [("key", &*id), ("user", "bob"), ("device", &*fingerprint)] {
        one.admin(&[kind, "resume", named]).expect_code(0);
    }
    for secret in [&by_key, &by_user] {
        poll("that it is lifted", || (statuses(secret) == [200; 2]).then_some(()));
    }
}
