//! Every route of the API: what answers it, what it takes to use it, and where it names a model. Of the API, only these are answered;
//! the web pages have their own table in `pages`.
//!
//! The routes of `ollama serve` 0.33.0-rc2, as recorded in `tests/it/fixtures/vectors/endpoints.json`, and two of our own. A test
//! compares them.

use super::health::Probe;
use super::rejection::Rejection;
use crate::keyspec::Scope;

/// What answers a route, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The gateway answers, without authentication.
    Public(Public),
    /// The gateway answers, if the caller meets the requirement.
    Account(Account, Requirement),
    /// The upstream server answers, if the caller has the scope.
    Upstream(Scope),
}

/// What an account endpoint requires of a caller whose credential is valid. The policy checks it before the endpoint is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Any valid credential: the endpoint concerns the caller alone.
    ValidCredential,
    /// A credential with a scope.
    Scope {
        /// The scope that the caller's credential must have.
        scope: Scope,
        /// Whether an API key without the scope may call the endpoint too. The endpoint must then see to it that the key reads and
        /// changes only itself and the keys before and after it in its line of replacements.
        or_own_key: bool,
    },
}

/// What the gateway answers without authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Public {
    /// Whether Ollama runs: the first request of every stock command.
    Heartbeat,
    /// The version of the upstream server.
    Version,
    /// Whether cloud features are off.
    Status,
    /// Whether gateway and upstream server can serve.
    Health(Probe),
}

/// The endpoints that the gateway answers for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Who the credential belongs to.
    Me,
    /// Disconnects the device that asks.
    SignOut,
    /// Lists devices and keys, or makes a key.
    Keys,
    /// Disconnects a device or revokes a key.
    Key,
    /// Makes a key expire earlier.
    KeyEnd,
    /// What was used.
    Usage,
    /// What is left of limits.
    Balance,
}

/// Where a request names models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Models {
    /// The request names no model.
    None,
    /// In these members of its JSON body.
    Body(&'static [&'static str]),
    /// In the last segment of its path.
    Path,
    /// In the field of that name of a form (`multipart/form-data`).
    Form(&'static str),
    /// The request names no model; the answer lists models, in the array of the first name, named by the members that follow.
    Listed(&'static str, &'static [&'static str]),
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The HTTP methods that the path accepts, in capitals.
    pub methods: &'static [&'static str],
    /// The path. A last segment in braces matches any one segment; `{model}` also the name of a model that contains slashes.
    pub path: &'static str,
    /// What answers the route, and what a caller needs for it.
    pub access: Access,
    /// Where a request names models: the rights of a key may be limited to some.
    pub models: Models,
}

/// A row, and the segment that its braces match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The row of the table that matched.
    pub route: &'static Route,
    /// The segment of the path at the braces; empty if the row has no braces.
    pub argument: &'a str,
}

/// What a request changes: a signature is good for it less often then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Nothing: it reads, or runs a model.
    Nothing,
    /// Which models there are.
    Models,
    /// An account.
    Account,
}

impl Route {
    /// Whether it is counted what its requests use: it runs a model.
    pub fn is_counted(&self) -> bool {
        matches!(self.access, Access::Upstream(Scope::Inference)) && self.models != Models::None
    }
}

impl Matched<'_> {
    /// What the request changes, whose method that is.
    pub fn changes(&self, method: &str) -> Changes {
        match self.route.access {
            Access::Account(Account::Me | Account::Usage | Account::Balance, _) | Access::Public(_) => Changes::Nothing,
            Access::Account(Account::SignOut | Account::Key | Account::KeyEnd, _) => Changes::Account,
            Access::Account(Account::Keys, _) if method == "GET" => Changes::Nothing,
            Access::Account(Account::Keys, _) => Changes::Account,
            Access::Upstream(Scope::ModelsWrite) if method != "HEAD" => Changes::Models,
            Access::Upstream(_) => Changes::Nothing,
        }
    }

    /// Whether a body with a digest is checked in full before any of it is passed on. A blob is not: its path names its digest too, which
    /// the upstream server checks.
    pub fn is_body_held(&self) -> bool {
        self.route.path != BLOBS
    }
}

const fn upstream(methods: &'static [&'static str], path: &'static str, scope: Scope, models: Models) -> Route {
    Route { methods, path, access: Access::Upstream(scope), models }
}

const fn public(path: &'static str, access: Public, methods: &'static [&'static str]) -> Route {
    Route { methods, path, access: Access::Public(access), models: Models::None }
}

const fn account(
    methods: &'static [&'static str],
    path: &'static str,
    endpoint: Account,
    requirement: Requirement,
) -> Route {
    Route { methods, path, access: Access::Account(endpoint, requirement), models: Models::None }
}

const BLOBS: &str = "/api/blobs/{digest}";
const GET: &[&str] = &["GET"];
const POST: &[&str] = &["POST"];
const MODEL: Models = Models::Body(&["model"]);
const MODEL_OR_NAME: Models = Models::Body(&["model", "name"]);
const KEYS_OR_OWN_KEY: Requirement = Requirement::Scope { scope: Scope::Keys, or_own_key: true };
const USAGE_OR_OWN_KEY: Requirement = Requirement::Scope { scope: Scope::UsageRead, or_own_key: true };
const LIST: Models = Models::Listed("models", &["model", "name"]);

/// Every route of the API. A path that is not in here is a 404.
pub const ROUTES: &[Route] = &[
    public("/", Public::Heartbeat, &["HEAD", "GET"]),
    public("/api/version", Public::Version, &["HEAD", "GET"]),
    public("/api/status", Public::Status, GET),
    public("/healthz", Public::Health(Probe::Live), &["HEAD", "GET"]),
    public("/readyz", Public::Health(Probe::Ready), &["HEAD", "GET"]),
    upstream(POST, "/api/generate", Scope::Inference, MODEL),
    upstream(POST, "/api/chat", Scope::Inference, MODEL),
    upstream(POST, "/api/embed", Scope::Inference, MODEL),
    upstream(POST, "/api/embeddings", Scope::Inference, MODEL),
    upstream(&["HEAD", "GET"], "/api/tags", Scope::ModelsRead, LIST),
    upstream(GET, "/api/ps", Scope::ModelsRead, LIST),
    upstream(POST, "/api/show", Scope::ModelsRead, MODEL_OR_NAME),
    upstream(GET, "/api/experimental/model-recommendations", Scope::ModelsRead, Models::None),
    upstream(POST, "/api/experimental/web_search", Scope::Inference, Models::None),
    upstream(POST, "/api/experimental/web_fetch", Scope::Inference, Models::None),
    upstream(POST, "/api/pull", Scope::ModelsWrite, MODEL_OR_NAME),
    upstream(POST, "/api/push", Scope::ModelsWrite, MODEL_OR_NAME),
    upstream(POST, "/api/create", Scope::ModelsWrite, Models::Body(&["model", "name", "from"])),
    upstream(POST, "/api/copy", Scope::ModelsWrite, Models::Body(&["source", "destination"])),
    upstream(&["DELETE"], "/api/delete", Scope::ModelsWrite, MODEL_OR_NAME),
    upstream(&["HEAD", "POST"], BLOBS, Scope::ModelsWrite, Models::None),
    account(POST, "/api/me", Account::Me, Requirement::ValidCredential),
    account(POST, "/api/signout", Account::SignOut, Requirement::ValidCredential),
    account(&["GET", "POST"], "/api/user/keys", Account::Keys, KEYS_OR_OWN_KEY),
    account(&["DELETE"], "/api/user/keys/{encodedKey}", Account::Key, KEYS_OR_OWN_KEY),
    account(&["PATCH"], "/api/user/keys/{encodedKey}", Account::KeyEnd, KEYS_OR_OWN_KEY),
    account(GET, "/api/usage", Account::Usage, USAGE_OR_OWN_KEY),
    account(GET, "/api/balance", Account::Balance, USAGE_OR_OWN_KEY),
    upstream(POST, "/v1/chat/completions", Scope::Inference, MODEL),
    upstream(POST, "/v1/completions", Scope::Inference, MODEL),
    upstream(POST, "/v1/responses", Scope::Inference, MODEL),
    upstream(POST, "/v1/embeddings", Scope::Inference, MODEL),
    upstream(GET, "/v1/models", Scope::ModelsRead, Models::Listed("data", &["id"])),
    upstream(GET, "/v1/models/{model}", Scope::ModelsRead, Models::Path),
    upstream(POST, "/v1/audio/transcriptions", Scope::Inference, Models::Form("model")),
    upstream(POST, "/v1/messages", Scope::Inference, MODEL),
];

/// The rows of a plain path, one or more for each method that it takes.
pub fn of_path(path: &str) -> impl Iterator<Item = &'static Route> {
    // Most rows have no braces. That is seen soonest at their end.
    let braces = |route: &'static Route| route.path.strip_suffix('}').and_then(|path| path.split_once('{'));
    ROUTES.iter().filter(move |route| match braces(route) {
        None => route.path == path,
        Some((before, name)) => path.strip_prefix(before).is_some_and(|rest| takes(name, rest)),
    })
}

/// Finds the row of a method and a plain path (see [`target`](super::target)).
///
/// # Errors
/// 404 for an unknown path, 405 for a method that the path does not take.
pub fn find<'a>(method: &str, path: &'a str) -> Result<Matched<'a>, Rejection> {
    let mut allowed = Vec::new();
    for route in of_path(path) {
        if route.methods.contains(&method) {
            let argument = route.path.find('{').map_or("", |at| &path[at..]);
            return Ok(Matched { route, argument });
        }
        allowed.extend_from_slice(route.methods);
    }
    if allowed.is_empty() {
        return Err(Rejection::new(404, format!("no such endpoint: {path}")));
    }
    Err(Rejection::new(405, format!("method not allowed: {path} accepts {}", allowed.join(", ")))
        .header("allow", &allowed.join(", ")))
}

/// Whether the braces of that name match a segment.
fn takes(name: &str, segment: &str) -> bool {
    if segment.is_empty() || (segment.contains('/') && name != "model") {
        return false;
    }
    // As the server checks it; whatever else goes into a path of files there is not for us to try.
    let is_digest = |text: &str| {
        let hex = text.strip_prefix("sha256").and_then(|rest| rest.strip_prefix([':', '-']));
        hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    name != "digest" || is_digest(segment)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn recorded() -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../../tests/it/fixtures/vectors/endpoints.json")).unwrap();
        file["endpoints"].as_array().unwrap().clone()
    }

    fn strings(value: &Value) -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.map(|item| item.as_str().unwrap().to_owned()).collect()
    }

    /// The table and the recording say the same, of each route and of their number.
    #[test]
    fn the_route_table_matches_the_recorded_one() {
        // Ours alone, each by its methods and its path: no stock server has them.
        let own = [
            (&["GET", "POST"][..], "/api/user/keys"),
            (&["PATCH"], "/api/user/keys/{encodedKey}"),
            (&["GET"], "/api/usage"),
            (&["GET"], "/api/balance"),
            (&["HEAD", "GET"], "/healthz"),
            (&["HEAD", "GET"], "/readyz"),
        ];
        let (ours, theirs): (Vec<&Route>, Vec<&Route>) =
            ROUTES.iter().partition(|route| own.contains(&(route.methods, route.path)));
        assert_eq!((ours.len(), theirs.len()), (own.len(), recorded().len()));
        for endpoint in recorded() {
            let path = endpoint["path"].as_str().unwrap();
            let route = theirs.iter().find(|route| route.path == path).unwrap_or_else(|| panic!("{path} is missing"));
            assert_eq!(route.methods, strings(&endpoint["methods"]), "{path}");
            let scope = match route.access {
                Access::Public(_) => "none",
                Access::Account(..) => "account",
                Access::Upstream(scope) => scope.name(),
            };
            assert_eq!(scope, endpoint["scope"].as_str().unwrap(), "{path}");
            let fields = match route.models {
                Models::None | Models::Listed(..) => Vec::new(),
                Models::Body(names) => names.iter().map(|name| (*name).to_owned()).collect(),
                Models::Path => vec!["{model}".to_owned()],
                Models::Form(name) => vec![name.to_owned()],
            };
            assert_eq!(fields, strings(&endpoint["model_fields"]), "{path}");
        }
    }

    #[test]
    fn a_request_changes_an_account_or_models_or_nothing() {
        let blob = format!("/api/blobs/sha256:{}", "0a".repeat(32));
        let changes = |method: &str, path: &str| find(method, path).unwrap().changes(method);
        for (method, path) in [
            ("POST", "/api/signout"),
            ("POST", "/api/user/keys"),
            ("DELETE", "/api/user/keys/x"),
            ("PATCH", "/api/user/keys/x"),
        ] {
            assert_eq!(changes(method, path), Changes::Account, "{method} {path}");
        }
        let models = ["pull", "push", "create", "copy"].map(|name| ("POST", format!("/api/{name}")));
        for (method, path) in models.iter().chain(&[("DELETE", "/api/delete".to_owned()), ("POST", blob.clone())]) {
            assert_eq!(changes(method, path), Changes::Models, "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/api/me"),
            ("GET", "/api/user/keys"),
            ("HEAD", &*blob),
            ("POST", "/api/chat"),
            ("POST", "/api/show"),
            ("GET", "/api/tags"),
            ("HEAD", "/"),
        ] {
            assert_eq!(changes(method, path), Changes::Nothing, "{method} {path}");
        }
    }

    #[test]
    fn a_placeholder_matches_one_segment() {
        let digest = format!("/api/blobs/sha256:{}", "0a".repeat(32));
        assert_eq!(find("POST", &digest).unwrap().argument.len(), 71);
        assert_eq!(find("GET", "/v1/models/tiny:latest").unwrap().argument, "tiny:latest");
        assert_eq!(find("GET", "/v1/models/a/b").unwrap().argument, "a/b");
        for path in ["/api/blobs/x", "/api/blobs/", "/api/blobs/a/b", "/v1/models/", "/api/tags/", "", "/API/tags"] {
            assert_eq!(find("GET", path).unwrap_err().status(), 404, "{path}");
        }
        assert_eq!(find("GET", "/api/generate").unwrap_err().status(), 405);
        assert_eq!(find("get", "/api/tags").unwrap_err().status(), 405);
        assert_eq!(
            find("DELETE", "/api/user/keys/x").unwrap().route.access,
            Access::Account(Account::Key, KEYS_OR_OWN_KEY)
        );
        assert_eq!(
            find("PATCH", "/api/user/keys/x").unwrap().route.access,
            Access::Account(Account::KeyEnd, KEYS_OR_OWN_KEY)
        );
        assert_eq!(find("PATCH", "/api/user/keys").unwrap_err().status(), 405);
        let refused = find("PUT", "/api/user/keys/x").unwrap_err();
        assert!(refused.status() == 405 && refused.message().contains("DELETE, PATCH"), "{}", refused.message());
    }
}
