//! A real browser without a screen: Debian's Chromium, driven through chromedriver by WebDriver.
//!
//! Each test has a browser of its own, with an empty profile, so that no cookie and no crash of one is seen by another. At most
//! two run at once. Chromium talks to its driver through a pipe: ending the driver ends the browser too, and the driver ends
//! with the thread of its test.

mod elements;
mod pages;
mod wire;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

pub use elements::key;
pub use pages::{Appearance, Width};
use wire::Failure;

use super::cmd::{Child, Sandbox};
use super::{DEADLINE, tool};

/// As many at a time: each takes a quarter of a gigabyte and, while it starts, a processor.
const MAX_BROWSERS: usize = 2;

static RUNNING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// The right to run one browser.
struct Slot;

impl Slot {
    /// So many at once: who has one and waits for another would keep it from somebody who does the same.
    fn take<const COUNT: usize>() -> [Self; COUNT] {
        let running = RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |running: &mut usize| *running + COUNT > MAX_BROWSERS;
        // Without a deadline of its own: those before it have theirs.
        let mut running = RUNNING.1.wait_while(running, full).unwrap_or_else(PoisonError::into_inner);
        *running += COUNT;
        [(); COUNT].map(|()| Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *RUNNING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        RUNNING.1.notify_all();
    }
}

/// A browser with one window. Its fields are dropped in this order: the driver ends before its folder goes.
pub struct Chromium {
    driver: Child,
    port: u16,
    session: String,
    _sandbox: Sandbox,
    _slot: Slot,
}

impl Chromium {
    /// A browser as people have it.
    pub fn start() -> Self {
        let [slot] = Slot::take();
        Self::launch(slot, true)
    }

    /// Two of them, for a test that needs both at a time; the first with or without scripts.
    pub fn start_two(scripts: bool) -> [Self; 2] {
        let [first, second] = Slot::take();
        [Self::launch(first, scripts), Self::launch(second, true)]
    }

    /// One in which scripts are switched off for all sites, as its settings can have it.
    pub fn without_scripts() -> Self {
        let [slot] = Slot::take();
        Self::launch(slot, false)
    }

    fn launch(slot: Slot, scripts: bool) -> Self {
        let sandbox = Sandbox::new();
        // Both may be scripts that need other tools.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let browser = tool("chromium");
        // It takes a free port of IPv6 and then the same of IPv4, which somebody else may have: then it gives up, and is asked again.
        let started = (0..20).find_map(|_| start_driver(&sandbox, &path));
        let (driver, port) = started.expect("a chromedriver that finds a port");
        let mut chromium = Self { driver, port, session: String::new(), _sandbox: sandbox, _slot: slot };
        chromium.begin(&browser, scripts);
        chromium
    }

    fn begin(&mut self, browser: &std::path::Path, scripts: bool) {
        let profile = self._sandbox.path("profile");
        fs::create_dir_all(&profile).expect("a folder for the profile");
        let args = [
            "--headless=new",
            // Its own sandbox does not start as root, nor in most containers.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--remote-debugging-pipe",
            "--disable-crash-reporter",
            "--window-size=1280,900",
            // Nothing but this machine can be reached.
            "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--no-proxy-server",
        ];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        args.push(format!("--user-data-dir={}", profile.display()));
        let mut prefs = json!({ "credentials_enable_service": false, "profile.password_manager_enabled": false });
        if !scripts {
            prefs["profile.managed_default_content_settings.javascript"] = json!(2);
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": browser, "args": args, "prefs": prefs },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "implicit": 0, "pageLoad": DEADLINE.as_millis(), "script": DEADLINE.as_millis() },
        }}});
        let begun = wire::ask(self.port, "POST", "/session", Some(&wanted), DEADLINE);
        let begun = begun.unwrap_or_else(|failure| panic!("Chromium does not start: {failure}"));
        self.session = begun["sessionId"].as_str().expect("the id of a session").to_owned();
    }

    /// A command of the session.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        let body = (method == "POST").then_some(body);
        wire::ask(self.port, method, &format!("/session/{}/{path}", self.session), body, DEADLINE)
    }

    /// The same, which has to succeed.
    #[track_caller]
    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.send(method, path, body).unwrap_or_else(|failure| panic!("{method} {path} {body}: {failure}"))
    }

    /// A command of the DevTools protocol.
    #[track_caller]
    pub fn devtools(&self, command: &str, params: &Value) -> Value {
        self.command("POST", "goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// Runs the body of a function in the page, as its console would, and gives what it returns. The page's own policy for scripts
    /// does not apply.
    #[track_caller]
    pub fn run(&self, body: &str, args: &Value) -> Value {
        self.command("POST", "execute/sync", &json!({ "script": body, "args": args }))
    }

    /// The same for a body that awaits.
    #[track_caller]
    pub fn run_async(&self, body: &str, args: &Value) -> Value {
        let body = format!(
            "const done = arguments[arguments.length - 1]; const given = [...arguments].slice(0, -1);
             (async (...given) => {{ {body} }})(...given).then(done, error => done(`failed: ${{error}}`));"
        );
        self.command("POST", "execute/async", &json!({ "script": body, "args": args }))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Ended properly it leaves no process that still writes into its folder. If that fails, its process group is killed.
        let _ = wire::ask(self.port, "DELETE", &format!("/session/{}", self.session), None, Duration::from_secs(20));
    }
}

/// A driver and its port; `None` when it found none.
fn start_driver(sandbox: &Sandbox, path: &OsStr) -> Option<(Child, u16)> {
    // Ended with this thread, however that ends.
    let args = ["--pdeathsig", "KILL"].map(Into::into).into_iter().chain([tool("chromedriver"), "--port=0".into()]);
    let driver = sandbox.program(tool("setpriv"), args).env("PATH", path).spawn();
    let line = "started successfully on port ";
    let port = |text: &str| text.split_once(line)?.1.split_once('.')?.0.parse().ok();
    let text = driver.wait_stdout(|text| port(text).is_some() || text.contains("Exiting"));
    port(&text).map(|port| (driver, port))
}

/// Where the pictures of pages are kept: `target/screenshots`.
pub fn screenshots() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().expect("the build folder").join("screenshots");
    fs::create_dir_all(&folder).expect("a folder for pictures");
    folder
}
