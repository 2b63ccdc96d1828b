//! The stock client at the gateway: what it says when it is refused, its sign-in, its commands, its sign-out.

use serde_json::Value;

use super::program::{Client, Server, said};
use super::registry::Registry;
use crate::given::says;
use crate::harness::browser::Behaviour;
use crate::harness::gateway::Gateway;
use crate::harness::ollama::{Ollama, recorded};

/// A gateway in front of a stock server, and a person's machine that talks to it.
fn given() -> (Server, Gateway, Client) {
    let server = Server::start();
    let gateway = Gateway::start(&server.url());
    gateway.add_user("ada", "maintainer");
    let client = Client::new(&gateway.url());
    (server, gateway, client)
}

#[track_caller]
fn contains(output: &str, wanted: &[&str]) {
    for text in wanted {
        assert!(output.contains(text), "{text:?} is missing:\n{output}");
    }
}

/// Every command of a device that is not approved says where to approve it.
#[track_caller]
fn assert_refused(client: &Client, gateway: &Gateway) {
    let link = format!("{}/connect?name=", gateway.url());
    for args in [&["list"][..], &["ps"], &["show", "tiny"], &["cp", "tiny", "x"], &["rm", "tiny"], &["stop", "tiny"]] {
        let output = client.stock(args);
        contains(&said(&output), &[&format!("Error: unauthorized: approve this device at {link}")]);
        output.expect_code(1);
    }
    // These exit with 0, which is stock's own choice.
    for args in [&["run", "tiny", "hi"][..], &["run", "big:cloud", "hi"], &["push", "ada/tiny"]] {
        let output = client.stock(args).expect_code(0);
        contains(&said(&output), &["You need to be signed in", &format!("navigate to:\n    {link}")]);
    }
    // `pull` prints nothing of the answer's body.
    let output = client.stock(&["pull", "tiny"]).expect_code(1);
    contains(&said(&output), &["Error: 401 Unauthorized"]);
    contains(&said(&client.stock(&["signout"]).expect_code(0)), &["You are not signed in"]);
}

#[test]
fn a_person_signs_the_client_in_works_with_it_and_signs_it_out() {
    let (registry, (server, gateway, client)) = (Registry::start(), given());
    assert_refused(&client, &gateway);

    let browser = client.0.browser(Behaviour::Person("ada", "Approve"));
    let output = client.stock(&["signin"]).expect_code(0);
    let [link] = &browser.opened()[..] else { panic!("one link: {:?}", browser.opened()) };
    contains(output.stdout(), &[link]);
    assert!(link.starts_with(&format!("{}/connect?name=", gateway.url())), "{link}");
    // It does not wait for the approval.
    browser.page();
    let output = crate::harness::poll("the approval", || {
        Some(client.stock(&["signin"])).filter(|output| !output.stdout().contains("navigate"))
    });
    contains(output.stdout(), &["You are already signed in as user 'ada'"]);

    let model = registry.name("tiny");
    let output = client.stock(&["pull", "--insecure", &model]).expect_code(0);
    contains(&said(&output), &["pulling manifest", "verifying sha256 digest", "success"]);
    let output = client.stock(&["pull", "--insecure", &registry.name("nope")]).expect_code(1);
    contains(&said(&output), &["Error: pull model manifest: file does not exist"]);
    let output = client.stock(&["cp", &model, "tiny"]).expect_code(0);
    assert_eq!(output.stdout(), format!("copied '{model}' to 'tiny'\n"));
    contains(client.stock(&["list"]).expect_code(0).stdout(), &["NAME", "tiny:latest", &model]);
    contains(client.stock(&["ps"]).expect_code(0).stdout(), &["PROCESSOR"]);
    contains(client.stock(&["show", "tiny"]).expect_code(0).stdout(), &["architecture", "llama", "Be brief."]);
    client.stock(&["stop", "tiny"]).expect_code(0);
    contains(&said(&client.stock(&["run", "tiny", "hi"]).expect_code(1)), &["500 Internal Server Error"]);
    assert_eq!(shown_by_gateway(&server), ["tiny:latest".to_owned(), format!("{model}:latest")]);
    // Several in one second have the same signature.
    let output = client.stock(&["rm", "tiny", &model]).expect_code(0);
    contains(output.stdout(), &["deleted 'tiny'", "deleted '127.0.0.1:"]);
    assert_eq!(shown_by_gateway(&server), [""; 0]);

    let output = client.stock(&["signout"]).expect_code(0);
    contains(output.stdout(), &["You have signed out"]);
    assert_refused(&client, &gateway);
}

/// The models of the server behind the gateway.
fn shown_by_gateway(server: &Server) -> Vec<String> {
    let (status, body) = server.ask("GET", "/api/tags", "");
    assert_eq!(status, 200);
    let list: Value = serde_json::from_str(&body).unwrap();
    let mut names: Vec<String> =
        list["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect();
    names.sort_by_key(String::len);
    names
}

/// A client that is approved.
fn approved(host: &str, gateway: &Gateway, role: &str) -> Client {
    let client = Client::new(host);
    gateway.add_user("ada", role);
    let output = client.stock(&["signin"]).expect_code(0);
    let link = output.stdout().split_whitespace().find(|word| word.contains("/connect?")).unwrap().to_owned();
    gateway.admin(&["approve", &link, "--user", "ada"]).expect_code(0);
    client
}

#[test]
fn what_a_person_may_not_do_is_refused_with_the_scope() {
    let server = Server::start();
    let gateway = Gateway::start(&server.url());
    let client = approved(&gateway.url(), &gateway, "member");
    client.stock(&["list"]).expect_code(0);
    for args in [
        &["push", "ada/tiny"][..],
        &["push", "--insecure", "127.0.0.1:9/ada/tiny"],
        &["pull", "tiny"],
        &["cp", "tiny", "x"],
        &["rm", "tiny"],
    ] {
        let output = client.stock(args).expect_code(1);
        contains(&said(&output), &["Error: ", "this credential does not have the scope models:write"]);
    }
}

#[test]
fn a_model_runs() {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    let client = approved(&gateway.url(), &gateway, "member");
    let output = client.stock(&["run", "tiny", "Why is the sky blue?"]).expect_code(0);
    assert_eq!(output.stdout().trim_end(), recorded("generate").said().trim_end());
    let asked = upstream.server().requests();
    assert!(asked.iter().all(|request| request.authorization().is_none()), "no signature is forwarded");
    contains(&said(&client.stock(&["run", "nope", "hi"])), &["not have the scope models:write"]);
}

#[test]
fn a_base_path_and_a_slash_at_the_end_work() {
    let upstream = Ollama::start();
    let gateway = Gateway::start_with(&upstream.url(), &["--public-url", "http://127.0.0.1:9/prefix"]);
    let base = format!("http://{}/prefix", gateway.address());
    let mut client = approved(&base, &gateway, "member");
    for host in [base.clone(), format!("{base}/"), base.replace("http://", "")] {
        client.0.set_env("OLLAMA_HOST", host);
        contains(client.stock(&["list"]).expect_code(0).stdout(), &["tiny:latest"]);
        let output = client.stock(&["run", "tiny", "Why is the sky blue?"]).expect_code(0);
        assert_eq!(output.stdout().trim_end(), recorded("generate").said().trim_end());
    }
    let plain = Gateway::start(&upstream.url());
    let client = approved(&format!("{}/", plain.url()), &plain, "member");
    contains(client.stock(&["list"]).expect_code(0).stdout(), &["tiny:latest"]);
}

#[test]
fn a_client_that_does_not_sign_is_told_how_to() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    let mut client = Client::without_key(&gateway.url());
    let output = client.stock(&["list"]).expect_code(1);
    says(&output, &["Error: unauthorized: not signed in to", &gateway.url(), "OLLAMA_AUTH=1"]);
    client.0.set_env("OLLAMA_AUTH", "1");
    let output = client.stock(&["list"]).expect_code(1);
    says(&output, &["id_ed25519: no such file"]);
}
