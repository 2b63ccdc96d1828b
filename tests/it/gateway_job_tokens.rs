//! Jobs at a real gateway: the client takes the token of its system, the gateway accepts it by a `[[workload]]` rule, and a key that was
//! exchanged for it works without it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::given::{says, with_store};
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::ollama::Ollama;
use crate::harness::set_clock::SetClock;
use crate::harness::tool;

const ISSUER: &str = "https://issuer.example";

/// Signs tokens with a key of its own, whose public half the gateway reads from a file.
struct Issuer(SigningKey);

impl Issuer {
    fn new() -> Self {
        Self(SigningKey::from_bytes(&[7; 32]))
    }

    fn key_set(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "one", "x": x }] })
    }

    /// A token that is valid for ten minutes, with these claims beside the usual ones.
    fn token(&self, claims: &Value) -> String {
        let now = Timestamp::now().as_second();
        let mut all = json!({
            "iss": ISSUER, "sub": "job:build", "iat": now, "exp": now + 600, "jti": format!("{claims}"),
            "project_id": "17", "ref": "main",
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "one" })), part(&all));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }
}

struct Given {
    gateway: Gateway,
    issuer: Issuer,
    job: Sandbox,
    file: PathBuf,
    _upstream: Ollama,
    _folder: Sandbox,
}

/// A gateway with one rule, and a job whose token is in a file.
fn given() -> Given {
    let (folder, upstream, issuer) = (Sandbox::new(), Ollama::start(), Issuer::new());
    let keys = folder.write("keys.json", issuer.key_set().to_string());
    let config = folder.write("gateway.toml", "");
    let gateway = Gateway::start_with(&upstream.url(), &["--config", config.to_str().unwrap()]);
    gateway.add_user("root", "admin");
    // The audience is the gateway's address, which is known now.
    let rule = format!(
        "[[workload]]\nname = \"build\"\nissuer = \"{ISSUER}\"\njwks-file = \"{}\"\naudience = \"{}\"\n\
         claims = {{ project_id = \"17\", ref = \"main\" }}\nscopes = [\"inference\", \"models:read\"]\nmodels = [\"tiny*\"]\n",
        keys.display(),
        gateway.url(),
    );
    fs::write(&config, rule).unwrap();
    gateway.child().signal(Signal::HUP);
    gateway.child().wait_stderr(|text| text.contains("configuration reloaded"));
    let mut job = with_store("plaintext");
    let file = job.write("token", "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    job.set_env("OLLAMA_HOST", gateway.url()).set_env("OLLAMA_AUTH_OIDC_TOKEN_FILE", &file);
    let given = Given { gateway, issuer, job, file, _upstream: upstream, _folder: folder };
    given.write(&json!({}));
    given
}

impl Given {
    /// Puts a token with these claims into the job's file.
    fn write(&self, claims: &Value) -> String {
        let mut claims = claims.clone();
        if claims.get("aud").is_none() {
            claims["aud"] = json!(self.gateway.url());
        }
        let token = self.issuer.token(&claims);
        fs::write(&self.file, &token).unwrap();
        token
    }
}

#[test]
fn a_job_runs_a_model_and_is_named_as_its_rule() {
    let given = given();
    let output = given.job.command(["run", "tiny", "Say hello", "-vv"]).run().expect_code(0);
    assert!(!output.stdout().is_empty());
    let me = given.job.command(["api", "/api/me", "-X", "POST"]).run().expect_code(0).json();
    assert_eq!(me["workload"]["rule"], "build", "{me}");
    assert_eq!(me["workload"]["subject"], "job:build", "{me}");
    let printed = given.job.command(["token"]).run().expect_code(0);
    assert_eq!(printed.stdout().trim(), fs::read_to_string(&given.file).unwrap());
    assert_eq!(given.job.command(["status", "--json"]).run().expect_code(0).json()["signed_in"], true);
    let trail = given.gateway.admin(&["audit", "--json"]).expect_code(0);
    given.job.assert_no_secret(printed.stdout().trim(), &[&output, &trail], &["token"]);
}

#[test]
fn what_the_rule_does_not_allow_is_refused_with_the_right_code() {
    let given = given();
    given.job.command(["run", "llama3", "hi"]).run().expect_code(5);
    given.job.command(["keys", "list"]).run().expect_code(5);
    for claims in [
        json!({ "aud": "another-audience" }),
        json!({ "ref": "feature" }),
        json!({ "project_id": "18" }),
        json!({ "exp": Timestamp::now().as_second() - 3600 }),
        json!({ "iss": "https://other.example" }),
    ] {
        let token = given.write(&claims);
        let output = given.job.command(["list"]).run().expect_code(4);
        assert!(!output.stderr().contains("signin"), "{claims}: {}", output.stderr());
        given.job.assert_no_secret(&token, &[&output], &["token"]);
    }
    given.write(&json!({ "ref": "feature" }));
    says(&given.job.command(["list"]).run().expect_code(4), &["workload rule", "subject: job:build"]);
    // What is for another host is not sent at all.
    given.write(&json!({ "aud": "https://other.example" }));
    says(&given.job.command(["list"]).run().expect_code(4), &["is for https://other.example, not for"]);
}

#[test]
fn a_program_of_exec_goes_on_after_its_first_token() {
    let mut given = given();
    let clock = SetClock::at(Timestamp::now().as_second());
    clock.give_to(&mut given.job);
    given.write(&json!({ "jti": "first" }));
    let curl = format!("{} --silent --fail --noproxy '*' $OLLAMA_HOST/api/tags >/dev/null", tool("curl").display());
    let script = format!("{curl} && echo one; until [ -e go ]; do sleep 0.01; done; {curl} && echo two");
    let command = given.job.command(["exec", "--"]).args([tool("sh")]).args(["-c", &script]);
    let child = command.current_dir(given.job.root()).env("PATH", "/usr/bin:/bin").spawn();
    child.wait_stdout(|text| text.contains("one"));
    // By the clock of the job the first one is about to end, and the rule has lost it.
    given.write(&json!({ "jti": "second" }));
    clock.pass(560);
    given.job.write("go", "");
    assert_eq!(child.finish().expect_code(0).stdout(), "one\ntwo\n");
}

#[test]
fn a_token_makes_one_key_that_ends_soon_and_needs_no_token() {
    let given = given();
    let args = ["keys", "create", "build-1", "--from-oidc", "--json"];
    let made = given.job.command(args).run().expect_code(0).json();
    let time = |name: &str| made[name].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
    assert_eq!(time("expires_at") - time("created_at"), 900);
    assert_eq!((&made["replaceable"], &made["scopes"]), (&json!(false), &json!(["inference", "models:read"])));
    let key = made["key"].as_str().unwrap();
    let plain = with_store("plaintext");
    let run =
        |args: &[&str]| plain.command(args).env("OLLAMA_API_KEY", key).env("OLLAMA_HOST", given.gateway.url()).run();
    run(&["run", "tiny", "hi"]).expect_code(0);
    run(&["run", "llama3", "hi"]).expect_code(5);
    // Once.
    let again = given.job.command(args).run();
    assert!(matches!(again.code(), 1 | 4), "{}", again.snapshot());
    says(&again, &["a token makes one key"]);
    given.write(&json!({ "jti": "another" }));
    given.job.command(args).run().expect_code(0);
    // Neither more than the rule, nor longer.
    for more in [&["--scope", "keys"][..], &["--expires", "1h"], &["--expires", "never"], &["--model", "llama3"]] {
        given.write(&json!({ "jti": format!("{more:?}") }));
        given.job.command(args).args(more).run().expect_code(5);
    }
}
