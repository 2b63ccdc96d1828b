//! The pages in a real browser, with real devices that sign in. What a page is to look like for everybody is checked in
//! `looks`; its pictures lie in `target/screenshots`.

mod administration;
mod connect;
mod cookies;
mod foreign;
mod inspector;
mod keyboard;
mod keys;
mod looks;
mod other_origins;
mod plain;
mod setting_up;
mod signing_in;
mod usage;

use std::time::{Duration, Instant};

use crate::given::with_store;
use crate::harness::chromium::Chromium;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::ollama::Ollama;
use crate::harness::pty::{Finished, Terminal};

/// A gateway in front of a model, with ada.
fn with_ada() -> (Ollama, Gateway) {
    let upstream = Ollama::start();
    let gateway = Gateway::start(&upstream.url());
    gateway.add_user("ada", "member");
    (upstream, gateway)
}

/// Fills in the sign-in that is shown, and sends it.
#[track_caller]
fn sign_in(page: &Chromium, name: &str, password: &str) {
    page.fill("#name", name);
    page.fill("#password", password);
    page.press("Sign in");
}

/// Sends wrong passwords for ada until there were too many, from no browser: one after the other they are faster than the limit
/// is renewed. `browser` is the cookie of one that is counted apart.
fn use_up_sign_ins(gateway: &Gateway, browser: Option<&str>) {
    let between = |text: &str, from: &str, to: &str| -> String {
        text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).unwrap().0.to_owned()
    };
    for _ in 0..9 {
        let form = gateway.ask("GET", "/login", &[], "");
        let visitor = between(form.header("set-cookie").unwrap(), "", ";");
        let cookies = [&*visitor].into_iter().chain(browser).collect::<Vec<_>>().join("; ");
        let body = format!("csrf={}&name=ada&password=wrong", between(form.text(), "name=\"csrf\" value=\"", "\""));
        let headers = [&*format!("Cookie: {cookies}"), "Content-Type: application/x-www-form-urlencoded"];
        if gateway.ask("POST", "/login", &headers, &body).status == 429 {
            return;
        }
    }
    panic!("nine wrong passwords in a row are accepted");
}

/// Signs in as ada until the page says that there were too many attempts. Repeated if the machine was so slow that the limit
/// was renewed meanwhile.
fn sign_in_throttled(page: &Chromium, gateway: &Gateway, browser: Option<&str>, password: &str) {
    let renewed = Duration::from_secs(10);
    loop {
        let start = Instant::now();
        use_up_sign_ins(gateway, browser);
        sign_in(page, "ada", password);
        if page.text("main").contains("Too many attempts") {
            return;
        }
        assert!(start.elapsed() > renewed, "{}", page.text("main"));
        page.open(&format!("{}/login", gateway.url()));
    }
}

/// Signs ada in and looks at her account.
#[track_caller]
fn sign_in_as_ada(page: &Chromium, gateway: &Gateway) {
    page.open(&format!("{}/login", gateway.url()));
    sign_in(page, "ada", PASSWORD);
    assert_eq!(page.path(), "/account", "{}", page.text("body"));
}

/// A device whose person has typed `signin` and looks at the terminal.
struct Device {
    sandbox: Sandbox,
    terminal: Terminal,
    /// As the terminal shows it, without the blanks between its groups.
    fingerprint: String,
    /// Likewise.
    link: String,
}

impl Device {
    fn request_approval(gateway: &Gateway, name: &str) -> Self {
        let sandbox = with_store("plaintext");
        let host = gateway.url();
        let args = ["signin", "--host", &host, "--no-browser", "--device-name", name];
        let terminal = Terminal::start_sized(&sandbox, &args, 200, 40);
        let screen = terminal.wait_text("Waiting for approval");
        let line = |wanted: &str| screen.lines().find(|line| line.contains(wanted)).expect(wanted).trim().to_owned();
        let fingerprint = without_blanks(&line("SHA256:"));
        let fingerprint = fingerprint[fingerprint.find("SHA256:").expect("a fingerprint")..].to_owned();
        assert_eq!(fingerprint.len(), 50, "{screen}");
        Self { link: line("/connect?"), sandbox, terminal, fingerprint }
    }

    /// What its terminal shows when it is done, and the sandbox for further commands.
    fn finish(self) -> (Finished, Sandbox) {
        (self.terminal.finish(), self.sandbox)
    }

    /// Fails unless it was let in: the terminal says so, and a request works.
    #[track_caller]
    fn expect_signed_in(self) {
        let (finished, sandbox) = self.finish();
        assert_eq!(finished.code, 0, "{}", finished.screen);
        assert!(finished.screen.contains("Signed in to") && finished.screen.contains("as ada"), "{}", finished.screen);
        sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    }
}

/// A text without its blanks: fingerprints are shown in groups.
fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

/// How many devices there are.
#[track_caller]
fn devices(gateway: &Gateway) -> u64 {
    let users = gateway.admin(&["user", "list", "--json"]).expect_code(0).json();
    let list = users["users"].as_array().or(users.as_array()).expect("a list of accounts");
    list.iter().map(|user| user["devices"].as_u64().expect("a number of devices")).sum()
}

/// The lines of the console, except those for expected error statuses.
#[track_caller]
fn complaints(page: &Chromium) -> Vec<String> {
    let is_status =
        |line: &str| line.starts_with("network ") && line.contains("the server responded with a status of 4");
    // And that a sign-out was obeyed.
    let is_cleared =
        |line: &str| line.contains(" INFO: ") && line.ends_with("signed-out.css': Cleared data types: \"cache\".");
    page.console().into_iter().filter(|line| !is_status(line) && !is_cleared(line)).collect()
}

/// Fails when there is any.
#[track_caller]
fn assert_quiet(page: &Chromium) {
    assert_eq!(complaints(page), Vec::<String>::new(), "at {}", page.url());
}
