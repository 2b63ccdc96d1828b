//! A real Keycloak, one for all tests of a run: it takes 15 seconds to start, and ends with the test process. Each test has a realm of
//! its own (`keycloak/realm.rs`). `scripts/providers` installs it.

mod realm;

use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

pub use realm::Realm;

use super::gateway::Answer;
use super::node_server::prepared;
use super::{plain_http, poll, tool};

/// The password of its administrator.
const ADMIN: &str = "the administrator of a test";

/// Runs the server until its standard input ends, which it does when the test process ends in whatever way.
const KEEPER: &str = r#"
sh "$1/bin/kc.sh" start --optimized --http-enabled=true --hostname-strict=false --http-host=127.0.0.1 --http-port=0 \
    </dev/null >"$1/log" 2>&1 &
script=$!
read -r _
kill -KILL $(cat /proc/$script/task/$script/children) $script
wait
rm -rf "$1"
"#;

/// The server.
pub struct Keycloak {
    folder: PathBuf,
    url: String,
    /// Ends when its input is closed.
    _keeper: Child,
}

impl Keycloak {
    /// The one that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Keycloak> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        prepared("keycloak/stamp");
        let folder = tempfile::Builder::new().prefix("kc").tempdir().unwrap().keep();
        // It keeps files below its folder, so that two runs need two: the rest is shared.
        std::fs::create_dir(folder.join("bin")).unwrap();
        std::fs::copy(prepared("keycloak/bin/kc.sh"), folder.join("bin/kc.sh")).unwrap();
        for name in ["lib", "conf", "providers", "themes", "version.txt"] {
            symlink(prepared(&format!("keycloak/{name}")), folder.join(name)).unwrap();
        }
        let mut keeper = Command::new(tool("sh"));
        keeper.args(["-c", KEEPER, "sh"]).arg(&folder).current_dir(&folder);
        keeper.env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin").env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN);
        // Half of the processor time: most of its code runs once.
        keeper.env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1");
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let log = folder.join("log");
        let url = poll("Keycloak to listen", || {
            let mut text = String::new();
            std::fs::File::open(&log).ok()?.read_to_string(&mut text).ok()?;
            assert!(!text.contains("ERROR"), "Keycloak does not start:\n{text}");
            let (_, rest) = text.split_once("Listening on: http://127.0.0.1:")?;
            let port: u16 = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
            // Another site than the gateways of the tests, as in practice.
            rest.contains('\n').then(|| format!("http://localhost:{port}"))
        });
        Self { folder, url, _keeper: keeper }
    }

    /// Its URL, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A new realm.
    pub fn realm(&'static self) -> Realm {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("realm{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let settings = json!({ "realm": name, "enabled": true, "sslRequired": "none" });
        self.admin("POST", "", &settings);
        Realm::new(self, name)
    }

    /// A request of its administrator below `/admin/realms`, which has to succeed.
    #[track_caller]
    fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let fields =
            [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", ADMIN)];
        let token = format!("{}/realms/master/protocol/openid-connect/token", self.url);
        let token = plain_http::post_form(&token, &[], &fields).json();
        let bearer = format!("Authorization: Bearer {}", token["access_token"].as_str().unwrap());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let url = format!("{}/admin/realms{path}", self.url);
        let answer = plain_http::ask(method, &url, &[&bearer, "Content-Type: application/json"], &body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        answer
    }
}
