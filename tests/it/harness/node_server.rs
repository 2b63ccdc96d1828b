//! A provider of `tests/oidc`, written for Node, as a process of its own. It listens on a free port; what it is to do is told it at
//! another one. `scripts/providers` installs the modules.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::cmd::{Child, Sandbox};
use super::{plain_http, tool};

/// It ends when this is dropped, or with the thread of its test.
pub struct NodeServer {
    child: Child,
    issuer: String,
    control: String,
    _sandbox: Sandbox,
}

/// What `scripts/providers` has prepared below `target/providers`.
pub fn prepared(below: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/providers").join(below);
    assert!(path.exists(), "{} is missing: run scripts/providers, which installs the providers", path.display());
    path
}

impl NodeServer {
    /// Runs that script of `tests/oidc`. `host` is how its URL names this machine: `127.0.0.1` or `localhost`.
    pub fn start(name: &str, script: &str, host: &str) -> Self {
        prepared("node/stamp");
        let sandbox = Sandbox::new();
        // Modules are looked for beside the script.
        symlink(prepared("node/node_modules"), sandbox.path("node_modules")).unwrap();
        sandbox.write("package.json", r#"{"type":"module"}"#);
        sandbox.write("control.mjs", include_str!("../../oidc/control.mjs"));
        let script = sandbox.write(name, script);
        let args = ["--pdeathsig", "KILL"].map(Into::into).into_iter().chain([tool("node"), script, host.into()]);
        let child = sandbox.program(tool("setpriv"), args).deadline(Duration::from_secs(3600)).spawn();
        let first = child.wait_stdout(|text| text.contains('\n'));
        let listening: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
        let issuer = listening["issuer"].as_str().unwrap().to_owned();
        let control = format!("http://127.0.0.1:{}/", listening["control"]);
        Self { child, issuer, control, _sandbox: sandbox }
    }

    /// Its URL, which is the name of the issuer too.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Calls a function of the script with those arguments, an object.
    #[track_caller]
    pub fn call(&self, call: &str, arguments: &Value) -> Value {
        self.try_call(call, arguments).unwrap_or_else(|error| panic!("{call} {arguments}: {error}"))
    }

    /// The same, where it may fail.
    #[track_caller]
    pub fn try_call(&self, call: &str, arguments: &Value) -> Result<Value, String> {
        let mut asked = json!({ "call": call });
        asked.as_object_mut().unwrap().extend(arguments.as_object().cloned().unwrap_or_default());
        let mut reply = plain_http::ask("POST", &self.control, &[], &asked.to_string()).json();
        match reply["error"].take() {
            Value::String(error) => Err(error),
            _ => Ok(reply["result"].take()),
        }
    }

    /// How many requests came to that endpoint.
    pub fn count(&self, endpoint: &str) -> u64 {
        self.call("counts", &Value::Null)[endpoint].as_u64().unwrap_or(0)
    }

    /// The newest requests to that endpoint, each with `method`, `url`, `headers` and `body`. At most 500 of all endpoints are kept.
    pub fn requests(&self, endpoint: &str) -> Vec<Value> {
        self.call("requests", &json!({ "endpoint": endpoint })).as_array().cloned().unwrap_or_default()
    }
}
