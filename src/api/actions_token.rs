//! The endpoint at which a job of GitHub Actions gets tokens. Its address and the secret for it are in the job's environment if the
//! workflow has `permissions: id-token: write`.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::body::{Bounds, whole};
use super::error::{ApiError, TokenError, Unreachable, seconds};
use super::transport::{ListenerRule, Transport, retry_after};
use super::workload_token::{FetchedToken, TokenClaims, TokenSource};
use crate::address::{BaseUrl, Scheme};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What is read of an answer.
const BOUNDS: Bounds = Bounds { size: 64 * 1024, time: Some(TIMEOUT) };
/// The waits before an endpoint that fails is asked again.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// What the job's workflow has to say.
const PERMISSION: &str = "the job needs this permission in its workflow; a pull request from a fork never has it:\npermissions:\n  id-token: write";

/// Gets tokens for one audience.
pub struct ActionsTokens {
    client: Client,
    url: Url,
    /// The endpoint in messages: without path and query.
    host: String,
    authorization: HeaderValue,
    now: fn() -> i64,
}

#[derive(Deserialize)]
struct Answer {
    value: String,
}

impl ActionsTokens {
    /// For the endpoint and the secret that GitHub has put into the environment. `audience` is the host that the tokens are for.
    ///
    /// # Errors
    /// [`TokenError::Unusable`] for an address that GitHub would not give, and if the secret is missing.
    pub fn new(
        transport: &Transport,
        url: &str,
        request_token: Option<&SecretString>,
        audience: &BaseUrl,
        now: fn() -> i64,
    ) -> Result<Self, TokenError> {
        let unusable = |what: &str| TokenError::Unusable {
            message: format!("ACTIONS_ID_TOKEN_REQUEST_URL {what}"),
            hint: Some("leave this variable as GitHub sets it".to_owned()),
        };
        let Some(request_token) = request_token else {
            return Err(TokenError::Refused {
                message: "ACTIONS_ID_TOKEN_REQUEST_TOKEN is missing, without which GitHub Actions gives no token"
                    .to_owned(),
                hint: Some(format!("pass it to this step if the step sets its own environment\n{PERMISSION}")),
            });
        };
        let mut url = Url::parse(url).map_err(|_| unusable("is not an address"))?;
        let base = BaseUrl::parse(&url.origin().ascii_serialization()).map_err(|_| unusable("is not an address"))?.url;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.host_str().is_none() || !matches!(url.scheme(), "https" | "http") {
            return Err(unusable("is not an address of the form https://HOST/PATH"));
        }
        if base.scheme() == Scheme::Http && !base.is_loopback() {
            return Err(unusable("is not https, so the secret in ACTIONS_ID_TOKEN_REQUEST_TOKEN is not sent"));
        }
        url.set_fragment(None);
        url.query_pairs_mut().append_pair("audience", &audience.to_string());
        let header = HeaderValue::from_str(&format!("Bearer {}", request_token.expose_secret()));
        let mut authorization = header.map_err(|_| TokenError::Unusable {
            message: "ACTIONS_ID_TOKEN_REQUEST_TOKEN holds characters that cannot be sent".to_owned(),
            hint: Some("leave this variable as GitHub sets it".to_owned()),
        })?;
        authorization.set_sensitive(true);
        let rule = ListenerRule { known: None, refuses: true };
        let client = transport.client(&base, rule).map_err(|error| TokenError::Endpoint(Box::new(error)))?;
        Ok(Self { client, url, host: base.to_string(), authorization, now })
    }

    /// Asks until there is an answer that another try would not change.
    async fn request(&self) -> Result<SecretString, TokenError> {
        let mut waits = WAITS.into_iter();
        loop {
            let error = match self.request_once().await {
                Err(TokenError::Endpoint(error)) if is_worth_another_try(&error) => error,
                other => return other,
            };
            let Some(wait) = waits.next() else { return Err(TokenError::Endpoint(error)) };
            tracing::debug!(%error, "GitHub's endpoint for tokens is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    async fn request_once(&self) -> Result<SecretString, TokenError> {
        tracing::debug!(host = self.host, "asking GitHub's endpoint for a token");
        let request = self.client.get(self.url.clone());
        let request = request.header(AUTHORIZATION, self.authorization.clone()).header(ACCEPT, "application/json");
        let failed = |error: ApiError| TokenError::Endpoint(Box::new(error));
        let Ok(sent) = tokio::time::timeout(TIMEOUT, request.send()).await else {
            let reason = format!("no answer within {}", seconds(TIMEOUT));
            return Err(failed(ApiError::Unreachable { host: self.host.clone(), reason, kind: Unreachable::Timeout }));
        };
        // What the HTTP library says may name the whole address.
        let response = sent.map_err(|error| failed(ApiError::of_transport(self.host.clone(), &error.without_url())))?;
        if let Some(error) = self.refusal(response.status(), response.headers()) {
            return Err(error);
        }
        self.token(response).await
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap) -> Option<TokenError> {
        let host = self.host.clone();
        let error = match status.as_u16() {
            200..300 => return None,
            300..400 => {
                let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
                ApiError::Redirect { host, location: location.unwrap_or("an address it does not name").to_owned() }
            }
            status @ (429 | 503) => {
                let (message, retry_after) = ("it is busy".to_owned(), retry_after(headers, (self.now)()));
                ApiError::TryLater { host, status, message, retry_after, renewal: None, request: None }
            }
            status @ 400..500 => {
                return Some(TokenError::Refused {
                    message: format!("GitHub Actions gives this job no token: {host} answered {status}"),
                    hint: Some(PERMISSION.to_owned()),
                });
            }
            status => ApiError::Status { host, status, message: "it failed".to_owned(), request: None },
        };
        Some(TokenError::Endpoint(Box::new(error)))
    }

    async fn token(&self, response: Response) -> Result<SecretString, TokenError> {
        let body = whole(response, &self.host, BOUNDS).await.map_err(|error| TokenError::Endpoint(Box::new(error)))?;
        let body = Zeroizing::new(body);
        // What the parser says may quote what it read.
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| {
            let reason = "it contains no token (the member \"value\")".to_owned();
            TokenError::Endpoint(Box::new(ApiError::Protocol { host: self.host.clone(), reason }))
        })?;
        TokenClaims::read(&answer.value).map_err(|invalid| {
            let reason = format!("its token {invalid}");
            TokenError::Endpoint(Box::new(ApiError::Protocol { host: self.host.clone(), reason }))
        })?;
        Ok(SecretString::from(answer.value))
    }
}

/// Whether the endpoint may give another answer in a moment. A time limit is long already.
fn is_worth_another_try(error: &ApiError) -> bool {
    match error {
        ApiError::TryLater { .. } => true,
        ApiError::Status { status, .. } => *status >= 500,
        ApiError::Unreachable { kind, .. } => matches!(kind, Unreachable::Connect | Unreachable::Closed),
        _ => false,
    }
}

impl TokenSource for ActionsTokens {
    fn name(&self) -> String {
        "the token that GitHub Actions gave".to_owned()
    }

    fn fetch(&self) -> FetchedToken<'_> {
        Box::pin(self.request())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TransportOptions;

    fn source(url: &str, token: Option<&str>) -> Result<ActionsTokens, TokenError> {
        let transport = Transport::new(TransportOptions::default());
        let host = BaseUrl::parse("http://127.0.0.1:1/base").unwrap().url;
        ActionsTokens::new(&transport, url, token.map(SecretString::from).as_ref(), &host, || 0)
    }

    #[test]
    fn the_audience_is_added_to_githubs_own_query() {
        let source = source("http://127.0.0.1:9//idtoken/1?api-version=2.0#x", Some("t")).unwrap();
        let expected = "http://127.0.0.1:9//idtoken/1?api-version=2.0&audience=http%3A%2F%2F127.0.0.1%3A1%2Fbase";
        assert_eq!(source.url.as_str(), expected);
    }

    #[test]
    fn the_secret_goes_to_no_other_kind_of_address() {
        for url in
            ["http://token.example/x", "ftp://token.example/x", "https://u:p@token.example/x", "token", "file:///x"]
        {
            let error = source(url, Some("hunter2")).err().unwrap();
            assert!(matches!(&error, TokenError::Unusable { message, .. } if !message.contains("hunter2")), "{url}");
        }
        assert!(matches!(source("http://127.0.0.1:9/x", None), Err(TokenError::Refused { .. })));
        assert!(matches!(source("http://127.0.0.1:9/x", Some("a\nb")), Err(TokenError::Unusable { .. })));
    }
}
