//! What a response means whose status is not a success.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};

use super::Session;
use crate::api::body::{ErrorBody, error_body, read_limited};
use crate::api::clock::clock_offset;
use crate::api::error::{ApiError, Conflict, ForbiddenReason, MissingProof, Remedy, Unreachable, UserCode};
use crate::api::host_facts::{GATEWAY_HEADER, request_id};
use crate::api::renewal::Renewal;
use crate::api::transport::retry_after;
use crate::http::BoxError;

impl Session<'_> {
    pub(in crate::api) fn unreachable(&self, kind: Unreachable, reason: String) -> ApiError {
        ApiError::Unreachable { host: self.base.to_string(), reason, kind }
    }

    /// The error of a response whose status is not a success.
    pub(super) async fn failure<B>(&self, status: StatusCode, headers: &HeaderMap, body: B) -> ApiError
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (body, complete) = if status.is_redirection() { (Vec::new(), true) } else { read_limited(body).await };
        self.refusal(status, headers, &body, complete)
    }

    fn remedy(&self) -> Option<Remedy> {
        let advice = self.advice.clone().map(Remedy::Advice);
        advice.or_else(|| self.origin.clone().map(Remedy::Replace))
    }

    /// What an answer means whose status is not a success. `complete` says that `body` is all of it.
    pub(in crate::api) fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        complete: bool,
    ) -> ApiError {
        let host = self.base.to_string();
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection() {
            let location = header(LOCATION.as_str()).unwrap_or("an address it does not name").to_owned();
            return ApiError::Redirect { host, location };
        }
        let now = (self.now)();
        let retry_after = retry_after(headers, now);
        let clock_offset = clock_offset(headers, self.signing_time());
        let had_credential = self.has_credential();
        let request = request_id(headers).map(Box::from);
        let from_gateway = header(GATEWAY_HEADER).is_some();
        let ErrorBody { message, signin_url, recognised, code, by, missing, key, user_code, renews_at } =
            error_body(body, status);
        let recognised = recognised && complete;
        match status {
            StatusCode::UNAUTHORIZED => ApiError::Unauthorized {
                host,
                message,
                signin_url,
                user_code: user_code.filter(|_| from_gateway).and_then(|code| UserCode::read(&code)).map(Box::new),
                retry_after,
                had_credential,
                remedy: self.remedy().map(Box::new),
                from_gateway,
                recognised,
                clock_offset,
            },
            StatusCode::FORBIDDEN => {
                // A body that was cut is not taken at its word.
                let reason = ForbiddenReason::read(code.filter(|_| recognised).as_deref());
                let missing = MissingProof::read(missing.as_deref(), key).filter(|_| recognised && from_gateway);
                ApiError::Forbidden { host, message, had_credential, reason, missing }
            }
            StatusCode::NOT_FOUND => ApiError::NotFound { host, message, recognised, from_gateway },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                // A body that was cut is not taken at its word.
                let told = (code.as_deref(), renews_at.as_deref());
                let renewal = if recognised { Renewal::read(told, retry_after, now) } else { None };
                ApiError::TryLater { host, status: status.as_u16(), message, retry_after, renewal, request }
            }
            // A body that was cut is not taken at its word.
            StatusCode::CONFLICT => {
                let word = |text: Option<String>| text.filter(|_| recognised);
                let conflict = Conflict::read(word(code).as_deref(), word(by).as_deref());
                ApiError::Conflict { host, message, conflict }
            }
            _ => ApiError::Status { host, status: status.as_u16(), message, request },
        }
    }
}
