//! `exec` with a proxy of its own: programs use the device's key and cannot read it, and nothing is left when they end.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Pid, Signal, kill_process};

use super::{KEY, sh, with_key};
use crate::given::{DATA, PASSPHRASE, says, sign_in, with_store};
use crate::harness::cloud::Cloud;
use crate::harness::cmd::{Child, PROGRAM, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server};
use crate::harness::ollama::Ollama;
use crate::harness::pty::Terminal;
use crate::harness::{can_be_other_accounts, poll, tool};

/// A program that asks the proxy, as words of a shell.
fn curl(more: &str) -> String {
    format!("{} --silent --show-error --max-time 100 {more}", tool("curl").display())
}

/// The processes that are a proxy for the program with that id.
fn proxies_of(program: u32) -> Vec<i32> {
    let wanted = format!("__proxy-for\0{program}\0");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_one = |id: &i32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&wanted)
    };
    ids.filter(is_one).collect()
}

/// A program that has started, the address of its proxy, and the proxy's process.
fn started(sandbox: &Sandbox, script: &str) -> (Child, String, i32) {
    let script = format!("echo $OLLAMA_HOST; {script}");
    let child = sh(sandbox, &["exec", "--proxy"], &script).env("PATH", "/usr/bin:/bin").spawn();
    let text = child.wait_stdout(|text| text.contains('\n'));
    let address = text.lines().next().unwrap().trim_start_matches("http://").to_owned();
    let proxies = proxies_of(child.pid());
    let [proxy] = proxies[..] else { panic!("{proxies:?}") };
    (child, address, proxy)
}

fn is_gone(proxy: i32) -> bool {
    !fs::exists(format!("/proc/{proxy}")).unwrap()
}

#[test]
fn every_api_works_with_the_devices_key_alone() {
    let ollama = Ollama::start();
    let gateway = Gateway::start(&ollama.url());
    gateway.add_user("ada", "member");
    let device = gateway.device_of("ada");
    let script = format!(
        "env; {}; {}; {}; {}",
        curl("--fail $OLLAMA_HOST/api/tags"),
        curl("--fail --header \"Authorization: Bearer $OPENAI_API_KEY\" $OPENAI_BASE_URL/models"),
        curl("--fail --header \"Authorization: Bearer $ANTHROPIC_AUTH_TOKEN\" $ANTHROPIC_BASE_URL/v1/models"),
        curl("--request POST $OLLAMA_HOST/api/me"),
    );
    let command = sh(&device, &["exec"], &script).env("PATH", "/usr/bin:/bin").env("OLLAMA_HOST", gateway.url());
    let output = command.run().expect_code(0);
    assert_eq!(output.stderr(), "");
    let lines: Vec<&str> = output.stdout().lines().collect();
    for name in ["OLLAMA_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_AUTH_TOKEN"] {
        assert!(lines.contains(&&*format!("{name}=ollama")), "{name} holds no credential: {}", output.stdout());
    }
    assert!(output.stdout().contains("\"ada\""), "/api/me knows who asks: {}", output.stdout());
    let asked = ollama.server().requests();
    let of_ada = |path: &str| {
        let of_ada = asked.iter().filter(|request| format!("{:?}", request.headers).contains("\"ada\""));
        of_ada.filter(|request| request.path() == path).count()
    };
    assert_eq!((of_ada("/api/tags"), of_ada("/v1/models")), (1, 2));
}

#[test]
fn a_base_path_and_a_stored_key_are_used() {
    let (sandbox, cloud) = (with_store("file"), Cloud::start_at("/below"));
    sign_in(&sandbox, &cloud, &[]);
    let me = curl("--fail --request POST $OLLAMA_HOST/api/me");
    sh(&sandbox, &["exec"], &me).run().expect_code(0);
    let api_key = with_store("plaintext");
    cloud.accept_api_key(KEY);
    api_key.command(["signin", "--with-api-key", "--host", &cloud.url()]).stdin(KEY).run().expect_code(0);
    let output = sh(&api_key, &["exec", "--proxy"], &format!("env; {me}")).run();
    assert!(!output.expect_code(0).stdout().contains(KEY));
    let file = api_key.write("f.json", format!("{{\"host\":\"{}\",\"key\":\"{KEY}\"}}", cloud.url()));
    let named =
        api_key.command(["exec", "--proxy", "--credentials"]).args([&file]).args([tool("sh")]).args(["-c", &me]);
    named.run().expect_code(0);
    // A pipe can be read once.
    let script = format!("{} {} exec --proxy --credentials /dev/stdin -- sh -c '{me}'", "exec", PROGRAM);
    let piped = api_key.program(tool("sh"), ["-c", &script]).env("PATH", "/usr/bin:/bin");
    piped.stdin(fs::read(file).unwrap()).run().expect_code(0);
}

#[test]
fn the_proxy_ends_with_the_program_also_when_it_is_killed() {
    let sandbox = with_key();
    for signal in [Signal::TERM, Signal::KILL] {
        // What the program leaves behind does not keep it.
        let (child, address, proxy) = started(&sandbox, "sleep 300 >/dev/null 2>&1 </dev/null & echo $!; wait");
        let text = child.wait_stdout(|text| text.lines().count() == 2);
        TcpStream::connect(&address).expect("a proxy that listens");
        child.signal(signal);
        child.finish();
        poll("the end of the proxy", || is_gone(proxy).then_some(()));
        assert!(TcpStream::connect(&address).is_err());
        let left: i32 = text.lines().nth(1).unwrap().parse().unwrap();
        let _ = kill_process(Pid::from_raw(left).unwrap(), Signal::KILL);
    }
}

#[test]
fn the_program_continues_when_the_proxy_is_killed() {
    let sandbox = with_key();
    let (child, address, proxy) =
        started(&sandbox, &format!("trap '{}; exit 5' USR1; while :; do sleep 0.01; done", curl("$OLLAMA_HOST")));
    // Signals are for the program alone.
    for signal in [Signal::INT, Signal::TERM] {
        kill_process(Pid::from_raw(proxy).unwrap(), signal).unwrap();
    }
    TcpStream::connect(&address).expect("a proxy that listens");
    kill_process(Pid::from_raw(proxy).unwrap(), Signal::KILL).unwrap();
    poll("the end of the proxy", || is_gone(proxy).then_some(()));
    child.signal(Signal::USR1);
    let output = child.finish().expect_code(5);
    says(&output, &["Failed to connect"]);
}

/// Shells, make and test runners wait for all children that they have.
#[test]
fn the_program_has_no_child_that_it_did_not_start() {
    let sandbox = with_key();
    let script =
        "import os\ntry: print(os.wait())\nexcept ChildProcessError: print('no child', os.getpid() == os.getpgid(0))";
    // python3 may be a script that needs other tools.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = sandbox.command(["exec", "--proxy", "--", "python3", "-c", script]).env("PATH", path).run();
    assert_eq!(output.expect_code(0).stdout(), "no child True\n");
}

#[test]
fn web_pages_and_other_accounts_cannot_use_the_proxy() {
    let (upstream, mut sandbox) = (Server::start(|_| Reply::json(200, "{}")), with_key());
    sandbox.set_env("OLLAMA_HOST", upstream.url()).set_env("PATH", "/usr/bin:/bin");
    let code =
        |more: &str| curl(&format!("--output /dev/null --write-out '%{{http_code}} ' {more} $OLLAMA_HOST/api/tags"));
    let mut script = [
        code(""),
        code("--header 'Host: evil.example'"),
        code("--header 'Origin: https://evil.example'"),
        code("--header 'Sec-Fetch-Site: same-site'"),
        code("--request DELETE"),
    ]
    .join("; ");
    let mut expected = "200 403 403 403 403 ".to_owned();
    if can_be_other_accounts() {
        let other = format!("{} --reuid=65534 --regid=65534 --clear-groups", tool("setpriv").display());
        script += &format!("; cd /; {other} {}", code(""));
        expected += "403 ";
    }
    let output = sh(&sandbox, &["exec", "--proxy"], &script).run().expect_code(0);
    assert_eq!(output.stdout(), expected);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_failure_of_the_proxy_is_reported_once_with_its_exit_code() {
    let (sandbox, cloud) = (with_store("plaintext"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    let mark = sandbox.path("mark");
    fs::remove_file(sandbox.path(DATA).join("secrets.json")).unwrap();
    let output = sandbox.command(["exec", "--"]).args([tool("touch"), mark.clone()]).run().expect_code(4);
    says(&output, &["is missing from the plaintext store", "ollama-auth signin --host"]);
    assert_eq!(output.stderr().matches("error:").count(), 1, "{}", output.stderr());
    let output = sandbox.command(["--json", "exec", "--"]).args([tool("touch"), mark.clone()]).run().expect_code(4);
    let error: serde_json::Value = serde_json::from_str(output.stderr()).unwrap();
    assert_eq!(error["error"]["exit_code"], 4);
    assert!(!mark.exists());
    // Nothing of it is left, and nothing listens.
    assert_eq!(output.stdout(), "");
}

#[test]
fn a_passphrase_is_asked_for_before_the_program_has_the_terminal() {
    let (mut sandbox, cloud) = (with_store("file"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    sandbox.remove_env("OLLAMA_AUTH_PASSPHRASE").set_env("PATH", "/usr/bin:/bin");
    let script = format!(
        "trap 'echo stopped; exit 3' INT; echo ready; read line; echo got $line; {}; while :; do sleep 0.01; done",
        curl("--fail --request POST $OLLAMA_HOST/api/me")
    );
    let mut terminal = Terminal::start(&sandbox, &["exec", "--", "sh", "-c", &script]);
    terminal.wait_text("Passphrase of the encrypted file:");
    terminal.send(&format!("{PASSPHRASE}\r"));
    terminal.wait_text("ready");
    assert!(terminal.is_restored());
    terminal.send("words\r");
    terminal.wait_text("got words");
    terminal.wait_text("\"name\"");
    terminal.send("\x03");
    terminal.wait_text("stopped");
    let end = terminal.finish();
    assert_eq!((end.code, end.restored), (3, true));

    // Ctrl-C at the question ends both, and the terminal is as before.
    let mut terminal = Terminal::start(&sandbox, &["exec", "--", "echo", "started"]);
    terminal.wait_text("Passphrase of the encrypted file:");
    let program = terminal.pid();
    terminal.send("\x03");
    let end = terminal.finish();
    assert_eq!((end.code, end.restored), (130, true), "{}", end.screen);
    assert!(!end.screen.contains("started"));
    poll("the end of the proxy", || proxies_of(program).is_empty().then_some(()));
}

#[test]
fn nothing_asks_any_more_when_the_process_that_was_started_is_killed() {
    let (mut sandbox, cloud) = (with_store("file"), Cloud::start());
    sign_in(&sandbox, &cloud, &[]);
    sandbox.remove_env("OLLAMA_AUTH_PASSPHRASE").set_env("PATH", "/usr/bin:/bin").set_env("P", PROGRAM);
    // In a shell of its own: the end of the terminal's first process would be a signal to all.
    let bash = tool("bash");
    let mut shell = Terminal::start_program(&sandbox, bash.to_str().unwrap(), &["--norc", "--noprofile", "-i"], 80, 24);
    shell.send("sh -c 'echo \"<$$>\"; exec $P exec -- echo started'\r");
    let screen = shell.wait_text("Passphrase of the encrypted file:");
    let started = screen.split_once("\n<").unwrap().1.split_once('>').unwrap().0.parse::<i32>().unwrap();
    assert_eq!(proxies_of(started.cast_unsigned()).len(), 1);
    kill_process(Pid::from_raw(started).unwrap(), Signal::KILL).unwrap();
    poll("the end of the proxy", || proxies_of(started.cast_unsigned()).is_empty().then_some(()));
    shell.wait_text("Killed");
}

/// Stock `ollama` sends a key to ollama.com alone, and `codex --oss` sends none.
#[test]
fn programs_that_send_no_key_get_a_proxy_with_an_api_key_too() {
    let mut sandbox = with_key();
    let stand_in = |name: &str| {
        let file = sandbox.write(name, format!("#!/bin/sh\n{}\n", tool("env").display()));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (ollama, codex) = (stand_in("bin/ollama"), stand_in("bin/codex"));
    sandbox.set_env("PATH", sandbox.path("bin"));
    let output = sandbox.command(["exec", "--", "codex", "exec"]).run().expect_code(0);
    assert!(output.stdout().contains(KEY), "another provider of Codex may send it");
    for command in [&["ollama"][..], &[&ollama], &["codex", "--oss"], &[&codex, "exec", "--oss", "hi"]] {
        let output = sandbox.command(["exec", "--"]).args(command).run().expect_code(0);
        let codex_url = output.stdout().lines().find_map(|line| line.strip_prefix("CODEX_OSS_BASE_URL=")).unwrap();
        assert!(codex_url.ends_with("/v1") && !codex_url.contains(":9/"), "{codex_url}");
        assert!(output.stdout().contains("OLLAMA_API_KEY=ollama\n") && !output.stdout().contains(KEY));
        assert!(!output.stdout().contains("OLLAMA_HOST=http://127.0.0.1:9\n"), "{}", output.stdout());
    }
}
