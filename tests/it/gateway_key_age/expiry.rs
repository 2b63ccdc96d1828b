//! The header with the end of a key, and what our own commands say of it.

use serde_json::Value;

use super::{DAY, Given};
use crate::harness::cmd::Sandbox;
use crate::harness::http::{Reply, Server};

fn told(answer: &crate::harness::gateway::Answer) -> Option<&str> {
    answer.header("x-ollama-auth-key-expires")
}

fn second(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

#[test]
fn a_key_s_holder_is_told_in_its_last_week() {
    let given = Given::start("");
    let key = given.key("ci", &["--expires", "30d"]);
    let end = second(&key["expires_at"]);
    given.clock.set(end - 7 * DAY - 1);
    assert_eq!(told(&given.ask(&key, "GET", "/api/tags")), None, "an upstream server cannot say so");
    given.clock.set(end - 7 * DAY);
    let wanted = jiff::Timestamp::from_second(end).unwrap().to_string();
    // Forwarded, an account endpoint, and a refusal.
    for (method, target) in [("GET", "/api/tags"), ("POST", "/api/me"), ("DELETE", "/api/delete")] {
        let answer = given.ask(&key, method, target);
        assert_eq!(told(&answer), Some(&*wanted), "{method} {target}: {}", answer.status);
    }
    given.clock.set(end);
    let ended = given.ask(&key, "GET", "/api/tags");
    assert_eq!((ended.status, told(&ended)), (401, None));
}

#[test]
fn a_short_life_is_told_of_in_its_last_part() {
    let given = Given::start("");
    let (short, forever) = (given.key("short", &["--expires", "8d"]), given.key("forever", &["--expires", "never"]));
    let end = second(&short["expires_at"]);
    for (at, is_told) in [(end - DAY - 1, false), (end - DAY, true), (end - 1, true)] {
        given.clock.set(at);
        assert_eq!(told(&given.ask(&short, "GET", "/api/tags")).is_some(), is_told, "{}", at - end);
        assert_eq!(told(&given.ask(&forever, "GET", "/api/tags")), None);
    }
}

#[test]
fn the_earliest_end_is_told() {
    let given = Given::start("");
    let (plain, prod) = (given.key("plain", &[]), given.key("prod", &["--env", "prod"]));
    let created = second(&prod["created_at"]);
    given.reload("[roles.member]\nmax-key-lifetime = \"40d\"\n[environments.prod]\nmax-key-age = \"20d\"\n");
    given.clock.set(created + 15 * DAY);
    let end =
        |key: &Value| told(&given.ask(key, "GET", "/api/tags")).map(|end| end.parse::<jiff::Timestamp>().unwrap());
    assert_eq!(end(&prod).unwrap().as_second(), created + 20 * DAY);
    assert_eq!(end(&plain), None);
    given.clock.set(created + 35 * DAY);
    assert_eq!(end(&plain).unwrap().as_second(), second(&plain["created_at"]) + 40 * DAY);
}

#[test]
fn a_command_says_once_a_day_that_its_key_ends() {
    let given = Given::start("");
    let key = given.key("ci", &["--expires", "30d"]);
    let end = second(&key["expires_at"]);
    let url = given.gateway.url();
    let mut program = Sandbox::new();
    given.clock.give_to(&mut program);
    let secret = key["key"].as_str().unwrap();
    let list = |more: &[&str]| {
        let command = program.command(["list", "--host", &url]).args(more).env("OLLAMA_API_KEY", secret);
        command.run().expect_code(0)
    };
    let says = |text: &str| text.replace('\n', " ").matches("expires in 5 days").count();
    given.clock.run_from(end - 5 * DAY);
    assert_eq!(says(list(&["--quiet"]).stderr()), 0);
    let first = list(&[]);
    let stderr = first.stderr().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!((says(first.stderr()), says(first.stdout())), (1, 0), "{stderr}");
    assert!(stderr.contains(&format!("OLLAMA_API_KEY for {url} expires in 5 days")), "{stderr}");
    assert!(stderr.contains("replace it there, for example: ollama-auth keys rotate KEY --env-file FILE"), "{stderr}");
    for more in [&[][..], &["--json"]] {
        let again = list(more);
        assert_eq!((says(again.stderr()), says(again.stdout())), (0, 0), "{}", again.stderr());
    }
    given.clock.run_from(end - 4 * DAY + 60);
    let next_day = list(&["--json"]);
    assert!(next_day.stderr().contains("expires in 4 days") && next_day.json().is_object(), "{}", next_day.stderr());
    assert!(!list(&[]).stderr().contains("expires in"));

    // Of a key that is stored, it says how to replace that one.
    program.command(["signin", "--with-api-key", "--store", "plaintext", "--host", &url]).stdin(secret).run();
    given.clock.run_from(end - 2 * DAY);
    let stored = program.command(["list", "--host", &url]).run().expect_code(0);
    let stderr = stored.stderr().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains(&format!("the API key for {url} expires in 2 days")), "{stderr}");
    assert!(stderr.contains("replace it: ollama-auth keys rotate"), "{stderr}");
    program.assert_no_secret(secret, &[&first, &next_day, &stored], &["home/.local/share/ollama-auth/secrets.json"]);
}

#[test]
fn what_cannot_be_noted_is_said_again_and_a_hostile_host_says_nothing() {
    let host = |value: &'static str| {
        Server::start(move |_| {
            let answer = Reply::json(200, r#"{"models":[]}"#).header("X-Ollama-Auth-Gateway", "1");
            answer.header("X-Ollama-Auth-Key-Expires", value)
        })
    };
    let list = |program: &Sandbox, server: &Server| {
        let command = program.command(["list", "--host", &server.url()]).env("OLLAMA_API_KEY", "not-of-a-gateway");
        command.run().expect_code(0).stderr().to_owned()
    };
    let (told, hostile) = (host("2099-01-01T00:00:00Z"), host("%1B[2J fake"));
    let program = Sandbox::new();
    std::fs::create_dir_all(program.path("home/.local/state")).unwrap();
    std::fs::write(program.path("home/.local/state/ollama-auth"), "no folder").unwrap();
    for _ in 0..2 {
        assert!(list(&program, &told).contains("2099-01-01T00:00:00Z"));
    }
    assert!(!list(&program, &hostile).contains("fake"));
}
