//! Faults of the ollama.com stand-in, as an outage or an attacker would cause them.

use crate::harness::http::{Reply, Step};

/// A fault to inject into answers.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with `{"error":…}`.
    Status(u16),
    /// 429 or 503 with this `Retry-After`.
    TryLater(u16, String),
    /// The connection is closed without an answer.
    Drop,
    /// The connection is reset without an answer.
    Reset,
    /// No answer until the client leaves.
    Hang,
    /// A redirect of this status to this URL.
    Redirect(u16, String),
    /// The `signin_url` lies at this origin instead of the server's.
    SigninOrigin(String),
    /// The `signin_url` holds this encoded key instead of the caller's.
    SigninKey(String),
    /// The 401 of a gateway holds this in place of a code.
    UserCode(String),
    /// The 401 holds no `signin_url`.
    NoSigninUrl,
    /// `ID`, `Name`, … instead of `id`, `name`, …
    CapitalisedNames,
    /// `Date` is off by so many seconds. (To shift what `ts` is compared with too: `server().clock().skew(…)`.)
    DateSkew(i64),
    /// The body is cut in the middle of its JSON, under a `Content-Length` that is right for the rest.
    MalformedJson,
    /// The answer is an HTML page, as a captive portal or proxy sends it.
    Html(u16),
}

impl Fault {
    /// The answer that replaces the right one; `None`: the right one is to be changed instead.
    pub(super) fn reply(&self) -> Option<Reply> {
        Some(match self {
            Self::Status(status) => Reply::json(*status, serde_json::json!({ "error": format!("status {status}") })),
            Self::TryLater(status, after) => Reply::retry_after(*status, after),
            Self::Drop => Reply::drop_connection(),
            Self::Reset => Reply::reset_connection(),
            Self::Hang => Reply::ndjson([Step::Hang]),
            Self::Redirect(status, to) => Reply::redirect(*status, to),
            Self::Html(status) => {
                Reply::new(*status, "<html><body>Sign in to Wi-Fi</body></html>").header("Content-Type", "text/html")
            }
            _ => return None,
        })
    }
}
