//! A request as it arrived.

use std::time::Instant;

/// One request, whole: its body has been read and freed of chunk framing.
#[derive(Clone, Debug)]
pub struct Request {
    /// Place in the order of arrival at this server, from 0.
    pub order: usize,
    /// Number of the connection it came over, from 0: equal numbers mean the connection was kept alive.
    pub connection: usize,
    /// When the request was complete.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The request target as sent: path and query.
    pub target: String,
    /// Headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&*self.target, |(path, _)| path)
    }

    /// The raw query, empty when there is none.
    pub fn raw_query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The decoded value of a query parameter.
    pub fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.raw_query().as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The `Authorization` header.
    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    /// The bearer token that is an API key, that is not a signature (`blob:signature`) behind `Bearer`.
    pub fn api_key(&self) -> Option<&str> {
        self.authorization()?.strip_prefix("Bearer ").filter(|value| !value.contains(':'))
    }

    /// The body as text; panics when it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a request body in UTF-8")
    }

    /// The body as JSON; panics when it is not.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("the body of {self} is not JSON: {error}"))
    }
}

/// Method and path only: no query and no header, which could hold a secret.
impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path())
    }
}
