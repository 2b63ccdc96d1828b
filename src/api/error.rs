//! All errors of requests to a host, distinguished by what a person or a script can do about them.

use std::io::ErrorKind;
use std::time::Duration;

use super::clock::notable;
use super::listener;
use super::renewal::Renewal;
use crate::http::{SendError, certificate_problem};
use crate::keyspec::KeyId;
use crate::os_error::without_codes;

/// Why no answer came at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// The name could not be resolved.
    Dns,
    /// Nothing listens there, or the network is down.
    Connect,
    /// No answer within the time limit.
    Timeout,
    /// The TLS handshake failed: an unknown authority, a wrong name, an expired certificate.
    Tls,
    /// The connection ended before an answer came.
    Closed,
}

/// What prevents a change (409), if the host gives a code that this program knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The id was given to a key before: perhaps by this very request, whose first answer was lost.
    IdTaken,
    /// The key has a replacement that is accepted: this one.
    Replaced(KeyId),
    /// The key that was to be replaced is accepted no longer.
    NotLive,
    /// Something else, or a host that does not say.
    Other,
}

impl Conflict {
    /// From the members `code` and `by` of an error.
    pub(super) fn read(code: Option<&str>, by: Option<&str>) -> Self {
        match (code, by.map(str::parse)) {
            (Some("id_taken"), _) => Self::IdTaken,
            (Some("replaced"), Some(Ok(id))) => Self::Replaced(id),
            (Some("not_live"), _) => Self::NotLive,
            _ => Self::Other,
        }
    }
}

/// A short code that a gateway knows a device by, in the only form that it has: `WDJB-MJHT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// Takes the member `user_code` of a gateway's answer.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (first, second) = text.split_once('-')?;
        let is_half = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_uppercase());
        (is_half(first) && is_half(second)).then(|| Self(text.to_owned()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What to do about a credential that was refused or is missing, where a sign-in does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Replace what it comes from: `OLLAMA_API_KEY`, a credentials file.
    Replace(String),
    /// Do this.
    Advice(String),
}

/// What a gateway demands beside the credential that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingProof {
    /// The signature of a device of the account, for the API key with that id.
    DeviceSignature(String),
    /// An API key of the account.
    ApiKey,
}

impl MissingProof {
    /// By the members `missing` and `key` of an answer.
    pub(super) fn read(missing: Option<&str>, key: Option<String>) -> Option<Self> {
        match (missing?, key) {
            ("device_signature", Some(key)) => Some(Self::DeviceSignature(key)),
            ("api_key", _) => Some(Self::ApiKey),
            _ => None,
        }
    }
}

/// Why a credential that is valid is refused (403), if the host gives a code that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForbiddenReason {
    /// The account, the device or the key is suspended.
    Suspended,
    /// It is not accepted from this machine's address.
    Address,
    /// It is not for the environment that the request is in, or the role does not allow that.
    Environment,
    /// The request asks for more than a cap allows.
    Cap,
    /// Something else, or a host that does not say.
    Other,
}

impl ForbiddenReason {
    /// From the member `code` of an error.
    pub(super) fn read(code: Option<&str>) -> Self {
        match code {
            Some("suspended") => Self::Suspended,
            Some("address") => Self::Address,
            Some("environment") => Self::Environment,
            Some("cap") => Self::Cap,
            _ => Self::Other,
        }
    }
}

/// Why no OIDC token could be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The source has none, or none that is valid.
    #[error("{message}")]
    Unusable {
        /// What is wrong with it, without a word of its content.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The issuer gives this job no token.
    #[error("{message}")]
    Refused {
        /// How it said so.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The issuer's endpoint gave no answer that can be used.
    #[error("cannot get a token from GitHub Actions: {0}")]
    Endpoint(Box<ApiError>),
}

/// An error of the HTTP client. Each names the host.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer came.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// The host as the user would write it.
        host: String,
        /// What happened, in one phrase.
        reason: String,
        /// The class of failure.
        kind: Unreachable,
    },
    /// This machine holds no certificate authority to check the host's certificate with.
    #[error("cannot check the certificate of {host}: no usable CA certificates on this machine ({reason})")]
    NoAuthorities {
        /// The host.
        host: String,
        /// What the TLS library says.
        reason: String,
    },
    /// The CA file named by the user cannot be used.
    #[error("cannot use the CA certificates in {path}: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// 401.
    #[error("{host} refused the credential: {message}")]
    Unauthorized {
        /// The host.
        host: String,
        /// The host's own words.
        message: String,
        /// The sign-in link it offered, as sent.
        signin_url: Option<String>,
        /// The code that a person can type in place of opening it.
        user_code: Option<Box<UserCode>>,
        /// What its `Retry-After` header asked for.
        retry_after: Option<Duration>,
        /// Whether the request carried a credential at all.
        had_credential: bool,
        /// What to do, where a sign-in is not what helps.
        remedy: Option<Box<Remedy>>,
        /// A gateway of ours answered.
        from_gateway: bool,
        /// The whole body came and is an error as Ollama words it: it can be taken at its word.
        recognised: bool,
        /// Seconds by which this machine's clock is ahead of the host's (negative: behind); `None` when the host did not send its time.
        clock_offset: Option<i64>,
    },
    /// 403.
    #[error("{host} does not allow this: {message}")]
    Forbidden {
        /// The host.
        host: String,
        /// The host's own words.
        message: String,
        /// Whether the request carried a credential at all.
        had_credential: bool,
        /// Why, where the host says so in a code that this program knows.
        reason: ForbiddenReason,
        /// The proof that is missing, where the host demands two.
        missing: Option<MissingProof>,
    },
    /// 404.
    #[error("{host}: {message}")]
    NotFound {
        /// The host.
        host: String,
        /// The host's own words.
        message: String,
        /// As for [`ApiError::Unauthorized`].
        recognised: bool,
        /// As for [`ApiError::Unauthorized`].
        from_gateway: bool,
    },
    /// 429 or 503.
    #[error("{host} cannot answer now ({status}): {message}")]
    TryLater {
        /// The host.
        host: String,
        /// 429 or 503.
        status: u16,
        /// The host's own words.
        message: String,
        /// What its `Retry-After` header asked for.
        retry_after: Option<Duration>,
        /// When the budget renews that is used up, if it is that.
        renewal: Option<Renewal>,
        /// As for [`ApiError::Status`].
        request: Option<Box<str>>,
    },
    /// 409: an existing object prevents the change. Nothing was changed.
    #[error("{host} answered 409: {message}")]
    Conflict {
        /// The host.
        host: String,
        /// The host's own words.
        message: String,
        /// What it is.
        conflict: Conflict,
    },
    /// Any other status that is not a success.
    #[error("{host} answered {status}: {message}")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The host's own words.
        message: String,
        /// The id of the request in the host's log, if it says one.
        request: Option<Box<str>>,
    },
    /// A redirect. None is followed: a credential belongs to one origin, and a signature to one path.
    #[error("{host} redirects to {location}, which is not followed")]
    Redirect {
        /// The host.
        host: String,
        /// Where it points, as sent.
        location: String,
    },
    /// The answer is not what the protocol says.
    #[error("{host} sent an answer that cannot be understood: {reason}")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream ended in `{"error":…}`.
    #[error("{host} stopped with an error: {message}")]
    InStream {
        /// The host.
        host: String,
        /// The host's own words.
        message: String,
    },
    /// The stream ended without its last object.
    #[error("the answer of {host} was cut off: {reason}")]
    Cut {
        /// The host.
        host: String,
        /// How it ended.
        reason: String,
    },
    /// A credential would have crossed the network in the clear.
    #[error("refusing to send a credential to {host} over plain http")]
    InsecureHttp {
        /// The host.
        host: String,
    },
    /// An API key would have gone to a program of another account of this machine.
    #[error("refusing to send an API key to {host}: {reason}")]
    ForeignListener {
        /// The host.
        host: String,
        /// Whose program it is.
        reason: String,
    },
    /// A gateway's key would have gone to ollama.com.
    #[error("refusing to send a gateway's API key to {host}")]
    GatewayKey {
        /// The host.
        host: String,
    },
    /// An OIDC token would have gone to ollama.com.
    #[error("refusing to send an OIDC token to {host}, which accepts none")]
    GatewayToken {
        /// The host.
        host: String,
    },
    /// No OIDC token could be had, so the request was not sent.
    #[error(transparent)]
    Token(Box<TokenError>),
    /// A request that a stock server would take as one to sign itself out, without the proof that the host keeps accounts.
    #[error("refusing to send {request} to {host}, which has not proved to keep accounts")]
    Unproven {
        /// The host.
        host: String,
        /// Method and path.
        request: String,
    },
    /// The body of the request could not be read to its end, so the request was broken off.
    #[error("the request to {host} was broken off, since its body could not be read: {reason}")]
    Body {
        /// The host.
        host: String,
        /// Why not.
        reason: String,
    },
    /// A credential that cannot be put in a header.
    #[error("the credential for {host} holds characters that cannot be sent")]
    Unsendable {
        /// The host.
        host: String,
    },
}

impl ApiError {
    /// What a request that got no answer means.
    pub(super) fn of_transport(host: String, error: &reqwest::Error) -> Self {
        if let Some(reason) = listener::refusal(error) {
            return Self::ForeignListener { host, reason };
        }
        let reason = innermost(error);
        if is_invalid_http(&reason) {
            return Self::Protocol { host, reason: format!("its response is not valid HTTP ({reason})") };
        }
        let lower = reason.to_ascii_lowercase();
        let kind = if error.is_dns() {
            Unreachable::Dns
        } else if error.is_timeout() {
            Unreachable::Timeout
        } else if lower.contains("certificate") || lower.contains("tls") || lower.contains("corrupt message") {
            Unreachable::Tls
        } else if error.is_connect() {
            Unreachable::Connect
        } else {
            Unreachable::Closed
        };
        let reason = match kind {
            Unreachable::Dns => format!("its name cannot be resolved ({reason})"),
            Unreachable::Timeout => "no connection within 10 seconds".to_owned(),
            // What rustls says of bytes that are not TLS.
            Unreachable::Tls if reason.contains("InvalidContentType") => {
                format!("that port speaks plain HTTP. Did you mean {}?", host.replacen("https://", "http://", 1))
            }
            Unreachable::Tls => certificate_problem(&reason)
                .map_or_else(|| format!("the TLS handshake failed ({reason})"), str::to_owned),
            Unreachable::Connect => reason,
            Unreachable::Closed => format!("the connection ended before an answer came ({reason})"),
        };
        Self::Unreachable { host, reason, kind }
    }

    /// The same for a request that went through [`Http1Client`](crate::http::Http1Client).
    pub(super) fn of_send(host: String, error: SendError) -> Self {
        if matches!(error, SendError::Malformed) {
            return Self::Protocol { host, reason: "its response is not valid HTTP/1.1".to_owned() };
        }
        let (kind, reason) = match error {
            SendError::Connect(error) if error.get_ref().is_some_and(|inner| listener::refusal(inner).is_some()) => {
                return Self::ForeignListener { host, reason: error.to_string() };
            }
            SendError::Connect(error) if error.kind() == ErrorKind::TimedOut => {
                (Unreachable::Timeout, "no connection within 10 seconds".to_owned())
            }
            SendError::Connect(error) => (Unreachable::Connect, innermost(&error)),
            error @ (SendError::Closed(Some(_)) | SendError::RequestBody(_)) => {
                (Unreachable::Closed, format!("the connection ended before an answer came ({})", innermost(&error)))
            }
            SendError::Closed(None) | SendError::Malformed => {
                (Unreachable::Closed, "the connection ended before an answer came".to_owned())
            }
        };
        Self::Unreachable { host, reason, kind }
    }

    /// Seconds by which this machine's clock is ahead of that of a host that refused the credential (negative: behind), when that is more
    /// than a minute.
    pub fn skew(&self) -> Option<i64> {
        match self {
            Self::Unauthorized { clock_offset, .. } => notable(*clock_offset),
            _ => None,
        }
    }

    /// Whether the host may have done what it was asked for all the same: the request was sent, and no plain refusal came back.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::Unreachable { kind, .. } => matches!(kind, Unreachable::Timeout | Unreachable::Closed),
            Self::Status { status, .. } => *status >= 500,
            Self::Protocol { .. } | Self::Cut { .. } | Self::InStream { .. } => true,
            _ => false,
        }
    }

    /// Whether asking again a little later may help: no answer, 429, or any 5xx.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { kind, .. } => *kind != Unreachable::Tls,
            Self::TryLater { .. } | Self::Cut { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Token(error) => match &**error {
                TokenError::Endpoint(error) => error.is_transient(),
                TokenError::Unusable { .. } | TokenError::Refused { .. } => false,
            },
            _ => false,
        }
    }
}

/// Whether that is what hyper says of a response, as far as its words tell.
fn is_invalid_http(reason: &str) -> bool {
    let parsed = ["HTTP version", "HTTP header", "HTTP status-code", "transfer-encoding", "content-length"];
    reason == "message head is too large" || parsed.iter().any(|what| reason.ends_with(&format!("{what} parsed")))
}

/// The last error of a chain, which is the one that says what happened.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    without_codes(&last.to_string())
}

/// "1 second", "30 seconds", "1.5 seconds".
pub(super) fn seconds(duration: Duration) -> String {
    let value = duration.as_secs_f64();
    if value == 1.0 { "1 second".to_owned() } else { format!("{value} seconds") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_eight_capital_letters_and_nothing_else() {
        assert_eq!(UserCode::read("WDJB-MJHT").unwrap().as_str(), "WDJB-MJHT");
        for other in
            ["", "WDJBMJHT", "wdjb-mjht", "WDJB-MJH", "WDJB-MJHT-X", "WDJB-MJ\u{1b}[", "WDJÄ-MJHT", "WDJB- MJH"]
        {
            assert_eq!(UserCode::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_conflict_is_what_the_host_plainly_says() {
        let id: KeyId = "key_12345678".parse().unwrap();
        assert_eq!(Conflict::read(Some("replaced"), Some("key_12345678")), Conflict::Replaced(id));
        assert_eq!(Conflict::read(Some("id_taken"), None), Conflict::IdTaken);
        assert_eq!(Conflict::read(Some("not_live"), None), Conflict::NotLive);
        for (code, by) in
            [(None, None), (Some("replaced"), None), (Some("replaced"), Some("\u{1b}[2J")), (Some("x"), None)]
        {
            assert_eq!(Conflict::read(code, by), Conflict::Other, "{code:?} {by:?}");
        }
    }
}
