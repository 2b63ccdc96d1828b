//! The account endpoints, what a host is (account host, stock Ollama server, gateway), and how far its clock is off.
//!
//! A stock server answers `/api/me` for its own key, whatever the caller's credential, and disconnects *itself* on any
//! `DELETE /api/user/keys/…` (`docs/explanation/protocol.md`, "Traps"). So that request can only be made with an [`AccountHost`], a proof that is
//! used up by it, and whatever cannot be understood proves nothing.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use crate::api::body::{Bounds, json};
use crate::api::clock::{clock_offset, notable};
use crate::api::credential::Credential;
use crate::api::error::{ApiError, UserCode};
use crate::api::host_facts::GATEWAY_HEADER;
use crate::api::session::Session;
use crate::identity::{Account, DeviceKey, PublicKey};

/// The answer to "who am I?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Me {
    /// The host knows the credential.
    SignedIn(Account),
    /// The host does not know the credential, or none was sent.
    SignedOut {
        /// The sign-in link it offered, as sent.
        signin_url: Option<String>,
        /// The code of a gateway that can be typed in place of opening it.
        user_code: Option<UserCode>,
        /// How long it asks to wait until it offers one.
        retry_after: Option<Duration>,
        /// Its own words.
        message: String,
        /// Seconds by which our clock is ahead of the host's, when that is more than a minute.
        skew: Option<i64>,
    },
}

/// Proof that a host keeps accounts and that ours is among them: it refused a stranger without a credential and a stranger's
/// signature, each in the words of the protocol, and accepted this session. Only [`Session::check_credential`] makes one, and the
/// request that it allows uses it up, so that the proof is always fresh.
#[derive(Debug)]
pub struct AccountHost(());

/// Whether a host accepts the credential of a session.
#[derive(Debug)]
pub enum CredentialCheck {
    /// The host keeps accounts and accepts the credential.
    Accepted(AccountHost),
    /// The host keeps accounts and says that it does not know the credential.
    Unknown,
    /// It refused the credential, but perhaps for another reason than not knowing it: a clock that is off, or cannot be
    /// compared; words that are not the protocol's.
    Inconclusive(ApiError),
    /// It keeps no accounts.
    NoAccounts(HostKind),
}

/// A clock that is off by more seconds than this may be why a signature was refused. What ollama.com tolerates is unverified.
const CLOCK_TOLERANCE: i64 = 10;

/// What kind of host answers.
#[derive(Debug)]
pub enum HostKind {
    /// It refuses strangers: ollama.com, or a gateway.
    AccountHost,
    /// A stock Ollama server, which answers for its own key.
    StockServer,
    /// Something else, and how it answered.
    Other(String),
}

/// What shows that a host keeps accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Its word is enough, if it calls itself a gateway of ours.
    Word,
    /// It has to refuse a signature.
    Signature,
}

/// What became of a key that was to be disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disconnect {
    /// The host has disconnected it.
    Done,
    /// The host says that it does not know it.
    Unknown,
}

/// What a host thinks of an API key that it did not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiKeyCheck {
    /// It is accepted; the account where the host names one.
    Accepted(Option<Account>),
    /// The host answers strangers too, so the key means nothing to it.
    NotRequired,
}

impl Session<'_> {
    /// `POST /api/me`.
    ///
    /// # Errors
    /// Everything but a 401, which is [`Me::SignedOut`].
    pub async fn me(&self) -> Result<Me, ApiError> {
        match self.request(Method::POST, "/api/me").harmless().send().await {
            Ok(response) => {
                let object: Map<String, Value> = json(response, &self.base().to_string(), Bounds::ACCOUNT).await?;
                let account = Account::from_object(&object);
                // A host without a signed-in account answers 200 with an empty name (`docs/explanation/protocol.md`).
                if account.is_nobody() {
                    let message = "the account has no name".to_owned();
                    let (signin_url, user_code) = (None, None);
                    return Ok(Me::SignedOut { signin_url, user_code, retry_after: None, message, skew: None });
                }
                Ok(Me::SignedIn(account))
            }
            Err(ApiError::Unauthorized { signin_url, user_code, retry_after, message, clock_offset, .. }) => {
                let user_code = user_code.map(|code| *code);
                Ok(Me::SignedOut { signin_url, user_code, retry_after, message, skew: notable(clock_offset) })
            }
            Err(error) => Err(error),
        }
    }

    /// The kind of host: asked without a credential, then with the signature of a throwaway key that no host knows. The second request
    /// exposes a stock server that only checks for *some* credential. ollama.com needs none, nor does a gateway that names itself when it
    /// refuses the first request: there each key would be one more that asks for approval.
    ///
    /// # Errors
    /// When no answer comes, or one that says nothing (403, 429, 5xx other than the stock server's own).
    pub async fn host_kind(&self) -> Result<HostKind, ApiError> {
        self.kind_of_host(Proof::Word).await
    }

    async fn kind_of_host(&self, needed: Proof) -> Result<HostKind, ApiError> {
        let request = self.unsigned();
        match request.request(Method::POST, "/api/me").harmless().send().await {
            Ok(response) => {
                let answer = json::<Value>(response, &self.base().to_string(), Bounds::ACCOUNT).await;
                return Ok(match answer {
                    Ok(Value::Object(_) | Value::Null) => HostKind::StockServer,
                    _ => HostKind::Other("it answered POST /api/me with something that is not an account".to_owned()),
                });
            }
            Err(ApiError::Unauthorized { signin_url, recognised, from_gateway, .. }) => {
                if !recognised {
                    return Ok(HostKind::Other("it rejected POST /api/me, but not as Ollama does".to_owned()));
                }
                // Without a credential we have no key: a link that holds one holds the server's own.
                if signin_url.is_some_and(|link| key_in(&link).is_some()) {
                    return Ok(HostKind::StockServer);
                }
                if from_gateway && needed == Proof::Word {
                    return Ok(HostKind::AccountHost);
                }
            }
            Err(ApiError::TryLater { status: 503, message, .. }) if message == "account unavailable" => {
                return Ok(HostKind::StockServer);
            }
            Err(ApiError::NotFound { .. }) => {
                return Ok(HostKind::Other("it answered 404 to POST /api/me".to_owned()));
            }
            Err(ApiError::Status { status: 405, .. }) => {
                return Ok(HostKind::Other("it answered 405 to POST /api/me".to_owned()));
            }
            Err(error) => return Err(error),
        }
        if self.base().is_ollama_com() {
            return Ok(HostKind::AccountHost);
        }
        self.probe_with_unknown_key().await
    }

    async fn probe_with_unknown_key(&self) -> Result<HostKind, ApiError> {
        let Ok(stranger) = DeviceKey::generate() else {
            return Ok(HostKind::Other("no key could be created for the check".to_owned()));
        };
        let key = stranger.public().clone();
        let session = self.with_throwaway(Credential::Device(Arc::new(stranger)));
        Ok(match session.me().await? {
            Me::SignedIn(_) => HostKind::StockServer,
            Me::SignedOut { signin_url: Some(link), .. }
                if key_in(&link).is_some_and(|found| found != key.encoded()) =>
            {
                HostKind::StockServer
            }
            Me::SignedOut { .. } => HostKind::AccountHost,
        })
    }

    /// The kind of this session's host, and whether it accepts the credential.
    ///
    /// # Errors
    /// As for [`Session::host_kind`], and every refusal but a 401.
    pub async fn check_credential(&self) -> Result<CredentialCheck, ApiError> {
        match self.kind_of_host(Proof::Signature).await? {
            HostKind::AccountHost => {}
            other => return Ok(CredentialCheck::NoAccounts(other)),
        }
        match self.request(Method::POST, "/api/me").harmless().send().await {
            Ok(response) => {
                let answer = json::<Map<String, Value>>(response, &self.base().to_string(), Bounds::ACCOUNT).await?;
                let known = !Account::from_object(&answer).is_nobody();
                Ok(if known { CredentialCheck::Accepted(AccountHost(())) } else { CredentialCheck::Unknown })
            }
            Err(ApiError::Unauthorized { recognised: true, clock_offset: Some(offset), .. })
                if offset.abs() <= CLOCK_TOLERANCE =>
            {
                Ok(CredentialCheck::Unknown)
            }
            Err(error @ ApiError::Unauthorized { .. }) => Ok(CredentialCheck::Inconclusive(error)),
            Err(error) => Err(error),
        }
    }

    /// `DELETE /api/user/keys/<encoded key>`: disconnects a device. Sent once: another try takes another proof.
    ///
    /// # Errors
    /// No answer, a rejection, and a 404 that does not speak the protocol.
    pub async fn disconnect_device(&self, _proof: AccountHost, key: &PublicKey) -> Result<Disconnect, ApiError> {
        let path = format!("/api/user/keys/{}", key.encoded());
        match self.request(Method::DELETE, &path).send().await {
            Ok(_) => Ok(Disconnect::Done),
            Err(ApiError::NotFound { recognised: true, .. }) => Ok(Disconnect::Unknown),
            Err(error) => Err(error),
        }
    }

    /// `POST /api/signout` of a stock server: disconnects the server's own key. `false` when it was not signed in.
    ///
    /// # Errors
    /// Every other rejection, and no answer.
    pub async fn sign_out_server(&self) -> Result<bool, ApiError> {
        match self.request(Method::POST, "/api/signout").send().await {
            Ok(_) => Ok(true),
            Err(ApiError::Unauthorized { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the host accepts this session's API key, found out by what it withholds from a stranger. The key is not
    /// sent to a host that requires none.
    ///
    /// `/api/me` says it best. Where that does not tell (it is unverified whether ollama.com takes an API key there, and a plain
    /// bearer proxy in front of a stock server passes the question on), a path that needs the key does.
    ///
    /// # Errors
    /// [`ApiError::Unauthorized`] when the key is refused; any other error that prevented an answer.
    pub async fn check_api_key(&self) -> Result<ApiKeyCheck, ApiError> {
        // ollama.com lists models to everyone, but its balance only to a key.
        let path = if self.base().is_ollama_com() { "/api/balance" } else { "/api/tags" };
        let stranger = self.unsigned();
        let asked = match stranger.request(Method::POST, "/api/me").harmless().send().await {
            Err(ApiError::Unauthorized { signin_url, .. }) => signin_url.is_none_or(|link| key_in(&link).is_none()),
            Err(error @ (ApiError::Unreachable { .. } | ApiError::Redirect { .. })) => return Err(error),
            // No refusal for want of a credential: nothing that would call for the key.
            _ => false,
        };
        if asked && let Ok(Me::SignedIn(account)) = self.me().await {
            return Ok(ApiKeyCheck::Accepted(Some(account)));
        }
        match stranger.request(Method::GET, path).harmless().send().await {
            Ok(_) => return Ok(ApiKeyCheck::NotRequired),
            Err(ApiError::Unauthorized { .. } | ApiError::Forbidden { .. }) => {}
            Err(error) => return Err(error),
        }
        self.request(Method::GET, path).harmless().send().await?;
        Ok(ApiKeyCheck::Accepted(None))
    }
}

/// The key that a sign-in link carries, as it is written there. What cannot be read as a link cannot be trusted to hold none.
fn key_in(link: &str) -> Option<String> {
    let Ok(url) = url::Url::parse(link) else {
        return Some(String::new());
    };
    url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("key")).map(|(_, key)| key.into_owned())
}

/// What a host shows to everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Seconds by which this machine's clock is ahead of the host's (negative: behind), where the host sends its time. Its
    /// seconds are whole, and the request takes time: one or two mean nothing.
    pub clock_offset: Option<i64>,
    /// The version of the gateway, where it is one of ours.
    pub gateway: Option<String>,
}

impl Session<'_> {
    /// `HEAD /`, without the credential.
    ///
    /// # Errors
    /// No answer, and an answer that is not a success.
    pub async fn look(&self) -> Result<Look, ApiError> {
        let response = self.unsigned().request(Method::HEAD, "/").harmless().send().await?;
        Ok(Look {
            clock_offset: clock_offset(response.headers(), self.now()),
            gateway: gateway_version(response.headers()),
        })
    }
}

fn gateway_version(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(GATEWAY_HEADER)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_searched_for_a_key_and_not_for_letters() {
        assert_eq!(key_in("https://ollama.com/connect?name=x&key=abc").as_deref(), Some("abc"));
        assert_eq!(key_in("https://h/?Key=abc").as_deref(), Some("abc"));
        assert!(key_in("no link at all").is_some());
        assert_eq!(key_in("https://h/connect?monkey=1"), None);
    }
}
