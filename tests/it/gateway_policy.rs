//! `gateway policy`: a configuration file is checked against the people and keys on record before the gateway reads it.

mod explain;

use serde_json::json;

use crate::gateway_limits::upstream::Upstream;
use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::set_clock::SetClock;

/// A gateway with a configuration file, an administrator `root`, a member `ada` and a key of hers.
struct Given {
    gateway: Gateway,
    /// Its id.
    key: String,
    /// The key itself.
    secret: String,
    folder: Sandbox,
    _upstream: Upstream,
}

impl Given {
    fn start(tables: &str) -> Self {
        Self::start_within(tables, None)
    }

    /// The same with another clock.
    fn start_within(tables: &str, clock: Option<&SetClock>) -> Self {
        let (folder, upstream) = (Sandbox::new(), Upstream::start());
        let file = folder.write("gateway.toml", tables);
        let args = ["--config", file.to_str().unwrap()];
        let gateway = match clock {
            Some(clock) => Gateway::start_with_within(upstream.url(), &args, &clock.line()),
            None => Gateway::start_with(upstream.url(), &args),
        };
        gateway.add_user("root", "admin").add_user("ada", "member");
        let device = gateway.device_added_to("ada");
        let key = device.command(["keys", "create", "ci", "--scope", "inference", "--json"]).run();
        let key = key.expect_code(0).json();
        let [key, secret] = ["id", "key"].map(|member| key[member].as_str().unwrap().to_owned());
        Self { gateway, key, secret, folder, _upstream: upstream }
    }

    /// Checks a file with these tables.
    fn check(&self, tables: &str, more: &[&str]) -> Output {
        let file = self.folder.write("new.toml", tables);
        self.gateway.admin(&[&["policy", "check", file.to_str().unwrap()], more].concat())
    }
}

#[test]
fn a_file_that_is_not_valid_is_named_with_the_place() {
    let given = Given::start("");
    for (tables, place, says) in [
        ("[roles.research]\n", "new.toml:1", "a new role needs base"),
        ("threads = 1\n\n[limits]\nstreams = 0\n", "new.toml:4", "0 would refuse every request"),
        ("listen = \"0.0.0.0:80\"\n", "new.toml:1", "which other machines can reach"),
        ("[rolls.member]\n", "new.toml:1", "roles"),
    ] {
        let refused = given.check(tables, &[]).expect_code(2);
        let message = refused.stderr();
        assert!(message.contains(place) && message.contains(says), "{message}");
    }
    let missing = given.gateway.admin(&["policy", "check", "/nowhere/gateway.toml"]).expect_code(2);
    assert!(missing.stderr().contains("there is no file /nowhere/gateway.toml"), "{}", missing.stderr());
}

#[test]
fn who_would_lose_rights_is_listed_and_nothing_changes() {
    // Days that are left are rounded down, so the time must not pass.
    let clock = SetClock::at(jiff::Timestamp::now().as_second());
    let given = Given::start_within("", Some(&clock));
    let tables = "[roles.member]\nmodels = [\"llama3*\"]\nmax-key-lifetime = \"30d\"\n";
    let checked = given.check(tables, &[]).expect_code(0);
    let (shown, listed) = (checked.stderr(), checked.stdout());
    assert!(shown.contains("new.toml is valid: the built-in roles alone"), "{shown}");
    assert!(shown.contains("When it takes effect, 1 account and 1 API key lose rights:"), "{shown}");
    for words in ["ada", &given.key, "inference is limited to llama3*"] {
        assert!(listed.contains(words), "{words:?} is missing: {listed}");
    }
    let found = given.check(tables, &["--json"]).expect_code(0).json();
    assert_eq!(
        (&found["accepted"], &found["compared"], &found["more_losses"], found["losses"].as_array().unwrap().len()),
        (&json!(true), &json!(true), &json!(0), 2)
    );
    assert_eq!((&found["losses"][1]["key"], &found["losses"][1]["name"]), (&json!(given.key), &json!("ci")));
    let lost = found["losses"][1]["lost"].as_array().unwrap();
    assert!(lost.contains(&json!("it expires earlier, in 30 days")), "{found}");

    // Nothing was taken from anybody, so a second check says the same, and one of the present file nothing.
    assert_eq!(given.check(tables, &["--json"]).expect_code(0).json(), found);
    let same = given.check("", &[]).expect_code(0);
    assert!(same.stderr().contains("No account or API key loses a right."), "{}", same.stderr());
}

#[test]
fn a_file_that_would_leave_no_administrator_fails() {
    let mut given = Given::start("[roles.chief]\nbase = \"admin\"\n");
    given.gateway.admin(&["user", "role", "ada", "chief"]).expect_code(0);
    let checked = given.check("", &[]).expect_code(0);
    assert!(checked.stderr().contains("the role of ada is not defined"), "{}", checked.stderr());
    given.gateway.admin(&["user", "disable", "root"]).expect_code(0);
    let refused = given.check("", &["--json"]).expect_code(1);
    assert!(refused.stderr().contains("no enabled account would be an administrator's"), "{}", refused.stderr());
    let found = refused.json();
    assert_eq!((&found["accepted"], &found["people_without_role"]), (&json!(false), &json!(["ada"])));

    // Without a gateway the present file says what is in effect.
    given.gateway.end(rustix::process::Signal::TERM);
    let present = given.folder.path("gateway.toml");
    let lost = given.check("[roles.chief]\nbase = \"viewer\"\n", &["--config", present.to_str().unwrap(), "--json"]);
    let lost = lost.expect_code(1).json();
    assert_eq!(lost["losses"][1]["key"], json!(given.key), "{lost}");
}

#[test]
fn a_file_can_be_checked_before_there_is_a_gateway() {
    let machine = Sandbox::new();
    let file =
        machine.write("gateway.toml", "[roles.research]\nbase = \"member\"\n[roles.guests]\nbase = \"viewer\"\n");
    let checked = machine.command(["gateway", "policy", "check", file.to_str().unwrap()]).run().expect_code(0);
    let shown = checked.stderr();
    assert!(shown.contains("is valid: 2 roles besides the built-in ones"), "{shown}");
    assert!(shown.contains("No database yet"), "{shown}");
    let missing = machine.command(["gateway", "policy", "check"]).run().expect_code(2);
    assert!(missing.stderr().contains("no configuration file found"), "{}", missing.stderr());
}

#[test]
fn what_is_shown_is_a_file_of_the_same_policy() {
    let machine = Sandbox::new();
    let file = machine
        .write("gateway.toml", "[roles.research]\nbase = \"member\"\nmodels = [\"llama3*\"]\n[limits]\nstreams = 4\n");
    let show = |file: &str, more: &[&str]| {
        let args = [&["gateway", "policy", "show", "--config", file], more].concat();
        machine.command(args).run().expect_code(0)
    };
    let shown = show(file.to_str().unwrap(), &[]).stdout().to_owned();
    assert!(shown.contains("#   research: inference, models:read"), "{shown}");
    assert!(shown.contains("[limits]\nstreams = 4\n") && shown.contains("models = [\"llama3*\"]"), "{shown}");
    let again = machine.write("again.toml", &shown);
    assert_eq!(show(again.to_str().unwrap(), &[]).stdout(), shown);
    let json = show(file.to_str().unwrap(), &["--json"]).json();
    assert_eq!(
        (&json["roles"]["research"]["models"], &json["limits"]),
        (&json!(["llama3*"]), &json!({ "streams": 4 }))
    );
}
