//! Which host receives which credential: every command, with `OLLAMA_HOST` and `OLLAMA_API_KEY` as a gateway's users set them. A
//! stand-in is ollama.com, another one is the gateway; both record what they receive.

use serde_json::json;

use crate::given::says;
use crate::harness::cloud::{Cloud, Fault, Issued};
use crate::harness::cmd::Output;
use crate::harness::tool;
use crate::keys::ollama_com::Machine;

/// What a command may ask for on the account's side, and what it does with models.
const COMMANDS: [&[&str]; 13] = [
    &["status", "--json"],
    &["doctor", "--json"],
    &["keys", "list", "--json"],
    &["keys", "audit", "--json"],
    &["keys", "create", "nightly", "--json"],
    &["keys", "rotate", "--all", "--json"],
    &["usage", "--json"],
    &["run", "tiny", "hi"],
    &["run", "tiny-cloud", "hi"],
    &["list"],
    &["api", "/api/tags"],
    &["exec", "--", "/bin/true"],
    &["token"],
];

/// The stand-in for ollama.com, a gateway, and one of its keys in the environment.
struct Given {
    machine: Machine,
    gateway: Cloud,
    key: Issued,
}

impl Given {
    fn new() -> Self {
        let (mut machine, gateway) = (Machine::new(), Cloud::start());
        gateway.offer_keys();
        let key = gateway.issue(json!({ "name": "ci", "scopes": ["inference", "models:read", "keys"] }));
        machine.sandbox.set_env("OLLAMA_API_KEY", &key.key);
        machine.sandbox.set_env("OLLAMA_HOST", gateway.url());
        Self { machine, gateway, key }
    }

    /// Signs a device in at ollama.com, so that its profile is the current one.
    fn sign_in_at_ollama_com(&self) {
        // The stand-in knows nothing of the TLS in front of it.
        self.machine.cloud.inject("/api/me", Fault::SigninOrigin("https://ollama.com".into()));
        let args = ["signin", "--host", "ollama.com", "--no-wait"];
        let link =
            self.run(&args).expect_code(4).stdout().trim().replace("https://ollama.com", &self.machine.cloud.url());
        let fetch = ["--silent", "--fail", "--noproxy", "*", &link];
        self.machine.sandbox.program(tool("curl"), fetch).run().expect_code(0);
        self.run(&args).expect_code(0);
        self.machine.cloud.clear_faults();
    }

    fn run(&self, args: &[&str]) -> Output {
        self.machine.sandbox.command(self.machine.trusting(args)).run()
    }

    /// How many requests with the gateway's key the gateway has received. Fails if ollama.com has received one.
    fn with_the_key(&self) -> usize {
        let with_key = |cloud: &Cloud| {
            let requests = cloud.server().requests();
            requests.iter().filter(|request| request.api_key() == Some(self.key.key.as_str())).count()
        };
        assert_eq!(with_key(&self.machine.cloud), 0, "ollama.com got the gateway's key");
        with_key(&self.gateway)
    }
}

#[test]
fn ollama_host_decides_for_a_gateways_key() {
    for signed_in in [false, true] {
        let given = Given::new();
        if signed_in {
            given.sign_in_at_ollama_com();
        }
        for args in COMMANDS {
            let (before, at_com) = (given.with_the_key(), given.machine.cloud.server().requests().len());
            let output = given.run(args);
            // `token` and `exec` hand the key on, and `keys rotate --all` is about stored keys.
            let sends = !["token", "exec"].contains(&args[0]) && !args.starts_with(&["keys", "rotate"]);
            assert_eq!(given.with_the_key() > before, sends, "{args:?}\n{}", output.snapshot());
            // `status` and `doctor` ask every host that a profile is for, with the profile's own credential.
            if !signed_in || !["status", "doctor"].contains(&args[0]) && !args.starts_with(&["keys", "audit"]) {
                assert_eq!(given.machine.cloud.server().requests().len(), at_com, "{args:?}\n{}", output.snapshot());
            }
        }
        let status = given.run(&["status", "--json"]).expect_code(0).json();
        assert_eq!((&status["host"], &status["host_reason"]), (&json!(given.gateway.url()), &json!("ollama-host")));
        assert_eq!(status["signed_in"], true);
        let listed = given.run(&["keys", "list", "--json"]).expect_code(0).json();
        assert_eq!(listed["host"], given.gateway.url());
        let audit = given.run(&["keys", "audit", "--json"]).expect_code(0).json();
        let checked = audit["profiles"].as_array().unwrap().iter().find(|it| it["host"] == given.gateway.url());
        assert!(checked.unwrap()["keys"].as_u64() >= Some(1), "{audit}");
    }
}

/// Without `OLLAMA_HOST` no host is named for the key; with ollama.com as the host, it is for another one.
#[test]
fn a_gateways_key_never_goes_to_ollama_com() {
    let mut given = Given::new();
    for host in [None, Some("https://ollama.com")] {
        match host {
            Some(host) => given.machine.sandbox.set_env("OLLAMA_HOST", host),
            None => given.machine.sandbox.remove_env("OLLAMA_HOST"),
        };
        for args in COMMANDS {
            let output = given.run(args);
            assert_eq!(given.with_the_key(), 0, "{args:?}\n{}", output.snapshot());
            let named: Vec<&str> = [&["--host", "ollama.com"], args].concat();
            let output = given.run(&named);
            assert_eq!(given.with_the_key(), 0, "{named:?}\n{}", output.snapshot());
        }
        for args in [&["status"][..], &["keys", "list"], &["keys", "audit"], &["usage"]] {
            let output = given.run(args).expect_code(4);
            let said = format!("{}{}", output.stdout(), output.stderr());
            assert!(said.contains("is a gateway's key") && said.contains("OLLAMA_HOST"), "{}", output.snapshot());
        }
    }
    // Nor when it is given in another way.
    let file = json!({ "host": "https://ollama.com", "key": given.key.key }).to_string();
    let file = given.machine.sandbox.write("ollama.json", file);
    let output = given.run(&["status", "--credentials", file.to_str().unwrap()]).expect_code(2);
    says(&output, &["refusing to send a gateway's API key to https://ollama.com"]);
    let args = given.machine.trusting(&["signin", "--with-api-key", "--host", "ollama.com"]);
    let output = given.machine.sandbox.command(args).stdin(given.key.key.clone()).run().expect_code(2);
    says(&output, &["refusing to send a gateway's API key to https://ollama.com"]);
    let bearer = format!("Bearer {}", given.key.key);
    for (host, key) in [
        ("https://ollama.com", &bearer),
        ("https://ollama.com.", &given.key.key),
        ("https://www.ollama.com", &given.key.key),
    ] {
        let args = given.machine.trusting(&["list", "--host", host]);
        let output = given.machine.sandbox.command(args).env("OLLAMA_API_KEY", key).run();
        assert_ne!(output.code(), 0, "{}", output.snapshot());
        assert!(!output.stderr().contains("cannot reach"), "{}", output.snapshot());
    }
    assert_eq!(given.with_the_key(), 0);
}

/// A key of another form keeps to the old rules: accounts ignore `OLLAMA_HOST`, and ollama.com gets its own key.
#[test]
fn with_another_key_accounts_ignore_ollama_host() {
    let mut given = Given::new();
    let key = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
    given.machine.sandbox.set_env("OLLAMA_API_KEY", key);
    let status = given.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!((&status["host"], &status["host_reason"]), (&json!("https://ollama.com"), &json!("default-account")));
    assert!(given.gateway.server().requests().iter().all(|request| request.authorization().is_none()));
}
