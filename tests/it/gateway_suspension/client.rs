//! What our own commands say and do while something is suspended.

use super::{Given, LIFTED_BY, id};
use crate::given::with_store;

#[test]
fn a_rotation_by_cron_reports_a_suspended_key_and_keeps_it() {
    let given = Given::start();
    let key = given.key("nightly");
    let machine = with_store("plaintext");
    let keep = ["signin", "--with-api-key", "--host", &given.gateway.url()];
    machine.command(keep).stdin(key["key"].as_str().unwrap()).run().expect_code(0);
    given.admin(&["key", "suspend", id(&key)]);
    for args in [&["nightly"][..], &["--all"], &["nightly", "--max-age", "1d"]] {
        let output = machine.command([&["keys", "rotate"], args].concat()).run().expect_code(5);
        let stderr = output.stderr();
        assert!(
            stderr.contains(&format!("this API key {LIFTED_BY}")) && stderr.contains("ask the administrator"),
            "{stderr}"
        );
    }
    let status = machine.command(["status"]).run().expect_code(5);
    let said = [status.stdout(), status.stderr()].concat();
    assert!(said.contains(&format!("this API key {LIFTED_BY}")), "{said}");
    machine.command(["run", "tiny", "hello"]).run().expect_code(5);
    given.admin(&["key", "resume", id(&key)]);
    // It is still there, and the next run rotates it.
    machine.command(["keys", "rotate", "nightly"]).run().expect_code(0);
    machine.command(["status"]).run().expect_code(0);
}

#[test]
fn the_owner_sees_in_lists_what_is_suspended_and_why() {
    let given = Given::start();
    let (key, other) = (given.key("ci"), given.key("other"));
    given.admin(&["key", "suspend", id(&key), "--reason", "seen in a log"]);
    let list = |args: &[&str]| given.device.command([&["keys", "list"], args].concat()).run().expect_code(0);
    let listed = list(&["--json", "--filter", "state=suspended"]).json();
    let keys = listed["keys"].as_array().unwrap();
    assert!(
        keys.len() == 1 && keys[0]["id"] == key["id"] && keys[0]["suspended_reason"] == "seen in a log",
        "{listed}"
    );
    assert_eq!(list(&["--json", "--filter", "state=valid"]).json()["keys"][0]["id"], other["id"]);
    assert!(list(&[]).stdout().contains("suspended"));
    // There is no such button, so what the page says is printed.
    let page = given.gateway.browse(&format!("{}/settings/keys", given.gateway.url()), "ada", "Nothing");
    let said = [page.stdout(), page.stderr()].concat();
    assert!(said.contains("Suspended") && said.contains("seen in a log"), "{said}");
    // It can be revoked by its owner all the same.
    given.device.command(["keys", "revoke", "ci", "--yes"]).run().expect_code(0);
    assert_eq!(given.status(&key), 401);
}
