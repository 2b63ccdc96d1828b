//! What each test begins with: a library, the gateway in front of an Ollama, a person's device and key.

use serde_json::{Value, json};

use super::program::{Language, Program};
use super::upstream::Upstream;
use crate::harness::cmd::Sandbox;
use crate::harness::gateway::Gateway;
use crate::harness::http::Request;

/// Whose words a library speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// Ollama's.
    Ollama,
    /// OpenAI's.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

/// A client of a library.
#[derive(Debug)]
pub struct Sdk {
    /// What it is written in.
    pub language: Language,
    /// Whose words it speaks.
    pub api: Api,
    /// What is to be imported, with the name of the client in Python.
    pub client: &'static str,
    /// The variables that hold the URL, and the key.
    pub variables: (&'static str, &'static str),
}

/// A call of a method of a client.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method, such as `models.list`.
    pub method: &'static str,
    /// What it is given in order.
    pub args: Value,
    /// What it is given by name.
    pub with: Value,
    /// Whether it gives a stream.
    pub streams: bool,
    /// After how many parts the caller leaves.
    pub leave_after: Option<usize>,
    /// Whether the caller leaves by ending its loop, without a word to the library.
    pub breaks: bool,
    /// How the client is made, beyond what is in the environment.
    pub options: Value,
    /// Whether the client of the call before is used.
    pub same_client: bool,
}

impl Call {
    /// A call with arguments by name.
    pub fn new(method: &'static str, with: Value) -> Self {
        let streams = with["stream"] == true;
        let (args, options) = (json!([]), json!({}));
        Self { method, args, with, streams, leave_after: None, breaks: false, options, same_client: false }
    }

    /// A call with arguments in order.
    pub fn plain(method: &'static str, args: Value) -> Self {
        Self { args, ..Self::new(method, json!({})) }
    }

    /// With the client of the call before.
    pub fn again(self) -> Self {
        Self { same_client: true, ..self }
    }

    /// The caller leaves after so many parts.
    pub fn leaving_after(self, parts: usize) -> Self {
        Self { leave_after: Some(parts), ..self }
    }
}

impl Sdk {
    /// A question to a model.
    pub fn question(&self, model: &str, stream: bool) -> Call {
        let messages = json!([{ "role": "user", "content": "hi" }]);
        let with = json!({ "model": model, "messages": messages, "stream": stream });
        match self.api {
            Api::Ollama => Call::new("chat", with),
            Api::OpenAi => Call::new("chat.completions.create", with),
            Api::Anthropic => {
                let mut with = with;
                with["max_tokens"] = json!(4);
                Call::new("messages.create", with)
            }
        }
    }

    /// A list of the models.
    pub fn list(&self) -> Call {
        Call::new(if self.api == Api::Ollama { "list" } else { "models.list" }, json!({}))
    }

    /// The path that a question goes to.
    pub fn path(&self) -> &'static str {
        match self.api {
            Api::Ollama => "/api/chat",
            Api::OpenAi => "/v1/chat/completions",
            Api::Anthropic => "/v1/messages",
        }
    }

    /// With what options the client repeats a request so often.
    pub fn retries(&self, times: u32) -> Value {
        match (self.api, self.language) {
            (Api::Ollama, _) => json!({}),
            (_, Language::Python) => json!({ "max_retries": times }),
            (_, Language::Node) => json!({ "maxRetries": times }),
        }
    }

    /// The name of the error for a status.
    pub fn error(&self, status: u16) -> String {
        let name = match status {
            400 => "BadRequestError",
            401 => "AuthenticationError",
            403 => "PermissionDeniedError",
            404 => "NotFoundError",
            429 => "RateLimitError",
            _ => "InternalServerError",
        };
        match (self.api, self.language) {
            (Api::Ollama, Language::Python) => "ollama._types.ResponseError".to_owned(),
            (Api::Ollama, Language::Node) => "ResponseError".to_owned(),
            (_, Language::Node) => name.to_owned(),
            (Api::OpenAi, Language::Python) => format!("openai.{name}"),
            (Api::Anthropic, Language::Python) => format!("anthropic.{name}"),
        }
    }

    /// The variables by which a person points it at a server, and those that must not be there.
    fn environment(&self, url: &str, key: Option<&str>) -> (Value, Value) {
        let below = if self.api == Api::OpenAi { "/v1" } else { "" };
        let (url_name, key_name) = self.variables;
        let mut env = json!({ url_name: format!("{url}{below}") });
        let mut unset = vec!["OLLAMA_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];
        if let Some(key) = key {
            env[key_name] = json!(key);
            unset.retain(|name| *name != key_name);
        }
        (env, json!(unset))
    }

    fn call(&self, call: &Call, url: &str, key: Option<&str>) -> Value {
        let (env, unset) = self.environment(url, key);
        json!({
            "client": self.client, "env": env, "unset": unset, "options": call.options, "same_client": call.same_client,
            "method": call.method, "args": call.args, "with": call.with,
            "streams": call.streams, "leave_after": call.leave_after, "breaks": call.breaks,
        })
    }
}

/// A library, a gateway in front of an Ollama, and a key that may do what members may.
pub struct Given {
    /// The client.
    pub sdk: &'static Sdk,
    /// The Ollama behind.
    pub upstream: Upstream,
    /// The gateway.
    pub gateway: Gateway,
    /// Ada's device.
    pub device: Sandbox,
    /// A key of hers.
    pub key: String,
    /// How many callers left in the midst of an answer so far.
    pub leavers: usize,
    markers: usize,
    program: Program,
}

impl Given {
    /// With that client.
    pub fn new(sdk: &'static Sdk) -> Self {
        let program = Program::start(sdk.language);
        let upstream = Upstream::start();
        // So that the log has every request.
        let gateway = Gateway::start_with(&upstream.url(), &["--verbose"]);
        gateway.add_user("ada", "member");
        let device = gateway.device_of("ada");
        let key = gateway.key(&device, &["sdk", "--scope", "inference,models:read"]);
        Self { sdk, upstream, gateway, device, key, leavers: 0, markers: 0, program }
    }

    /// Uses another client of the same language from now on.
    pub fn switch(&mut self, sdk: &'static Sdk) {
        assert_eq!(self.sdk.language, sdk.language);
        self.sdk = sdk;
    }

    /// Begins a call at the gateway.
    pub fn begin(&mut self, call: &Call) {
        self.program.tell(&self.sdk.call(call, &self.gateway.url(), Some(&self.key)));
    }

    /// The next report of a call that has begun.
    pub fn hear(&mut self) -> Value {
        self.program.hear()
    }

    /// Makes a call at the gateway with a key, or with none, to its end.
    pub fn with_key(&mut self, call: &Call, key: Option<&str>) -> Vec<Value> {
        self.program.tell(&self.sdk.call(call, &self.gateway.url(), key));
        self.program.hear_all()
    }

    /// Makes the same call at the upstream server and then through the gateway, and gives what came of it. The library must get the same
    /// from both, and the upstream server the same request: but for who asks, and that the gateway asks streams for their usage, to the letter.
    pub fn same_through_the_gateway(&mut self, call: &Call) -> Vec<Value> {
        let before = self.upstream.requests().len();
        self.program.tell(&self.sdk.call(call, &self.upstream.url(), Some(&self.key)));
        let direct = self.program.hear_all();
        let through = self.with_key(call, Some(&self.key.clone()));
        assert_eq!(through, direct, "{call:?}");
        let requests = self.upstream.requests();
        let [one, other] = &requests[before..] else { panic!("{call:?}: {:?}", &requests[before..]) };
        assert_eq!((&one.method, &one.target), (&other.method, &other.target), "{call:?}");
        let (mut plain, forwarded) =
            (String::from_utf8_lossy(&one.body).into_owned(), String::from_utf8_lossy(&other.body));
        if forwarded.ends_with(ASKED) && !plain.contains("stream_options") {
            plain = plain.strip_suffix('}').unwrap().to_owned() + ASKED;
        }
        assert_eq!(plain, forwarded, "{call:?}");
        assert_eq!(headers(one), headers(other), "{call:?}");
        let text = format!("{:?}", other.headers);
        assert!(!text.contains(&self.key), "{call:?}: the key got to the upstream server");
        assert!(text.contains("\"ada\""), "{text}");
        through
    }

    /// How many requests the gateway has answered so far, going by its log. What has been answered is in the log by then; one request
    /// more, which does not count, shows how far the log has been read.
    pub fn answered(&mut self) -> usize {
        self.markers += 1;
        self.gateway.ask("GET", "/healthz", &[], "");
        let of_markers = |text: &str| lines(text).filter(|line| line.contains("/healthz")).count();
        let text = self.gateway.child().wait_stderr(|text| of_markers(text) == self.markers);
        lines(&text).count() - self.markers
    }
}

/// A line for each request that was answered, but the last if it is not whole.
fn lines(log: &str) -> impl Iterator<Item = &str> {
    log.split_inclusive('\n').filter(|line| line.contains("answered") && line.ends_with('\n'))
}

/// What the gateway asks of a stream of chat completions whose caller did not.
const ASKED: &str = r#","stream_options":{"include_usage":true}}"#;

/// The headers without those of one connection, the credential, and who asks; and without what an answer may be packed as, which the gateway
/// has to be able to read.
fn headers(request: &Request) -> Vec<(String, String)> {
    // The body is compared by itself.
    let own = ["host", "connection", "authorization", "x-api-key", "accept-encoding", "content-length"];
    let all = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut all: Vec<_> =
        all.filter(|(name, _)| !own.contains(&&**name) && !name.starts_with("x-ollama-auth-")).collect();
    all.sort();
    all
}

/// The parts of a stream that ended well.
#[track_caller]
pub fn parts(reports: &[Value]) -> Vec<&Value> {
    assert_eq!(reports.last().unwrap()["result"], "ended", "{reports:?}");
    reports[..reports.len() - 1].iter().map(|report| &report["part"]).collect()
}

/// What a call gave that is not a stream.
#[track_caller]
pub fn result(reports: &[Value]) -> &Value {
    assert!(reports.len() == 1 && reports[0].get("result").is_some(), "{reports:?}");
    &reports[0]["result"]
}

/// What a call raised, perhaps after parts of a stream.
#[track_caller]
pub fn raised(reports: &[Value]) -> &Value {
    let last = reports.last().unwrap();
    assert!(last.get("raised").is_some(), "{reports:?}");
    &last["raised"]
}
