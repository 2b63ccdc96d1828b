//! The key of a stock server and its account at ollama.com: our `signin --server` and `signout --server` at the unmodified server, and
//! the traps that the protocol page names.

use serde_json::Value;

use super::internet::Internet;
use super::program::{Client, Server, said};
use crate::given::{grouped, says};
use crate::harness::browser::Behaviour;
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::tool;

/// The status of `/api/me`, and the body.
fn me(server: &Server) -> (u16, Value) {
    let (status, body) = server.ask("POST", "/api/me", "");
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn our_client_signs_a_stock_server_in_and_out() {
    let upstream = Ollama::start();
    let internet = Internet::start(&upstream.url());
    let server = internet.server();
    let client = Client::without_key(&server.url());
    let (status, body) = me(&server);
    assert_eq!((status, body["error"].as_str()), (401, Some("unauthorized")));
    let offered = body["signin_url"].as_str().unwrap().to_owned();
    assert!(
        offered.starts_with("https://ollama.com/connect?name=") && offered.ends_with(&server.encoded_key()),
        "{offered}"
    );

    let browser = client.0.browser(Behaviour::Ignores);
    let waiting = client.0.command(["signin", "--server"]).spawn();
    assert_eq!(browser.wait_opened(), offered);
    waiting.wait_stderr(|text| text.contains(&grouped(&server.fingerprint())));
    internet.com.admin(&["approve", &offered, "--user", "ada"]).expect_code(0);
    says(&waiting.finish().expect_code(0), &["is signed in as ada"]);
    says(&client.ours(&["signin", "--server"]).expect_code(0), &["already signed in as ada"]);
    assert!(client.stock(&["signin"]).expect_code(0).stdout().contains("already signed in as user 'ada'"));
    let (status, body) = me(&server);
    assert_eq!((status, body["name"].as_str()), (200, Some("ada")));

    // Its cloud models run there, for whoever asks.
    let run = ["run", "tiny:cloud", "Why is the sky blue?"];
    let wanted = recorded("generate").said();
    assert_eq!(client.ours(&run).expect_code(0).stdout().trim_end(), wanted.trim_end());
    assert_eq!(client.stock(&run).expect_code(0).stdout().trim_end(), wanted.trim_end());

    says(&client.ours(&["signout", "--server"]).expect_code(0), &["Signed out the server at", &server.url()]);
    assert_eq!(me(&server).0, 401);
    says(&client.ours(&["signout", "--server"]).expect_code(0), &["was not signed in"]);
    let refused = client.ours(&run).expect_code(4);
    says(&refused, &["ollama-auth signin --server"]);
    assert!(!client.0.path("home/.config/ollama-auth/profiles.json").exists());
}

#[test]
fn any_disconnect_at_a_stock_server_disconnects_itself() {
    let internet = Internet::start("http://127.0.0.1:9");
    let server = internet.server();
    let offered = me(&server).1["signin_url"].as_str().unwrap().to_owned();
    internet.com.admin(&["approve", &offered, "--user", "ada"]).expect_code(0);
    assert_eq!(me(&server).0, 200);
    // Ours does not send it there.
    let client = Client::without_key(&server.url());
    let revoke = client.0.command(["keys", "revoke", "0123456789abcdef", "--yes", "--host", &server.url()]);
    let revoke = revoke.env("OLLAMA_API_KEY", "olauth_abcdefghijklmnopqrstuvwxyz0123456789").run().expect_code(1);
    says(&revoke, &["is a plain Ollama server"]);
    let delete = client.ours(&["api", "-X", "DELETE", "/api/user/keys/whatever"]).expect_code(1);
    says(&delete, &["was not sent", "is a plain Ollama server"]);
    assert_eq!(me(&server).0, 200);
    assert_eq!(server.ask("DELETE", "/api/user/keys/whatever", "").0, 200);
    assert_eq!(me(&server).0, 401);
}

#[test]
fn a_stock_server_that_cannot_reach_ollama_com_says_so() {
    let server = Server::start();
    let client = Client::without_key(&server.url());
    let (status, body) = me(&server);
    assert_eq!((status, body["error"].as_str()), (503, Some("account unavailable")));
    says(&client.ours(&["signin", "--server"]).expect_code(7), &["cannot reach ollama.com", "network"]);
    assert!(said(&client.stock(&["signin"]).expect_code(1)).contains("account unavailable"));
    let output = client.ours(&["run", "big:cloud", "hi"]).expect_code(6);
    says(&output, &["answered 502", "ollama.com"]);
    // Its own key never leaves it, and ours is not sent to it.
    let foreign = client.0.program(tool("curl"), ["--silent", "--noproxy", "*", "--header", "Host: evil.example"]);
    let foreign = foreign.args(["--output", "/dev/null", "--write-out", "%{http_code}", &server.url()]).run();
    assert_eq!(foreign.stdout(), "403");
}
