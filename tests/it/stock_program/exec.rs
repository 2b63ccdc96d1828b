//! The stock program in `ollama-auth exec`: it uses our device's key through the proxy, and so does what it launches.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::program::{ollama, said};
use crate::harness::gateway::Gateway;
use crate::harness::ollama::{Ollama, recorded};
use crate::harness::tool;

#[test]
fn the_client_and_what_it_launches_work_right_after_signin() {
    let upstream = Ollama::start();
    upstream.replay_always("generate");
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    let mut device = gateway.device_of("ada");
    // Nothing leaves the machine, and the port of this machine is not looked for there.
    device.set_env("HTTP_PROXY", "http://127.0.0.1:9").set_env("HTTPS_PROXY", "http://127.0.0.1:9");
    let agent = format!(
        "#!/bin/sh\necho \"with $*\"\n{} --silent --header \"Authorization: Bearer $ANTHROPIC_AUTH_TOKEN\" $ANTHROPIC_BASE_URL/v1/models\n",
        tool("curl").display()
    );
    let agent = device.write("bin/claude", agent);
    fs::set_permissions(agent, fs::Permissions::from_mode(0o700)).unwrap();
    let exec = |args: &[&str]| device.command(["exec", "--", &*ollama()]).args(args).run();

    assert!(exec(&["list"]).expect_code(0).stdout().contains("tiny:latest"));
    let output = exec(&["run", "tiny", "Why is the sky blue?"]).expect_code(0);
    assert!(output.stdout().contains(recorded("generate").said().trim()), "{}", said(&output));
    let output = exec(&["launch", "claude", "--model", "tiny", "--yes", "--", "-p", "hi"]).expect_code(0);
    let words = said(&output);
    assert!(words.contains("-p hi") && words.contains("\"object\""), "{words}");
    let asked = upstream.server().requests();
    let by_ada = asked.iter().filter(|request| format!("{:?}", request.headers).contains("\"ada\"")).count();
    assert!(asked.iter().any(|request| request.path() == "/v1/models"), "{words}");
    // The gateway asks for the version itself.
    assert_eq!(by_ada, asked.iter().filter(|request| !["/api/version", "/"].contains(&request.path())).count());
    let key = gateway.key(&device, &["k"]);
    let with_key = device.command(["exec", "--", &*ollama(), "list"]).env("OLLAMA_API_KEY", key);
    assert!(with_key.env("OLLAMA_HOST", gateway.url()).run().expect_code(0).stdout().contains("tiny:latest"));
    // The stock program made no key of its own for this.
    assert_eq!(
        gateway.admin(&["device", "list", "--json"]).expect_code(0).json()["devices"].as_array().unwrap().len(),
        1
    );
}
