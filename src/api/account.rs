//! The account endpoints, and telling an account host from a stock Ollama server.
//!
//! A stock server answers `/api/me` for its own key, whoever asks, and disconnects *itself* on any
//! `DELETE /api/user/keys/…` (PROTOCOL: measured). So no such request is ever sent on a guess: [`Session::host_kind`] asks first,
//! without a credential.

use reqwest::Method;
use serde_json::{Map, Value};

use super::body::{Bounds, json};
use super::error::ApiError;
use super::session::Session;
use crate::identity::{Account, PublicKey};

/// The answer to "who am I?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Me {
    /// The host knows the credential.
    SignedIn(Account),
    /// The host does not know the credential, or none was sent.
    SignedOut {
        /// The sign-in link it offered, as sent.
        signin_url: Option<String>,
        /// The host's own words.
        message: String,
        /// Seconds by which our clock is ahead of the host's, when that is more than a minute.
        skew: Option<i64>,
    },
}

/// What kind of host answers, judged by a request without a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKind {
    /// It refuses strangers: ollama.com, or a gateway (then with its version).
    AccountHost {
        /// The version from the gateway's header, where there is one.
        gateway: Option<String>,
    },
    /// A stock Ollama server, which speaks for its own key.
    StockServer {
        /// Whom the server is signed in as; `None` when it is signed out or cannot tell.
        account: Option<Account>,
    },
    /// It has no `/api/me` at all.
    Other {
        /// The status it answered.
        status: u16,
    },
}

impl Session<'_> {
    /// `POST /api/me`.
    ///
    /// # Errors
    /// Everything but a 401, which is [`Me::SignedOut`].
    pub async fn me(&self) -> Result<Me, ApiError> {
        match self
            .request(Method::POST, "/api/me")
            .harmless()
            .send()
            .await
        {
            Ok(response) => {
                let host = self.base().to_string();
                let object: Map<String, Value> = json(response, &host, Bounds::ACCOUNT).await?;
                let account = Account::from_object(&object);
                // A host that knows nobody answers 200 with an empty name (PROTOCOL: what the stock client takes as signed out).
                if account.name.is_empty() && account.email.is_empty() {
                    return Ok(Me::SignedOut {
                        signin_url: None,
                        message: "not signed in".to_owned(),
                        skew: None,
                    });
                }
                Ok(Me::SignedIn(account))
            }
            Err(ApiError::Unauthorized {
                message,
                signin_url,
                skew,
                ..
            }) => Ok(Me::SignedOut {
                signin_url,
                message,
                skew,
            }),
            Err(error) => Err(error),
        }
    }

    /// What answers there, asked without a credential.
    ///
    /// # Errors
    /// When no answer comes, or one that says nothing (429, 5xx other than the stock server's own).
    pub async fn host_kind(&self) -> Result<HostKind, ApiError> {
        let stranger = self.unsigned();
        let request = stranger.request(Method::POST, "/api/me").harmless();
        match request.send().await {
            Ok(response) => {
                let object: Map<String, Value> =
                    json(response, &self.base().to_string(), Bounds::ACCOUNT).await?;
                let account = Account::from_object(&object);
                let account = (!account.name.is_empty()).then_some(account);
                Ok(HostKind::StockServer { account })
            }
            Err(ApiError::Unauthorized {
                signin_url,
                gateway,
                ..
            }) => {
                // Without a credential we have no key: a link that holds one holds the server's own.
                let names_a_key = signin_url.is_some_and(|url| url.contains("key="));
                if names_a_key {
                    return Ok(HostKind::StockServer { account: None });
                }
                Ok(HostKind::AccountHost { gateway })
            }
            Err(ApiError::TryLater {
                status: 503,
                message,
                ..
            }) if message == "account unavailable" => Ok(HostKind::StockServer { account: None }),
            Err(ApiError::NotFound { .. }) => Ok(HostKind::Other { status: 404 }),
            Err(ApiError::Status { status: 405, .. }) => Ok(HostKind::Other { status: 405 }),
            Err(error) => Err(error),
        }
    }

    /// `DELETE /api/user/keys/<encoded key>`: disconnects a device. To be called only for a host whose
    /// [`Session::host_kind`] is an account host. `false` when the host does not know the key (401, 404).
    ///
    /// # Errors
    /// Every other refusal, and no answer.
    pub async fn disconnect_device(&self, key: &PublicKey) -> Result<bool, ApiError> {
        let path = format!("/api/user/keys/{}", key.encoded());
        match self.request(Method::DELETE, &path).harmless().send().await {
            Ok(_) => Ok(true),
            Err(ApiError::Unauthorized { .. } | ApiError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `POST /api/signout` of a stock server: disconnects the server's own key. `false` when it was not signed in.
    ///
    /// # Errors
    /// Every other refusal, and no answer.
    pub async fn sign_out_server(&self) -> Result<bool, ApiError> {
        match self.request(Method::POST, "/api/signout").send().await {
            Ok(_) => Ok(true),
            Err(ApiError::Unauthorized { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the host accepts this session's API key, found out by what it withholds from a stranger.
    ///
    /// `/api/me` says it best. Where that does not tell (it is unverified whether ollama.com takes an API key there, and a plain
    /// bearer proxy in front of a stock server passes the question on), a path that needs the key does.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] when the key is refused; anything else that hindered the answer.
    pub async fn check_api_key(&self) -> Result<KeyCheck, ApiError> {
        let me = self.me().await;
        if let Ok(Me::SignedIn(account)) = &me {
            return Ok(match self.host_kind().await? {
                HostKind::StockServer { .. } => KeyCheck::NotAsked,
                _ => KeyCheck::Accepted(Some(account.clone())),
            });
        }
        if let Err(
            error @ (ApiError::Forbidden { .. }
            | ApiError::Redirect { .. }
            | ApiError::Unreachable { .. }),
        ) = me
        {
            return Err(error);
        }
        // ollama.com lists models to everyone, but its balance only to a key.
        let path = if self.base().is_ollama_com() {
            "/api/balance"
        } else {
            "/api/tags"
        };
        self.request(Method::GET, path).harmless().send().await?;
        match self
            .unsigned()
            .request(Method::GET, path)
            .harmless()
            .send()
            .await
        {
            Ok(_) => Ok(KeyCheck::NotAsked),
            Err(ApiError::Unauthorized { .. } | ApiError::Forbidden { .. }) => {
                Ok(KeyCheck::Accepted(None))
            }
            Err(error) => Err(error),
        }
    }
}

/// What a host thinks of an API key that it did not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyCheck {
    /// It is accepted; the account where the host names one.
    Accepted(Option<Account>),
    /// The host answers strangers too, so the key means nothing to it.
    NotAsked,
}
