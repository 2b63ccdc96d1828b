//! Environments with listeners of their own.

use rustix::process::Signal;

use super::{Given, PROD_HOST, STAGING_HOST, code, header};
use crate::gateway_limits::upstream::Upstream;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;

const TABLES: &str = "[environments.prod]\nhosts = [\"prod.example\"]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n\
                      [environments.staging]\nhosts = [\"staging.example\"]\nlisten = [\"127.0.0.1:0\"]\n";

fn listeners(gateway: &Gateway, environment: &str) -> Vec<String> {
    let all = gateway.listening()["environments"][environment].as_array().unwrap().clone();
    all.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_listener_means_its_environment_whatever_the_name() {
    let given = Given::start(TABLES);
    let keys = ["prod", "staging", ""].map(|label| (label, given.key(label)));
    let (prod, staging) = (listeners(&given.gateway, "prod"), listeners(&given.gateway, "staging"));
    assert_eq!((prod.len(), staging.len()), (2, 1));
    for (listener, environment) in [(&prod[0], "prod"), (&prod[1], "prod"), (&staging[0], "staging")] {
        for (label, key) in &keys {
            let status = if *label == environment { 200 } else { 403 };
            // By its address, and by a name of the gateway that means no environment.
            for host in [listener.clone(), given.gateway.address(), format!("{environment}.example")] {
                let answer = given.ask_at(listener, &host, "POST", "/api/chat", &header(key));
                assert_eq!(answer.status, status, "{label:?} at {host} of {environment}: {}", answer.text());
            }
        }
        // Two environments at once.
        let other = if environment == "prod" { STAGING_HOST } else { PROD_HOST };
        for (_, key) in &keys {
            let answer = given.ask_at(listener, other, "POST", "/api/chat", &header(key));
            assert_eq!((answer.status, &*code(&answer)), (403, "environment"), "{}", answer.text());
        }
        assert_eq!(given.ask_at(listener, "evil.example", "POST", "/api/chat", &header(&keys[0].1)).status, 403);
        assert_eq!(given.ask_at(listener, listener, "GET", "/login", "Accept: text/html").status, 200);
    }
    // What a person signs in to is the public address.
    let mut device = Sandbox::new();
    device.set_env("OLLAMA_AUTH_STORE", "plaintext");
    let args = ["signin", "--host", &format!("http://{}", staging[0]), "--no-wait"];
    let refused = device.command(args).run().expect_code(1);
    assert!(refused.stderr().contains("leads to another host"), "{}", refused.stderr());
}

#[test]
fn listeners_change_at_a_restart_and_one_without_its_environment_refuses() {
    let mut given = Given::start(TABLES);
    let (key, plain) = (given.key("staging"), given.key(""));
    let staging = listeners(&given.gateway, "staging").remove(0);
    let ask = |given: &Given, key| given.ask_at(&staging, &staging, "POST", "/api/chat", &header(key));
    assert_eq!(ask(&given, &key).status, 200);
    let log = given.reload("[environments.prod]\nhosts = [\"prod.example\"]\nlisten = [\"127.0.0.1:0\"]\n");
    assert!(
        log.contains("these settings change only at the next start") && log.contains("environments.*.listen"),
        "{log}"
    );
    for key in [&key, &plain] {
        let refused = ask(&given, key);
        assert_eq!((refused.status, &*code(&refused)), (403, "environment"), "{}", refused.text());
        assert!(refused.text().contains("is not defined any more"), "{}", refused.text());
    }
    // At the other name the key is one without a label again.
    assert_eq!(given.run_at(&given.gateway.address(), &header(&key)).status, 200);
    assert_eq!(code(&given.run_at(PROD_HOST, &header(&key))), "environment");
    given.reload(TABLES);
    assert_eq!(ask(&given, &key).status, 200);
    given.gateway.end(Signal::TERM);
    std::fs::write(&given.file, "").unwrap();
    given.gateway.restart();
    assert!(std::net::TcpStream::connect(&staging).is_err());
}

#[test]
fn a_listener_that_cannot_be_is_named() {
    let (upstream, folder) = (Upstream::start(), Sandbox::new());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let serve = |tables: &str, code: i32| {
        let file = folder.write("gateway.toml", tables);
        let args = [
            "gateway",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            upstream.url(),
            "--config",
            file.to_str().unwrap(),
        ];
        folder.command(args).args(["--database", folder.path("gateway.db").to_str().unwrap()]).run().expect_code(code)
    };
    let refused = serve(&format!("[environments.prod]\nlisten = [\"{address}\"]\n"), 1);
    assert!(refused.stderr().contains(&format!("cannot listen at {address}")), "{}", refused.stderr());
    assert!(refused.stderr().contains("[environments.prod]"), "{}", refused.stderr());
    let refused = serve("[environments.prod]\nlisten = [\"0.0.0.0:0\"]\n", 2);
    assert!(refused.stderr().contains("0.0.0.0:0") && refused.stderr().contains("TLS"), "{}", refused.stderr());
}
