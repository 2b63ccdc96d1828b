//! A loopback Ollama that answers with recorded exchanges (`fixtures/ollama-serve.json`), chunk by chunk as they were
//! recorded, and checks every signature it is sent.

use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

use super::{
    clock::Clock,
    http::{Reply, Request, Server, Step},
    signature,
};

static EXCHANGES: LazyLock<Vec<Exchange>> = LazyLock::new(|| {
    let text = include_str!("../fixtures/ollama-serve.json");
    let file: Value = serde_json::from_str(text).expect("the recorded exchanges are JSON");
    let list = file["exchanges"].as_array().expect("a list of exchanges");
    list.iter().map(Exchange::read).collect()
});

/// One recorded exchange with `ollama serve`.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its name in the recording, such as `generate`.
    pub name: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The request's body, empty when there was none.
    pub body: String,
    /// The status answered.
    pub status: u16,
    /// The headers answered, framing included.
    pub headers: Vec<(String, String)>,
    /// The body answered, in the chunks in which it came.
    pub chunks: Vec<String>,
}

impl Exchange {
    fn read(value: &Value) -> Self {
        let (request, response) = (&value["request"], &value["response"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Self {
            name: text(&value["name"]),
            method: text(&request["method"]),
            path: text(&request["path"]),
            body: text(&request["body"]),
            status: response["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a recorded status"),
            headers: list(&response["headers"]).iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
            chunks: list(&response["chunks"]).iter().map(text).collect(),
        }
    }

    /// The answer as recorded: a chunked one in the same chunks. `Date` is the server's, so that clocks compare.
    pub fn reply(&self) -> Reply {
        let chunked = self.headers.iter().any(|(name, _)| name == "Transfer-Encoding");
        let mut reply = if chunked {
            Reply::script(self.status, self.chunks.iter().map(Step::send))
        } else if self.method == "HEAD" {
            Reply::sized(self.status, 17, [])
        } else {
            Reply::new(self.status, self.chunks.concat())
        };
        for (name, value) in &self.headers {
            if !["Transfer-Encoding", "Content-Length", "Date"].contains(&name.as_str()) {
                reply = reply.header(name, value);
            }
        }
        reply
    }

    /// The JSON objects of the body, one a line.
    pub fn objects(&self) -> Vec<Value> {
        let text = self.chunks.concat();
        text.lines().map(|line| serde_json::from_str(line).expect("a recorded line of JSON")).collect()
    }

    /// What the model said: every `response` or `message.content`, joined.
    pub fn said(&self) -> String {
        let texts = self.objects();
        let texts = texts.iter().map(|object| {
            let said = object["response"].as_str();
            said.or(object["message"]["content"].as_str()).unwrap_or_default().to_owned()
        });
        texts.collect()
    }
}

/// The recorded exchange of that name.
pub fn recorded(name: &str) -> &'static Exchange {
    EXCHANGES
        .iter()
        .find(|exchange| exchange.name == name)
        .unwrap_or_else(|| panic!("no exchange named {name} was recorded"))
}

/// The recorded answer to a request. Of several with the same method and path, the one whose body is the same, else
/// the one that asks for the same kind of thing of the same model. Unknown models are answered 404, as recorded.
pub fn replay(request: &Request, path: &str) -> Reply {
    let body = String::from_utf8_lossy(&request.body);
    let same: Vec<_> = EXCHANGES.iter().filter(|e| e.method == request.method && e.path == path).collect();
    if let Some(exact) = same.iter().find(|exchange| exchange.body == body) {
        return exact.reply();
    }
    let asked = Kind::of(&body);
    if let Some(alike) = same.iter().find(|e| Kind::of(&e.body) == asked) {
        return alike.reply();
    }
    match asked {
        Some(kind) if !same.is_empty() => {
            let error = format!("model '{}' not found", kind.model);
            Reply::json(404, serde_json::json!({ "error": error }))
        }
        _ => Reply::new(404, "404 page not found").header("Content-Type", "text/plain"),
    }
}

/// What tells the recorded requests to one path apart.
#[derive(PartialEq)]
struct Kind {
    model: String,
    streams: bool,
    thinks: bool,
    asks: bool,
    bad_option: bool,
}

impl Kind {
    fn of(body: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(body).ok()?;
        let model = [&body["model"], &body["name"]]
            .into_iter()
            .find_map(|name| name.as_str().filter(|name| !name.is_empty()))?;
        let model = model.to_lowercase();
        let model = model.strip_prefix("registry.ollama.ai/").unwrap_or(&model);
        let model = model.strip_prefix("library/").unwrap_or(model);
        let full = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
        Some(Self {
            model: model.strip_suffix(":latest").unwrap_or(model).to_owned(),
            streams: body["stream"] != false,
            thinks: body["think"] != Value::Null && body["think"] != false,
            asks: full("prompt") || body["messages"].is_array() || full("input"),
            bad_option: body["options"]["num_ctx"].is_string(),
        })
    }
}

type Route = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;
type Routes = Arc<Mutex<Vec<(String, String, Route)>>>;

/// The server.
pub struct Ollama {
    server: Server,
    routes: Routes,
    bad_signatures: Arc<Mutex<Vec<String>>>,
    base: String,
}

impl Ollama {
    /// Serves the recordings at the root.
    pub fn start() -> Self {
        Self::start_at("")
    }

    /// Serves them below a base path such as `/prefix`.
    pub fn start_at(base: &str) -> Self {
        let (routes, base) = (Routes::default(), base.to_owned());
        let bad_signatures = Arc::<Mutex<Vec<String>>>::default();
        let clock = Clock::default();
        let server = Server::with_clock(clock.clone(), {
            let (routes, base, bad) = (routes.clone(), base.clone(), bad_signatures.clone());
            move |request| {
                if signature::is_signed(request)
                    && let Err(error) = signature::check(request, &base, clock.now())
                {
                    bad.lock().expect("an unpoisoned list").push(format!("{request}: {error}"));
                    return Reply::json(401, r#"{"error":"unauthorized"}"#);
                }
                let Some(path) = request.path().strip_prefix(&base) else {
                    return Reply::new(404, "404 page not found");
                };
                let own = routes.lock().expect("unpoisoned routes").clone();
                let own = own
                    .iter()
                    .rev()
                    .find(|(method, own, _)| {
                        *method == request.method && own.strip_suffix('*').map_or(own == path, |p| path.starts_with(p))
                    })
                    .map(|(.., route)| route.clone());
                own.map_or_else(|| replay(request, path), |own| own(request))
            }
        });
        Self { server, routes, bad_signatures, base }
    }

    /// Answers this method and path (below the base path; `/api/x/*` takes what begins so) otherwise than recorded.
    pub fn route(&self, method: &str, path: &str, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> &Self {
        self.routes.lock().expect("unpoisoned routes").push((method.to_owned(), path.to_owned(), Arc::new(answer)));
        self
    }

    /// Answers with the recorded exchange of that name, whatever is asked of its method and path.
    pub fn replay_always(&self, name: &str) -> &Self {
        let exchange = recorded(name);
        self.route(&exchange.method, &exchange.path, |_| exchange.reply())
    }

    /// Its URL, with the base path: a value for `OLLAMA_HOST`.
    pub fn url(&self) -> String {
        self.server.url() + &self.base
    }

    /// The server below: requests, counts, expectations, clock.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The signatures that were wrong so far; afterwards they do not fail the drop.
    pub fn take_bad_signatures(&self) -> Vec<String> {
        std::mem::take(&mut self.bad_signatures.lock().expect("an unpoisoned list"))
    }
}

impl Drop for Ollama {
    fn drop(&mut self) {
        for text in self.take_bad_signatures() {
            self.server.complain(text);
        }
    }
}
