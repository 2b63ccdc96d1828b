//! What people see as one gateway: one on SQLite, or three on PostgreSQL of which nginx asks each in turn.

use std::net::TcpListener;

use serde_json::Value;

use crate::harness::cmd::{Output, Sandbox};
use crate::harness::gateway::Gateway;
use crate::harness::http::{Reply, Server, Step};
use crate::harness::nginx::Nginx;
use crate::harness::poll;
use crate::harness::postgres::Postgres;

/// The name of the provider in the configuration.
const NAME: &str = "company";
/// The client that the gateway is at the provider.
pub const CLIENT: &str = "gate";
pub const SECRET: &str = "the secret of gate";

/// The gateways, and what is behind and in front of them.
pub struct Site {
    gateways: Vec<Gateway>,
    url: String,
    upstream: Server,
    _folder: Sandbox,
    _nginx: Option<Nginx>,
}

/// The table of a provider, with more of its settings.
fn table(issuer: &str, more: &str) -> String {
    format!(
        "jwks-min-interval = \"1s\"\n[groups.research]\n[oidc.{NAME}]\nissuer = \"{issuer}\"\nclient-id = \"{CLIENT}\"\n\
         client-secret-file = \"client-secret\"\ntitle = \"Company\"\ncreate-accounts = true\nallowed-domains = [\"example.com\"]\n\
         require-verified-email = true\ndefault-role = \"member\"\nrules = [ {{ claim = \"groups\", value = \"gpu-admins\", \
         role = \"admin\" }}, {{ claim = \"groups\", value = \"research\", groups = [\"research\"] }} ]\n{more}\n"
    )
}

impl Site {
    /// One gateway on SQLite.
    pub fn single(issuer: &str, more: &str) -> Self {
        let (folder, upstream, file) = prepare(issuer, more);
        let secret = folder.path("secret");
        let args = ["--config", &file, "--set", &format!("secret-file={}", secret.display())];
        let gateway = Gateway::start_with(&upstream.url(), &args);
        gateway.add_user("root", "admin");
        Self { url: gateway.url(), gateways: vec![gateway], upstream, _folder: folder, _nginx: None }
    }

    /// Three on PostgreSQL.
    pub fn replicas(issuer: &str, more: &str) -> Self {
        let (folder, upstream, file) = prepare(issuer, more);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = format!("http://{address}");
        let database = Postgres::shared().database();
        let args = ["--config", &file, "--public-url", &url];
        let gateways: Vec<_> = (0..3).map(|_| Gateway::start_on(&database, &upstream.url(), &args)).collect();
        let addresses: Vec<_> = gateways.iter().map(Gateway::address).collect();
        let nginx = Nginx::start(&addresses, &address);
        nginx.serve(listener);
        gateways[0].add_user("root", "admin");
        Self { gateways, url, upstream, _folder: folder, _nginx: Some(nginx) }
    }

    /// A page's address.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Where the provider sends browsers back to.
    pub fn callback(&self) -> String {
        self.url(&format!("/oidc/{NAME}/callback"))
    }

    /// Where the provider tells that somebody signed out.
    pub fn back_channel(&self) -> String {
        self.url(&format!("/oidc/{NAME}/logout"))
    }

    /// A command on its machine.
    pub fn admin(&self, args: &[&str]) -> Output {
        self.gateways[0].admin(args)
    }

    /// What `user list` says of an account.
    #[track_caller]
    pub fn account(&self, name: &str) -> Value {
        let list = self.admin(&["user", "list", "--json"]).expect_code(0).json();
        let users = list["users"].as_array().cloned().unwrap_or_default();
        users.into_iter().find(|user| user["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
    }

    /// A device with the link on which it is approved.
    pub fn new_device(&self) -> (Sandbox, String) {
        let mut device = Sandbox::new();
        device.set_env("OLLAMA_AUTH_STORE", "plaintext");
        let link = device.command(self.sign_in()).run().expect_code(4).stdout().trim().to_owned();
        (device, link)
    }

    fn sign_in(&self) -> [&str; 4] {
        ["signin", "--host", &self.url, "--no-wait"]
    }

    /// Completes the sign-in of an approved device.
    pub fn complete(&self, device: &Sandbox) {
        let sign_in = self.sign_in();
        poll("the approved device", || (device.command(sign_in).run().code() == 0).then_some(()));
    }

    /// Whether the device is let in, by a command that needs an account.
    pub fn lets_in(&self, device: &Sandbox) -> bool {
        device.command(["keys", "list", "--host", &self.url]).run().code() == 0
    }

    /// Reads a response that does not end by itself, until it is cut off.
    pub fn stream(&self, key: &str) {
        let (gateway, body) = (&self.gateways[0], r#"{"model":"m"}"#);
        let head = format!(
            "POST /api/generate HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n",
            self.url.trim_start_matches("http://"),
            body.len()
        );
        let answer = gateway.raw(format!("{head}{body}"));
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }

    /// Until such a request has reached the upstream server.
    pub fn wait_for_stream(&self) {
        poll("the request at the upstream server", || {
            self.upstream.requests().iter().any(|request| request.method == "POST").then_some(())
        });
    }

    /// The status of a list of models with a key, at each gateway.
    pub fn statuses(&self, key: &str) -> Vec<u16> {
        self.gateways.iter().map(|gateway| gateway.status_of(key)).collect()
    }

    /// Whether a session's cookie is good, at each gateway.
    pub fn is_signed_in(&self, cookie: &str) -> Vec<bool> {
        let address = self.url.trim_start_matches("http://");
        let ask = |gateway: &Gateway| {
            let head =
                format!("GET /account HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
            String::from_utf8_lossy(&gateway.raw(head)).starts_with("HTTP/1.1 200")
        };
        self.gateways.iter().map(ask).collect()
    }
}

fn prepare(issuer: &str, more: &str) -> (Sandbox, Server, String) {
    let folder = Sandbox::new();
    folder.write("client-secret", SECRET);
    folder.write("secret", "a secret of forty-two characters for a test");
    let file = folder.write("gateway.toml", table(issuer, more));
    let upstream = Server::start(|request| match request.method.as_str() {
        "POST" => Reply::ndjson([Step::send("{}\n"), Step::Hang]),
        _ => Reply::json(200, r#"{"models":[]}"#),
    });
    (folder, upstream, file.to_str().unwrap().to_owned())
}
