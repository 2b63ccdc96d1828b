//! A real Prometheus that scrapes what a test tells it to, on a free port, and its `promtool`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::cmd::{Child, Cmd, Sandbox};
use super::{plain_http, poll, tool};

/// The state of a TCP socket that listens, in `/proc/PID/net/tcp`.
const LISTENING: &str = "0A";

/// It ends when this is dropped.
pub struct Prometheus {
    child: Child,
    url: String,
    _sandbox: Sandbox,
}

impl Prometheus {
    /// With that configuration file, beside which its rules lie.
    pub fn start(config: &Path) -> Self {
        let sandbox = Sandbox::new();
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", sandbox.path("data").display()),
            "--web.listen-address=127.0.0.1:0".to_owned(),
        ];
        let child = sandbox.program(tool("prometheus"), args).deadline(Duration::from_secs(600)).spawn();
        let port = poll("the port of Prometheus", || listening_port(child.pid()));
        let this = Self { child, url: format!("http://127.0.0.1:{port}"), _sandbox: sandbox };
        poll("Prometheus", || (plain_http::ask("GET", &this.at("-/ready"), &[], "").status == 200).then_some(()));
        this
    }

    /// The samples that a query finds now: each with its `metric` and `value`.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let answer = plain_http::post_form(&self.at("api/v1/query"), &[], &[("query", query)]);
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["data"]["result"].as_array().expect("a list of samples").clone()
    }

    /// What it says of itself below `/api/v1/`, such as `targets`.
    #[track_caller]
    pub fn api(&self, name: &str) -> Value {
        let answer = plain_http::ask("GET", &self.at(&format!("api/v1/{name}")), &[], "");
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        answer.json()["data"].clone()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.child.wait_stderr(|_| true)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }
}

/// `promtool` with these arguments.
pub fn promtool(sandbox: &Sandbox, args: &[&str]) -> Cmd {
    sandbox.program(tool("promtool"), args)
}

/// Python with the library `prometheus_client`. Debian's package of it is for Debian's own Python, which need not be the first on the PATH.
pub fn python(sandbox: &Sandbox, script: &str) -> Cmd {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let import = ["-c", "import prometheus_client"];
    let has_it = |python: &Path| sandbox.program(python, import).env("PATH", &path).run().code() == 0;
    let all = std::env::split_paths(&path).map(|folder| folder.join("python3")).filter(|file| file.is_file());
    let found = all.into_iter().find(|python| has_it(python));
    let found = found.expect("the tests need the library `prometheus_client` of Python; scripts/test installs it");
    sandbox.program(found, ["-c", script]).env("PATH", &path)
}

/// The port at which a process listens on 127.0.0.1: Prometheus does not say which one it got.
fn listening_port(pid: u32) -> Option<u16> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let sockets: HashSet<String> = links
        .filter_map(|link| fs::read_link(link.path()).ok()?.to_str().map(str::to_owned))
        .filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = local.rsplit_once(':')?.1;
        (*state == LISTENING && sockets.contains(*inode)).then(|| u16::from_str_radix(port, 16).ok())?
    })
}
