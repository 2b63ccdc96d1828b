//! Saying no, in the words of the API that was asked: so that each SDK raises its own type of exception.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::refusal_code::RefusalCode;

/// Whose errors a caller expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":"…"}`
    #[default]
    Ollama,
    /// `{"error":{"message":"…","type":"…","param":null,"code":null}}`
    OpenAi,
    /// `{"type":"error","error":{"type":"…","message":"…"}}`
    Anthropic,
}

impl Dialect {
    /// By the path, without the base path. It may be none that is answered: also a refusal is in the form that the caller reads.
    pub fn of(path: &str) -> Self {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        match segments.next() {
            Some("v1") if segments.next() == Some("messages") => Self::Anthropic,
            Some("v1") => Self::OpenAi,
            _ => Self::Ollama,
        }
    }
}

/// A request that is not fulfilled, and what to say.
#[derive(Clone, Debug)]
pub struct Rejection {
    status: StatusCode,
    message: String,
    dialect: Dialect,
    signin_url: Option<String>,
    members: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    code: Option<RefusalCode>,
}

impl Rejection {
    /// `status` is one of HTTP's error codes, or 301 or 307 with a header `location`.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (message, dialect) = (message.into(), Dialect::default());
        Self { status, message, dialect, signin_url: None, members: Vec::new(), headers: Vec::new(), code: None }
    }

    /// 401: a credential is missing or not accepted.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, message)
    }

    /// Sets the API in whose form the error is written.
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// For that reason, in the event log; for some [also in the body](RefusalCode::is_told).
    pub fn because(mut self, code: RefusalCode) -> Self {
        self.code = Some(code);
        self
    }

    /// With the link where the pending device can be approved.
    pub fn with_signin_url(mut self, url: String) -> Self {
        self.signin_url = Some(url);
        self
    }

    /// With one more member beside the error, for programs: `code` says what prevents the change, `by` is the id of that object.
    pub fn member(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// With one more header. A value that is invalid in a header is left out.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// After how many seconds to try again, where it says so.
    pub fn retry_after(&self) -> Option<&HeaderValue> {
        self.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER).map(|(_, value)| value)
    }

    /// The HTTP status of the response.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The reason for the event log, where it has a name.
    pub fn code(&self) -> Option<RefusalCode> {
        self.code
    }

    /// The message for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn body(&self) -> Value {
        let kind = |unauthorized, forbidden, missing, many, bad, other| match self.status.as_u16() {
            401 => unauthorized,
            403 => forbidden,
            404 => missing,
            429 => many,
            400..500 => bad,
            _ => other,
        };
        let code = self.code.filter(|code| code.is_told()).map(RefusalCode::name);
        let mut body = match self.dialect {
            Dialect::Ollama => json!({ "error": self.message }),
            Dialect::OpenAi => json!({ "error": {
                "message": self.message,
                "type": kind(
                    "authentication_error", "permission_error", "not_found_error", "rate_limit_error",
                    "invalid_request_error", "api_error",
                ),
                "param": null,
                "code": if self.status == StatusCode::UNAUTHORIZED { Some("invalid_api_key") } else { code },
            } }),
            Dialect::Anthropic => json!({ "type": "error", "error": {
                "type": kind(
                    "authentication_error", "permission_error", "not_found_error", "rate_limit_error",
                    "invalid_request_error", "api_error",
                ),
                "message": self.message,
            } }),
        };
        if let Some(code) = code.filter(|_| self.dialect != Dialect::OpenAi) {
            body["code"] = code.into();
        }
        for (name, value) in &self.members {
            body[*name] = value.as_str().into();
        }
        if let Some(url) = &self.signin_url {
            body["signin_url"] = url.as_str().into();
        }
        if self.status == StatusCode::UNAUTHORIZED {
            body["status"] = self.status_text().into();
        }
        body
    }

    /// What `list`, `show`, `ps`, `cp` and `rm` of the stock client print of a 401: the member `status`, and nothing else of it
    /// (`docs/explanation/protocol.md`). So it also holds the link, which they would not show.
    fn status_text(&self) -> String {
        match &self.signin_url {
            Some(url) => format!("{}: approve this device at {url}", self.message),
            None => self.message.clone(),
        }
    }

    /// The error as the last message of a stream of that API.
    pub fn to_stream_end(&self) -> String {
        let body = self.body();
        match self.dialect {
            Dialect::Ollama => format!("{body}\n"),
            Dialect::OpenAi => format!("data: {body}\n\n"),
            Dialect::Anthropic => format!("event: error\ndata: {body}\n\n"),
        }
    }

    /// The response, in the form of the API that was called.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.status.as_u16(), 401 | 403) {
            // The libraries of OpenAI and Anthropic obey it. Without it Claude Code repeats a refused request for three minutes.
            headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        }
        headers.extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        // For what is recorded of requests.
        if let Some(code) = self.code {
            response.extensions_mut().insert(code);
        }
        response
    }
}

/// A JSON answer that must not be cached.
pub fn json_response(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let Ok(body) = serde_json::to_vec(value) else {
        return Rejection::new(500, "the response could not be created").into_response();
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_the_caller_is_told_is_in_every_dialect() {
        let body = |code, dialect| Rejection::new(429, "why").because(code).with_dialect(dialect).body();
        assert_eq!(body(RefusalCode::Rate, Dialect::Ollama), json!({ "error": "why", "code": "rate" }));
        let error = json!({ "message": "why", "type": "rate_limit_error", "param": null, "code": "concurrency" });
        assert_eq!(body(RefusalCode::Concurrency, Dialect::OpenAi), json!({ "error": error }));
        let error = json!({ "type": "rate_limit_error", "message": "why" });
        let wanted = json!({ "type": "error", "error": error, "code": "size" });
        assert_eq!(body(RefusalCode::Size, Dialect::Anthropic), wanted);
        assert_eq!(body(RefusalCode::Suspended, Dialect::Ollama), json!({ "error": "why", "code": "suspended" }));
        // Others are for the event log alone.
        assert_eq!(body(RefusalCode::Scope, Dialect::Ollama), json!({ "error": "why" }));
    }

    /// Without it the stock client prints "something went wrong, please see the ollama server logs for details".
    #[test]
    fn a_401_has_a_status_for_the_stock_client_in_every_dialect() {
        let body = |rejection: Rejection, dialect| rejection.with_dialect(dialect).body();
        for dialect in [Dialect::Ollama, Dialect::OpenAi, Dialect::Anthropic] {
            assert_eq!(body(Rejection::unauthorized("unauthorized: why"), dialect)["status"], "unauthorized: why");
            let pending = Rejection::unauthorized("unauthorized").with_signin_url("https://h/connect".to_owned());
            let pending = body(pending, dialect);
            assert_eq!(pending["status"], "unauthorized: approve this device at https://h/connect");
            assert_eq!(pending["signin_url"], "https://h/connect");
            assert_eq!(body(Rejection::new(403, "no"), dialect)["status"], Value::Null);
        }
    }
}
