//! The client sends both proofs where a gateway demands them, and says what to do where it has one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::cmd::{Child, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::ollama::Ollama;

/// A gateway whose members need two proofs for everything but seeing models; a device of ada's with an API key in its profile.
fn given() -> (Gateway, Ollama, Sandbox, Sandbox) {
    let upstream = Ollama::start();
    let folder = Sandbox::new();
    let file = folder.write("gateway.toml", "");
    let gateway = Gateway::start_with(&upstream.url(), &["--config", file.to_str().unwrap()]);
    gateway.add_user("root", "admin").add_user("ada", "member");
    let device = gateway.device_added_to("ada");
    (gateway, upstream, folder, device)
}

fn demand(gateway: &Gateway, folder: &Sandbox) {
    folder.write("gateway.toml", "[roles.member]\ntwo-proofs = [\"inference\", \"models:read\", \"keys\"]\n");
    gateway.child().signal(rustix::process::Signal::HUP);
    gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
}

#[test]
fn a_signed_in_device_with_an_api_key_sends_both() {
    let (gateway, upstream, folder, device) = given();
    device.command(["keys", "create", "laptop", "--save", "--scope=inference,models:read,keys"]).run().expect_code(0);
    demand(&gateway, &folder);
    device.command(["run", "tiny", "hello"]).run().expect_code(0);
    let listed = device.command(["keys", "list", "--json"]).run().expect_code(0).json();
    assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "{listed}");
    // A change, whose body is bound to the signature.
    let made = device.command(["keys", "create", "ci", "--expires", "30d", "--json"]).run().expect_code(0).json();
    device.command(["keys", "revoke", made["id"].as_str().unwrap(), "--yes"]).run().expect_code(0);
    device.command(["keys", "rotate", "laptop", "--json"]).run().expect_code(0);
    let tags = device.command(["api", "/api/tags"]).run().expect_code(0);
    assert!(tags.stdout().contains("tiny"), "{}", tags.stdout());
    let completion = r#"{"model":"tiny","messages":[{"role":"user","content":"hi"}]}"#;
    device.command(["api", "/v1/chat/completions", "-d", completion]).run().expect_code(0);
    let got = upstream.server().requests();
    assert!(got.iter().all(|request| request.header("x-ollama-auth-signature").is_none()));
}

#[test]
fn one_refused_request_is_enough_to_learn_it() {
    let (gateway, _upstream, folder, device) = given();
    device.command(["keys", "create", "laptop", "--save"]).run().expect_code(0);
    demand(&gateway, &folder);
    // `run` asks for the model, and runs it.
    let ran = device.command(["run", "tiny", "hello", "-vv"]).run().expect_code(0);
    let refused = ran.stderr().matches("status=403").count();
    assert_eq!(refused, 1, "{}", ran.stderr());
}

#[test]
fn a_proxy_adds_both() {
    let (gateway, _upstream, folder, device) = given();
    device.command(["keys", "create", "laptop", "--save"]).run().expect_code(0);
    demand(&gateway, &folder);
    let (_proxy, address) = proxy(&device, &[]);
    let answer = ask(&address);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_proxy_adds_both_to_the_key_in_a_replaced_credentials_file() {
    let (gateway, _upstream, folder, device) = given();
    let keys = ["one", "two"].map(|name| gateway.key(&device, &[name, "--scope=inference,models:read,keys"]));
    let write = |key: &str| {
        let new = device.write("home/new.json", json!({ "host": gateway.url(), "key": key }).to_string());
        std::fs::rename(new, device.path("home/credentials.json")).unwrap();
    };
    demand(&gateway, &folder);
    write(&keys[0]);
    let file = device.path("home/credentials.json");
    let (_proxy, address) = proxy(&device, &["--credentials", file.to_str().unwrap()]);
    for key in [None, Some(&keys[1])] {
        if let Some(key) = key {
            write(key);
        }
        let answer = ask(&address);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// A proxy that listens, and its address.
fn proxy(device: &Sandbox, args: &[&str]) -> (Child, String) {
    let proxy = device.command(["proxy", "--json", "--listen", "127.0.0.1:0"]).args(args).spawn();
    let listen = |text: &str| {
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut events = events.filter(|event| event["event"] == "listening");
        events.find_map(|event| Some(event["listen"].as_str()?.to_owned()))
    };
    let address = listen(&proxy.wait_stderr(|text| listen(text).is_some())).unwrap();
    (proxy, address)
}

/// Runs a model through a proxy.
fn ask(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let body = r#"{"model":"tiny","prompt":"hello"}"#;
    let head = format!("POST /api/generate?a=1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_has_one_proof_is_told_how_to_get_the_other() {
    let (gateway, _upstream, folder, device) = given();
    let key = gateway.key(&device, &["spare", "--scope=inference,models:read,keys"]);
    demand(&gateway, &folder);
    let device_alone = device.command(["run", "tiny", "hello"]).run().expect_code(5);
    let says = device_alone.stderr().to_owned();
    assert!(says.contains("needs two proofs") && says.contains("ollama-auth keys import --host"), "{says}");
    let elsewhere = Sandbox::new();
    let key_alone = elsewhere.command(["run", "tiny", "hello", "--host", &gateway.url()]).env("OLLAMA_API_KEY", &key);
    let says = key_alone.run().expect_code(5).stderr().to_owned();
    assert!(says.contains("needs two proofs") && says.contains("ollama-auth signin --host"), "{says}");
    // The variable beside the device of the profile.
    let both = device.command(["run", "tiny", "hello", "--host", &gateway.url()]).env("OLLAMA_API_KEY", &key);
    both.run().expect_code(0);
}
