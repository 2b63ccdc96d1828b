//! What is asked of a provider: where a browser signs in, what a code or a refresh token is worth, and what it says about a person.
//!
//! OAuth 2.0 is left to the crate `oauth2`; its requests are sent as all requests to issuers are, without following redirects.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet,
    EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse as _,
    TokenUrl,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;
use url::Url;
use zeroize::Zeroizing;

use super::settings::ProviderSettings;
use super::transaction::{Purpose, Transaction};
use crate::disk::{Exposure, read_input};
use crate::gateway::oidc::{Http, HttpError, IssuerError, Issuers, Metadata, TokenError};

/// Errors of a token endpoint that are about the person, and not about this gateway (OpenID Connect Core 1.0, section 3.1.2.6; RFC 6749).
const OF_THE_PERSON: [&str; 5] =
    ["access_denied", "interaction_required", "login_required", "consent_required", "account_selection_required"];
/// Errors that pass.
const PASSING: [&str; 3] = ["server_error", "temporarily_unavailable", "slow_down"];
/// The scope that gives a refresh token which outlives the session at the provider.
const OFFLINE: &str = "offline_access";
/// So old may the sign-in at the provider be, in seconds: asked for so that the provider says how old it is.
const OLDEST_SIGN_IN: &str = "2592000";
/// The longest text of a provider that is kept for the log, in characters.
const LONGEST_SHOWN: usize = 200;

/// Why a sign-in at a provider, or another question to it, came to nothing. Holds no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// The provider does not answer, or with something of no use.
    #[error("{0}")]
    Unavailable(String),
    /// The configuration cannot be used with this provider.
    #[error("{0}")]
    Setup(String),
    /// The code or the refresh token is not accepted any more.
    #[error("the provider does not accept the code or token: {0}")]
    InvalidGrant(String),
    /// What the provider says cannot be believed.
    #[error("{0}")]
    Invalid(String),
}

impl From<IssuerError> for ProviderError {
    fn from(error: IssuerError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<HttpError> for ProviderError {
    fn from(error: HttpError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<TokenError> for ProviderError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Unavailable(error) => error.into(),
            error => Self::Invalid(error.to_string()),
        }
    }
}

/// The tokens that a provider gave.
pub struct Tokens {
    /// Who the person is, signed.
    pub id_token: Option<String>,
    /// For the userinfo endpoint.
    pub access_token: SecretString,
    /// To ask again.
    pub refresh_token: Option<SecretString>,
}

/// The member of a token response that OpenID Connect adds. It is not printed anywhere.
#[derive(Debug, Serialize, Deserialize)]
struct IdTokenField {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenField {}

type TokenAnswer = StandardTokenResponse<IdTokenField, BasicTokenType>;
type OauthClient = Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Sends what the crate has prepared.
struct Sender(Http);

impl<'c> AsyncHttpClient<'c> for Sender {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.send(request))
    }
}

/// Asks providers. Clones share what is known of them.
#[derive(Clone)]
pub struct ProviderClient {
    pub(super) issuers: Arc<Issuers>,
}

impl ProviderClient {
    /// By those issuers.
    pub fn new(issuers: Arc<Issuers>) -> Self {
        Self { issuers }
    }

    /// What a provider says about itself.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`].
    pub async fn metadata(&self, provider: &ProviderSettings) -> Result<Arc<Metadata>, ProviderError> {
        Ok(self.issuers.metadata(&provider.issuer).await?)
    }

    /// How long it is until a provider that did not answer is asked again.
    pub fn next_read(&self, provider: &ProviderSettings) -> Duration {
        self.issuers.next_read(&provider.issuer)
    }

    /// Where the browser signs in, and comes back from to `redirect`. Asks the provider first: for one that is down the browser could
    /// explain nothing.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn authorization_url(
        &self,
        provider: &ProviderSettings,
        transaction: &Transaction,
        redirect: &str,
    ) -> Result<Url, ProviderError> {
        let metadata = self.issuers.metadata_if_up(&provider.issuer).await?;
        let client = client(provider, &metadata, redirect, None)?;
        let verifier = PkceCodeVerifier::new(transaction.verifier.clone());
        let state = CsrfToken::new(transaction.state.clone());
        let mut request = client
            .authorize_url(|| state)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_extra_param("nonce", &transaction.nonce);
        request = match transaction.purpose {
            // Who the person is, is enough.
            Purpose::Again => {
                let request = request.add_scope(Scope::new("openid".to_owned()));
                request.add_extra_param("prompt", "login").add_extra_param("max_age", "0")
            }
            Purpose::SignIn => {
                let mut scopes = provider.scopes.clone();
                // A provider that does not know the scope refuses it, and may give a refresh token without it.
                let knows = |scopes: &Vec<String>| scopes.iter().any(|scope| scope == OFFLINE);
                if provider.recheck.is_some() && metadata.scopes.as_ref().is_none_or(knows) {
                    if !scopes.iter().any(|scope| scope == OFFLINE) {
                        scopes.push(OFFLINE.to_owned());
                    }
                    // Otherwise providers leave that scope out (OpenID Connect Core 1.0, section 11).
                    request = request.add_extra_param("prompt", "consent");
                }
                let request = request.add_scopes(scopes.into_iter().map(Scope::new));
                request.add_extra_param("max_age", OLDEST_SIGN_IN)
            }
        };
        Ok(request.url().0)
    }

    /// The tokens for a code.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn exchange(
        &self,
        provider: &ProviderSettings,
        transaction: &Transaction,
        redirect: &str,
        code: &str,
    ) -> Result<Tokens, ProviderError> {
        let metadata = self.metadata(provider).await?;
        let client = client(provider, &metadata, redirect, secret(provider)?)?;
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(transaction.verifier.clone()));
        let sender = Sender(self.http(provider)?);
        request.request_async(&sender).await.map(tokens).map_err(explain)
    }

    /// The tokens for a refresh token.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn refresh(&self, provider: &ProviderSettings, token: &SecretString) -> Result<Tokens, ProviderError> {
        let metadata = self.metadata(provider).await?;
        let client = client(provider, &metadata, provider.issuer.as_str(), secret(provider)?)?;
        let token = RefreshToken::new(token.expose_secret().to_owned());
        let request = client.exchange_refresh_token(&token);
        let sender = Sender(self.http(provider)?);
        request.request_async(&sender).await.map(tokens).map_err(explain)
    }

    /// What the userinfo endpoint says; `None` if there is none.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn userinfo(
        &self,
        provider: &ProviderSettings,
        access_token: &SecretString,
    ) -> Result<Option<Map<String, Value>>, ProviderError> {
        let metadata = self.metadata(provider).await?;
        let Some(endpoint) = &metadata.userinfo_endpoint else { return Ok(None) };
        let bearer = Zeroizing::new(format!("Bearer {}", access_token.expose_secret()));
        let request =
            Request::get(endpoint.as_str()).header(ACCEPT, "application/json").header(AUTHORIZATION, &*bearer);
        let request = request.body(Vec::new()).map_err(|error| ProviderError::Invalid(error.to_string()))?;
        let response = self.http(provider)?.send(request).await?;
        let useless = |what: String| ProviderError::Unavailable(format!("the userinfo endpoint {what}"));
        if response.status() != StatusCode::OK {
            return Err(useless(format!("answers {}", response.status())));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // A signed answer (application/jwt) is something that the client has to register for.
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(useless("does not answer in JSON".to_owned()));
        }
        let claims = serde_json::from_slice(response.body());
        claims.map(Some).map_err(|_| useless("does not answer with an object".to_owned()))
    }

    /// Where the browser signs out at the provider, and comes back from to `back`; `None` if the provider has no such page.
    ///
    /// # Errors
    /// [`ProviderError`].
    pub async fn end_session_url(&self, provider: &ProviderSettings, back: &str) -> Result<Option<Url>, ProviderError> {
        let metadata = self.metadata(provider).await?;
        let Some(mut url) = metadata.end_session_endpoint.clone() else { return Ok(None) };
        url.query_pairs_mut()
            .append_pair("client_id", &provider.client_id)
            .append_pair("post_logout_redirect_uri", back);
        Ok(Some(url))
    }

    fn http(&self, provider: &ProviderSettings) -> Result<Http, ProviderError> {
        let unknown = || ProviderError::Setup(format!("the issuer {} is not configured", provider.issuer));
        self.issuers.http(&provider.issuer).ok_or_else(unknown)
    }
}

/// Checks what a provider needs of the machine: its secret.
///
/// # Errors
/// What is wrong with it.
pub fn check_files(provider: &ProviderSettings) -> Result<(), ProviderError> {
    secret(provider).map(drop)
}

/// The client secret, read each time: it can be replaced without a reload.
fn secret(provider: &ProviderSettings) -> Result<Option<SecretString>, ProviderError> {
    let Some(path) = &provider.client_secret_file else { return Ok(None) };
    let problem = |text: String| ProviderError::Setup(format!("oidc.{}.client-secret-file: {text}", provider.name));
    let content = read_input(path, Exposure::Group).map_err(|error| problem(error.to_string()))?;
    let content = Zeroizing::new(content.ok_or_else(|| problem(format!("there is no file {}", path.display())))?);
    let text = std::str::from_utf8(&content).ok().and_then(|text| text.lines().next()).map(str::trim);
    match text {
        Some(text) if !text.is_empty() => Ok(Some(text.to_owned().into())),
        _ => Err(problem(format!("the first line of {} is no secret", path.display()))),
    }
}

fn client(
    provider: &ProviderSettings,
    metadata: &Metadata,
    redirect: &str,
    secret: Option<SecretString>,
) -> Result<OauthClient, ProviderError> {
    let missing = |what: &str| ProviderError::Setup(format!("the provider {} names no {what} endpoint", provider.name));
    let authorization = metadata.authorization_endpoint.clone().ok_or_else(|| missing("authorization"))?;
    let token = metadata.token_endpoint.clone().ok_or_else(|| missing("token"))?;
    let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|error| ProviderError::Setup(error.to_string()))?;
    let mut client = Client::new(ClientId::new(provider.client_id.clone()))
        .set_auth_uri(AuthUrl::from_url(authorization))
        .set_token_uri(TokenUrl::from_url(token))
        .set_redirect_uri(redirect)
        .set_auth_type(auth_type(metadata));
    if let Some(secret) = secret {
        client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
    }
    Ok(client)
}

/// How the client proves itself: in a header, which every provider has to accept, unless it says that it does not.
fn auth_type(metadata: &Metadata) -> AuthType {
    let methods = metadata.token_endpoint_auth_methods.as_deref().unwrap_or_default();
    let has = |name: &str| methods.iter().any(|method| method == name);
    if !has("client_secret_basic") && has("client_secret_post") { AuthType::RequestBody } else { AuthType::BasicAuth }
}

fn tokens(answer: TokenAnswer) -> Tokens {
    Tokens {
        id_token: answer.extra_fields().id_token.clone(),
        access_token: answer.access_token().secret().clone().into(),
        refresh_token: answer.refresh_token().map(|token| token.secret().clone().into()),
    }
}

fn explain(error: RequestTokenError<HttpError, BasicErrorResponse>) -> ProviderError {
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_SHOWN).collect::<String>();
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let description = answer.error_description().map_or("", String::as_str);
            let text = format!("{} {}", answer.error().as_ref(), shown(description));
            let text = shown(text.trim());
            match answer.error() {
                BasicErrorResponseType::InvalidGrant => ProviderError::InvalidGrant(text),
                BasicErrorResponseType::Extension(name) if OF_THE_PERSON.contains(&name.as_str()) => {
                    ProviderError::InvalidGrant(text)
                }
                BasicErrorResponseType::Extension(name) if PASSING.contains(&name.as_str()) => {
                    ProviderError::Unavailable(format!("the token endpoint says: {text}"))
                }
                _ => ProviderError::Setup(format!("the token endpoint refuses this gateway: {text}")),
            }
        }
        RequestTokenError::Request(error) => error.into(),
        // Its text may hold what the provider sent.
        RequestTokenError::Parse(..) => {
            ProviderError::Unavailable("the answer of the token endpoint cannot be read".to_owned())
        }
        RequestTokenError::Other(text) => ProviderError::Unavailable(shown(&text)),
    }
}
