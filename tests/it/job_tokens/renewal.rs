//! A job that lasts longer than its token.

use super::job;
use crate::given::says;
use crate::harness::cmd::PROGRAM;
use crate::harness::tool;
#[cfg(feature = "gateway")]
use crate::harness::{contains, set_clock::SetClock};

#[cfg(feature = "gateway")]
#[test]
fn a_program_of_exec_goes_on_after_its_first_token() {
    let (mut sandbox, cloud, actions) = job();
    let clock = SetClock::at(cloud.server().clock().now());
    clock.give_to(&mut sandbox);
    let curl = format!("{} --silent --fail --noproxy '*'", tool("curl").display());
    let script = format!(
        "env >env.txt; {curl} $OLLAMA_HOST/api/tags >first; echo one; until [ -e go ]; do sleep 0.01; done; \
         {curl} --header \"Authorization: Bearer $OPENAI_API_KEY\" $OPENAI_BASE_URL/models >second; echo two"
    );
    let command = sandbox.command(["exec", "--"]).args([tool("sh")]).args(["-c", &script]);
    let child = command.current_dir(sandbox.root()).env("PATH", "/usr/bin:/bin").spawn();
    child.wait_stdout(|text| text.contains("one"));
    assert_eq!(actions.given(), 1, "the proxy gets it, and no one else");
    let environment = std::fs::read_to_string(sandbox.path("env.txt")).unwrap();
    for name in ["ACTIONS_ID_TOKEN", "OLLAMA_AUTH_ID_TOKEN", "OLLAMA_AUTH_OIDC_TOKEN_FILE"] {
        assert!(!environment.contains(name), "the program could get a token for any audience: {environment}");
    }
    assert!(environment.contains("GITHUB_ACTIONS=true") && !environment.contains(&actions.token(1)));
    for process in [child.cmdline(), child.environ()] {
        assert!(!contains(&process, actions.token(1).as_bytes()));
    }
    // It ends in less than a minute: only the second one is accepted.
    cloud.revoke_api_key(&actions.token(1));
    cloud.accept_api_key(&actions.token(2));
    clock.pass(250);
    sandbox.write("go", "");
    let output = child.finish().expect_code(0);
    assert_eq!((output.stdout(), actions.given()), ("one\ntwo\n", 2));
    for file in ["first", "second"] {
        assert!(!std::fs::read(sandbox.path(file)).unwrap().is_empty(), "{file}");
    }
    sandbox.assert_no_secret(&actions.token(2), &[&output], &[]);
}

#[cfg(feature = "gateway")]
#[test]
fn a_proxy_keeps_its_token_while_the_endpoint_fails() {
    use crate::harness::http::Reply;
    let (mut sandbox, cloud, actions) = job();
    let clock = SetClock::at(cloud.server().clock().now());
    clock.give_to(&mut sandbox);
    let curl =
        format!("{} --silent --output /dev/null --write-out '%{{http_code}} ' --noproxy '*'", tool("curl").display());
    let ask =
        |name: &str| format!("until [ -e {name} ]; do sleep 0.01; done; {curl} $OLLAMA_HOST/api/tags; echo {name}");
    let script = format!("echo zero; {}; {}", ask("one"), ask("two"));
    let command = sandbox.command(["exec", "--"]).args([tool("sh")]).args(["-c", &script]);
    let child = command.current_dir(sandbox.root()).env("PATH", "/usr/bin:/bin").spawn();
    child.wait_stdout(|text| text.contains("zero"));
    actions.reply(Reply::json(403, "{}")).reply(Reply::json(403, "{}"));
    clock.pass(250);
    sandbox.write("one", "");
    child.wait_stdout(|text| text.contains("one"));
    clock.pass(120);
    sandbox.write("two", "");
    let output = child.finish().expect_code(0);
    // Until it ended, and then with an error that says why.
    assert_eq!(output.stdout(), "zero\n200 one\n502 two\n");
    assert_eq!(actions.given(), 1);
}

#[test]
fn the_arguments_of_no_process_hold_a_token() {
    let (sandbox, _cloud, actions) = job();
    // What the program starts itself inherits its arguments.
    let script = format!("{PROGRAM} token >out; tr '\\0' ' ' </proc/$$/cmdline");
    let output =
        sandbox.program(tool("sh"), ["-c", &script]).current_dir(sandbox.root()).env("PATH", "/usr/bin:/bin").run();
    assert!(!output.expect_code(0).stdout().contains(&actions.token(1)));
    // One that is typed there is not repeated.
    let output = sandbox.command(["token", &actions.token(1), "/api/tags"]).run().expect_code(2);
    says(&output, &["****"]);
    assert!(!output.stderr().contains(&actions.token(1)));
}
