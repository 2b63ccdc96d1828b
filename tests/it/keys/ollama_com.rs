//! `keys` at ollama.com: a stand-in has that name, through a proxy and over TLS. ollama.com has no API for keys, so the commands send
//! the user to its keys page and store the key that they paste.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::given::{profile, says, with_store};
use crate::harness::browser::Behaviour;
use crate::harness::cloud::{Cloud, Fault};
use crate::harness::cmd::{Child, Sandbox};
use crate::harness::pty::Terminal;
use crate::harness::tool;

const PAGE: &str = "https://ollama.com/settings/keys";
/// With the shape of ollama.com's own.
const SIGNED_IN_WITH: &str = "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOpQrStUv-_";
const PASTED_KEY: &str = "fedcba9876543210fedcba9876543210.aBcDeFgHiJkLmNoPqRsTuV_-";
const EXTENSIONS: &str = "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = authority\n[dn]\nCN = a test\n\
    [authority]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
    [server]\nbasicConstraints = CA:FALSE\nsubjectAltName = DNS:ollama.com\nextendedKeyUsage = serverAuth\n";

/// A machine for which the stand-in is ollama.com, signed in there with a key.
pub struct Machine {
    pub sandbox: Sandbox,
    pub cloud: Cloud,
    _proxy: Child,
}

impl Machine {
    pub fn new() -> Self {
        let (mut sandbox, cloud) = (with_store("plaintext"), Cloud::start());
        cloud.accept_api_key(SIGNED_IN_WITH).accept_api_key(PASTED_KEY);
        let folder = sandbox.path("tls");
        sandbox.write("tls/openssl.cnf", EXTENSIONS);
        let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config openssl.cnf";
        for args in [
            format!("req -x509 {new} -days 2 -keyout ca.key -out ca.pem"),
            format!("req -new {new} -keyout server.key -out server.csr"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 2 -extfile openssl.cnf -extensions server -out server.pem".to_owned(),
        ] {
            let openssl = Command::new(tool("openssl")).args(args.split(' ')).current_dir(&folder).stdin(Stdio::null()).output();
            let openssl = openssl.unwrap();
            assert!(openssl.status.success(), "{args}: {}", String::from_utf8_lossy(&openssl.stderr));
        }
        let script = sandbox.write("tls/proxy.py", include_str!("ollama_com.py"));
        let file = |name: &str| folder.join(name).into_os_string();
        let port = cloud.url().rsplit(':').next().unwrap().to_owned();
        // python3 may be a script that needs other tools.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let args = [script.into_os_string(), file("server.pem"), file("server.key"), port.into()];
        let proxy = sandbox.program(tool("python3"), args).env("PATH", path);
        let proxy = proxy.deadline(std::time::Duration::from_secs(300)).spawn();
        let listening = proxy.wait_stdout(|text| text.ends_with('\n'));
        sandbox.set_env("HTTPS_PROXY", format!("http://127.0.0.1:{}", listening.trim()));
        sandbox.set_env("OLLAMA_API_KEY", SIGNED_IN_WITH);
        Self { sandbox, cloud, _proxy: proxy }
    }

    fn args(&self, args: &[&str]) -> Vec<String> {
        self.trusting(&[&["keys"], args].concat())
    }

    /// Arguments with the option to trust the stand-in.
    pub fn trusting(&self, args: &[&str]) -> Vec<String> {
        let ca = self.sandbox.path("tls/ca.pem").to_str().unwrap().to_owned();
        let end = args.iter().position(|arg| *arg == "--").unwrap_or(args.len());
        let (before, after) = args.split_at(end);
        [before, &["--ca-cert", &ca], after].concat().into_iter().map(str::to_owned).collect()
    }

    fn terminal(&self, args: &[&str]) -> Terminal {
        let args = self.args(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Terminal::start_sized(&self.sandbox, &args, 200, 24)
    }
}

#[test]
fn a_script_gets_the_url_of_the_keys_page() {
    let machine = Machine::new();
    let browser = machine.sandbox.browser(Behaviour::Ignores);
    for status in [404, 405] {
        machine.cloud.inject("/api/user/keys", Fault::Status(status));
        for args in [&["create", "ci"][..], &["create", "ci", "--save", "--json"], &["list"]] {
            let output = machine.sandbox.command(machine.args(args)).run().expect_code(1);
            says(&output, &[PAGE, "ollama-auth keys import", &status.to_string()]);
            assert_eq!(output.stdout(), "");
        }
        machine.cloud.clear_faults();
    }
    assert!(browser.opened().is_empty(), "nothing is opened unasked");
    machine.sandbox.command(machine.args(&["create", "ci", "--open"])).env("DISPLAY", ":0").run().expect_code(1);
    assert_eq!(browser.wait_opened(), PAGE);
    // No key could be looked at, so that is no success.
    let audit = machine.sandbox.command(machine.args(&["audit", "--json"])).run().expect_code(1).json();
    let kinds: Vec<&Value> = audit["findings"].as_array().unwrap().iter().map(|finding| &finding["kind"]).collect();
    assert_eq!(kinds, ["unchecked", "unlisted"]);
    assert!(machine.cloud.server().requests().iter().all(|request| request.method != "DELETE"));
}

#[test]
fn a_person_opens_the_keys_page_and_pastes_the_key() {
    let machine = Machine::new();
    let browser = machine.sandbox.browser(Behaviour::Ignores);
    let mut terminal = machine.terminal(&["create", "nightly", "--env", "ci"]);
    terminal.wait_text(&format!("Open {PAGE} in the browser? [Y/n]"));
    terminal.send("y");
    terminal.wait_text("to store here? [Y/n]");
    assert_eq!(browser.wait_opened(), PAGE);
    terminal.send("y");
    terminal.wait_text("API key:");
    terminal.send(&format!("{PASTED_KEY}\r"));
    let finished = terminal.finish();
    assert_eq!((finished.code, finished.restored), (0, true), "{}", finished.screen);
    assert!(!finished.screen.contains(&PASTED_KEY[..32]) && !finished.screen.contains("does not look like"));
    let record = profile(&machine.sandbox)["api_key"].clone();
    assert_eq!(
        (&record["name"], &record["environment"], &record["id"]),
        (&json!("nightly"), &json!("ci"), &Value::Null)
    );
    // Declining changes nothing and opens no browser.
    let before = fs::read(machine.sandbox.path("home/.config/ollama-auth/profiles.json")).unwrap();
    let mut terminal = machine.terminal(&["create", "other"]);
    terminal.wait_text("in the browser?");
    terminal.send("n");
    terminal.wait_text("to store here?");
    terminal.send("n");
    let finished = terminal.finish();
    assert_eq!(finished.code, 1, "{}", finished.screen);
    assert!(
        finished.screen.contains("no key was created") && finished.screen.contains("keys import"),
        "{}",
        finished.screen
    );
    assert_eq!(browser.opened().len(), 1);
    assert_eq!(fs::read(machine.sandbox.path("home/.config/ollama-auth/profiles.json")).unwrap(), before);
}

#[test]
fn a_key_of_another_format_is_tried_with_a_warning() {
    let machine = Machine::new();
    machine.cloud.accept_api_key("of-a-new-form-0123456789");
    let import = |key: &str| machine.sandbox.command(machine.args(&["import"])).stdin(key).run();
    says(&import("of-a-new-form-0123456789").expect_code(0), &["does not look like an API key of ollama.com"]);
    let output = import(PASTED_KEY).expect_code(2);
    says(&output, &["--replace"]);
    machine.sandbox.assert_no_secret(PASTED_KEY, &[&output], &[]);
}
