//! What programs send that were written for a server without authentication, or for another API: base URLs that end in a slash, keys in
//! other headers and forms, placeholders, names of models that contain slashes. And in which form they are refused.

use serde_json::json;

use crate::harness::gateway::{Gateway, PASSWORD};
use crate::harness::http::{Reply, Server};
use crate::harness::signature::TestDevice;
use crate::harness::{tool, with_other_end};

/// A gateway, the server behind it, and an API key of a member.
struct Given {
    upstream: Server,
    gateway: Gateway,
    key: String,
}

fn given_with(upstream: impl Fn() -> Reply + Send + Sync + 'static, more: &[&str]) -> Given {
    let upstream = Server::start(move |_| upstream());
    let gateway = Gateway::start_with(&upstream.url(), more);
    gateway.add_user("ada", "maintainer");
    let device = gateway.device_of("ada");
    let key = gateway.key(&device, &["k", "--scope", "inference,models:read,keys"]);
    Given { upstream, gateway, key }
}

fn given() -> Given {
    given_with(|| Reply::json(200, r#"{"version":"0.99.1","models":[]}"#), &[])
}

impl Given {
    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.key)
    }

    /// The targets that the upstream server was asked for, without the gateway's own question for the version.
    fn asked(&self) -> Vec<String> {
        let all = self.upstream.requests();
        all.iter().map(|request| request.target.clone()).filter(|target| target != "/api/version").collect()
    }
}

#[test]
fn slashes_too_many_are_redirected_as_ollama_does() {
    let given = given();
    for (method, target, status, location) in [
        ("POST", "//api/chat?ts=1&a=b", 307, "/api/chat?ts=1&a=b"),
        ("POST", "//v1/chat/completions", 307, "/v1/chat/completions"),
        ("GET", "/api/tags/", 301, "/api/tags"),
        ("HEAD", "//", 307, "/"),
        ("GET", "//v1/models", 301, "/v1/models"),
    ] {
        let answer = given.gateway.ask(method, target, &[&given.bearer()], "");
        assert_eq!((answer.status, answer.header("location")), (status, Some(location)), "{method} {target}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "a later gateway may have another base path");
    }
    for target in ["//evil.example/api/tags", "//evil.example", "//api/unknown", "//api/../api/tags", "//login"] {
        let answer = given.gateway.ask("GET", target, &[], "");
        assert!(answer.header("location").is_none() && answer.status >= 400, "{target}: {}", answer.status);
    }
    assert_eq!(given.asked(), Vec::<String>::new());
    // A real program follows, and sends the body and the key again.
    let url = format!("{}//api/chat", given.gateway.url());
    let curl = ["--silent", "--location", "--noproxy", "*", "--header", &given.bearer(), "--data", "{\"a\":1}", &url];
    given.gateway.sandbox().program(tool("curl"), curl).run().expect_code(0);
    let asked = given.upstream.requests().pop().unwrap();
    assert_eq!((asked.path(), &asked.body[..]), ("/api/chat", &b"{\"a\":1}"[..]));
}

#[test]
fn a_redirect_stays_below_the_base_path() {
    let given = Gateway::start_with("http://127.0.0.1:9", &["--public-url", "http://127.0.0.1:9/ollama"]);
    let location = |target: &str| {
        let answer = given.ask("POST", target, &[], "");
        answer.header("location").map(str::to_owned)
    };
    assert_eq!(location("/ollama//api/chat?ts=1").as_deref(), Some("/ollama/api/chat?ts=1"));
    assert_eq!(location("//ollama/v1/messages/").as_deref(), Some("/ollama/v1/messages"));
    assert_eq!(location("//api/chat"), None);
    assert_eq!(location("/ollama/"), None);
}

#[test]
fn a_question_for_the_version_tells_whether_the_key_is_good() {
    let given = given();
    let device = given.gateway.device_of("ada");
    let revoked = given.gateway.key(&device, &["gone"]);
    device.command(["keys", "revoke", "gone", "--yes"]).run().expect_code(0);
    let bearer = |key: &str| format!("Authorization: Bearer {key}");
    for target in ["/", "/api/version"] {
        let ask = |method: &str, header: &str| given.gateway.ask(method, target, &[header], "");
        assert_eq!(ask("GET", &given.bearer()).status, 200);
        assert_eq!(given.gateway.ask("GET", target, &[], "").status, 200, "without a credential");
        for (header, words) in [
            (bearer(&revoked), "was revoked"),
            (bearer("nonsense"), "unknown API key"),
            (bearer("ollama"), "ollama-auth exec"),
            (format!("X-API-Key: {revoked}"), "was revoked"),
        ] {
            let answer = ask("GET", &header);
            assert_eq!(answer.status, 401, "{header}");
            assert!(answer.text().contains(words), "{}", answer.text());
            // The stock client begins every command so, and would end before it offers the link.
            assert_eq!(ask("HEAD", &header).status, 200, "{header}");
        }
        let signature = format!("Authorization: {}", TestDevice::new(7).sign(&format!("GET,{target}?ts=1")));
        assert_eq!(ask("GET", &signature).status, 200, "a signature is not asked about");
    }
    given.gateway.admin(&["user", "disable", "ada"]).expect_code(0);
    assert_eq!(given.gateway.ask("GET", "/api/version", &[&given.bearer()], "").status, 403);
}

#[test]
fn a_key_in_the_base_url_is_accepted() {
    let given = given();
    let address = given.gateway.address();
    let curl = |userinfo: &str, path: &str, more: &[&str]| {
        let url = format!("http://{userinfo}@{address}{path}");
        let args = ["--silent", "--include", "--noproxy", "*", &url];
        given.gateway.sandbox().program(tool("curl"), args).args(more).run().expect_code(0).stdout().to_owned()
    };
    let good = format!("x:{}", given.key);
    for userinfo in [&good, &format!(":{}", given.key)] {
        assert!(curl(userinfo, "/api/tags", &[]).starts_with("HTTP/1.1 200"));
    }
    for (userinfo, words) in [("x:nonsense", "unknown API key"), ("x", "as its password")] {
        let answer = curl(userinfo, "/api/tags", &[]);
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(words), "{answer}");
        // Browsers would ask for a password, and send it unasked from then on.
        assert!(answer.contains("www-authenticate: Bearer") && !answer.contains("Basic\r\n"), "{answer}");
    }
    // A browser adds it to requests of any page.
    for header in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"] {
        let answer = curl(&good, "/api/tags", &["--header", header]);
        assert!(answer.starts_with("HTTP/1.1 403"), "{header}: {answer}");
    }
    for (method, path) in [("GET", "/api/user/keys"), ("POST", "/api/user/keys"), ("POST", "/api/me")] {
        let answer = curl(&good, path, &["--request", method]);
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("do not accept"), "{path}: {answer}");
    }
    let person = format!("ada:{PASSWORD}");
    let page = curl("x", "/account", &["--user", &person, "--header", "Accept: text/html"]);
    assert!(!page.starts_with("HTTP/1.1 200"), "it opens no page: {page}");
}

#[test]
fn keys_in_other_forms_are_accepted_or_explained() {
    let given = given();
    let key = &given.key;
    let ask = |headers: &[&str]| {
        let answer = given.gateway.ask("GET", "/api/tags", headers, "");
        (answer.status, answer.text().to_owned())
    };
    for headers in [
        vec![format!("Authorization: {key}")],
        vec![format!("Authorization: Token {key}")],
        vec!["Authorization: Bearer ollama".to_owned(), format!("X-API-Key: {key}")],
        vec!["Authorization: Bearer null".to_owned(), format!("X-API-Key: {key}")],
        vec![given.bearer(), "X-API-Key: sk-dummy".to_owned()],
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        assert_eq!(ask(&headers).0, 200, "{headers:?}");
    }
    for (header, words) in [
        (format!("Authorization: Bearer \"{key}\""), "quotes or blanks"),
        (format!("Authorization: Bearer '{key} '"), "quotes or blanks"),
        (format!("X-API-Key: \"{key}\""), "quotes or blanks"),
        ("Authorization: Bearer ollama".to_owned(), "ollama-auth exec -- PROGRAM"),
        (format!("Authorization: {}", with_other_end(key)), "unknown API key"),
    ] {
        let (status, text) = ask(&[&header]);
        assert!(status == 401 && text.contains(words), "{header}: {text}");
        assert!(!text.contains(key), "{text}");
    }
    for header in ["Authorization: Token nonsense", "Authorization: nonsense", "Authorization: Digest a"] {
        assert_eq!(ask(&[header]).0, 400, "{header}");
    }
}

#[test]
fn refusals_have_the_form_of_the_api_and_are_not_to_be_repeated() {
    let given = given();
    let openai = |body: serde_json::Value| body["error"]["message"].is_string() && body.get("type").is_none();
    let anthropic = |body: serde_json::Value| body["type"] == "error" && body["error"]["message"].is_string();
    for target in ["//v1/unknown", "/v1/models/a%20b", "/v1/models/a%2F..", "/v1/unknown", "/v1/%6dodels", "/v1"] {
        let answer = given.gateway.ask("GET", target, &[&given.bearer()], "");
        assert!(answer.status >= 400 && openai(answer.json()), "{target}: {}", answer.text());
    }
    for target in ["/v1/messages/count_tokens", "//v1/messages/batches", "/v1/messages/a%20b", "/v1/messages"] {
        let answer = given.gateway.ask("GET", target, &[&given.bearer()], "");
        assert!(answer.status >= 400 && anthropic(answer.json()), "{target}: {}", answer.text());
    }
    // Even where the name of the host is refused.
    let foreign = "POST /v1/messages HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    let answer = crate::harness::gateway::Answer::parse(&given.gateway.raw(foreign)).unwrap();
    assert!(answer.status == 403 && anthropic(answer.json()), "{}", answer.text());

    let limited = given.gateway.key(&given.gateway.device_of("ada"), &["m", "--scope", "models:read"]);
    let limited = format!("Authorization: Bearer {limited}");
    for (header, status) in [("X-API-Key: x", 401), (&*limited, 403)] {
        for target in ["/v1/messages", "/v1/chat/completions", "/api/chat"] {
            let answer = given.gateway.ask("POST", target, &[header], r#"{"model":"tiny"}"#);
            assert_eq!((answer.status, answer.header("x-should-retry")), (status, Some("false")), "{target}");
        }
    }
    assert!(given.gateway.ask("GET", "/v1/unknown", &[], "").header("x-should-retry").is_none());
}

#[test]
fn a_single_model_whose_name_has_slashes_is_found_in_the_list() {
    let list = json!({ "object": "list", "data": [
        { "id": "tiny:latest", "object": "model" },
        { "id": "hf.co/acme/Tiny:Q4", "object": "model", "created": 7 },
        { "id": "hf.co/acme/other:latest", "object": "model" },
    ] });
    let given = given_with(move || Reply::json(200, list.to_string()), &[]);
    let device = given.gateway.device_of("ada");
    let limited = given.gateway.key(&device, &["l", "--scope", "models:read", "--model", "hf.co/acme/tiny:*"]);
    let limited = format!("Authorization: Bearer {limited}");
    for header in [&given.bearer(), &limited] {
        for name in ["hf.co%2Facme%2Ftiny%3AQ4", "hf.co/acme/tiny:Q4"] {
            let answer = given.gateway.ask("GET", &format!("/v1/models/{name}"), &[header], "");
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            assert_eq!(answer.json(), json!({ "id": "hf.co/acme/Tiny:Q4", "object": "model", "created": 7 }));
        }
    }
    assert!(given.asked().iter().all(|target| target == "/v1/models"), "{:?}", given.asked());
    // A tag that is not named is `latest`, as everywhere.
    let other = given.gateway.ask("GET", "/v1/models/hf.co%2Facme%2Fother", &[&given.bearer()], "");
    assert_eq!(other.json()["id"], "hf.co/acme/other:latest");
    let missing = given.gateway.ask("GET", "/v1/models/hf.co%2Facme%2Fmissing", &[&given.bearer()], "");
    assert_eq!((missing.status, missing.json()["error"]["type"].as_str()), (404, Some("not_found_error")));
    let before = given.asked().len();
    for name in ["hf.co%2Facme%2Fother", "hf.co%2Facme%2Fmissing"] {
        let refused = given.gateway.ask("GET", &format!("/v1/models/{name}"), &[&limited], "");
        assert_eq!(refused.status, 403, "what exists is not told: {}", refused.text());
    }
    assert_eq!(given.asked().len(), before);
    // Without a slash the upstream server answers by itself.
    given.gateway.ask("GET", "/v1/models/tiny%3Alatest", &[&given.bearer()], "");
    assert_eq!(given.asked().last().unwrap(), "/v1/models/tiny:latest");
}

#[test]
fn a_proxy_redirects_and_decodes_too() {
    let given = given();
    let sandbox = crate::harness::cmd::Sandbox::new();
    let url = given.gateway.url();
    let proxy = sandbox.command(["proxy", "--json", "--listen", "127.0.0.1:0", "--host", &url]);
    let proxy = proxy.env("OLLAMA_API_KEY", &given.key).spawn();
    let text = proxy.wait_stderr(|text| text.contains("\"listening\""));
    let line = text.lines().find(|line| line.contains("\"listening\"")).unwrap();
    let url = serde_json::from_str::<serde_json::Value>(line).unwrap()["url"].as_str().unwrap().to_owned();
    let curl = |path: &str| {
        let args = ["--silent", "--location", "--include", "--noproxy", "*", &format!("{url}{path}")];
        sandbox.program(tool("curl"), args).run().expect_code(0).stdout().to_owned()
    };
    let redirected = curl("//api/tags");
    assert!(redirected.contains("301") && redirected.contains("location: /api/tags\r\n"), "{redirected}");
    assert!(redirected.contains("HTTP/1.1 200"), "{redirected}");
    curl("/v1/models/hf.co%2Fa%2Fb");
    assert_eq!(given.asked(), ["/api/tags", "/v1/models"]);
    proxy.interrupt();
    proxy.finish();
}
