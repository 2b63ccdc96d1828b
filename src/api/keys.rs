//! `/api/user/keys`: making, listing and revoking API keys. A gateway offers it; ollama.com is not known to.
//!
//! What changes something takes an [`AccountHost`], a proof made just before, since a stock server disconnects itself on any
//! `DELETE` here. Lists are read leniently, and within bounds, whatever the host sends.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::account::AccountHost;
use super::body::{Bounds, json, whole};
use super::error::{ApiError, Unreachable, seconds};
use super::session::Session;
use crate::keyspec::{AddressList, ApiKey, KeyId, Lifetime, LimitUse, Models, RequestLimits, Scopes};

const PATH: &str = "/api/user/keys";
/// Keys asked for at once: the most that a gateway gives.
const PAGE: usize = 1000;
/// The most pages that are read; a longer list is an error.
const PAGES: usize = 500;
/// Bytes of all pages together.
const LONGEST_LIST: usize = 64 << 20;
/// Characters of a cursor.
const LONGEST_CURSOR: usize = 4096;
/// Time for all pages together.
const LIST_TIME: Duration = Duration::from_secs(120);

/// A key to create.
#[derive(Debug, Clone, Serialize)]
pub struct NewKey {
    /// Its public id, chosen by the caller, so that it is on record before the key exists.
    #[serde(serialize_with = "as_text")]
    pub id: KeyId,
    /// What to call it.
    pub name: String,
    /// Where it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// With which models.
    pub models: Models,
    /// How much it may use. An older gateway must not be sent it.
    #[serde(skip_serializing_if = "RequestLimits::is_none")]
    pub limits: RequestLimits,
    /// From where it is accepted. An older gateway must not be sent it.
    #[serde(skip_serializing_if = "AddressList::is_empty")]
    pub from: AddressList,
    /// How long it lives; `None` is as long as the host decides: 90 days, or until the credential that creates it ends.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_seconds")]
    pub expires_in: Option<Lifetime>,
    /// Whether it may ask for a replacement of itself.
    pub replaceable: bool,
}

fn as_text<S: serde::Serializer>(id: &KeyId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

/// Seconds, or null for a key that never expires.
#[allow(clippy::ref_option, reason = "what serde hands over")]
fn as_seconds<S: serde::Serializer>(lifetime: &Option<Lifetime>, serializer: S) -> Result<S::Ok, S::Error> {
    match lifetime {
        Some(Lifetime::Seconds(seconds)) => serializer.serialize_u64(*seconds),
        Some(Lifetime::Never) | None => serializer.serialize_none(),
    }
}

/// A replacement to create, with the rights, the name and the lifetime of the key that it replaces.
#[derive(Debug, Serialize)]
struct Replacement<'a> {
    #[serde(serialize_with = "as_text")]
    id: &'a KeyId,
    #[serde(serialize_with = "as_text")]
    replaces: &'a KeyId,
}

/// An API key as its host describes it, without the key. Everything in it is the host's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// The public id.
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "or_nothing")]
    pub name: String,
    /// Where it is used.
    #[serde(default)]
    pub environment: Option<String>,
    /// Names of scopes, also those that we do not know.
    #[serde(default, deserialize_with = "or_nothing")]
    pub scopes: Vec<String>,
    /// Patterns of models; none is all models.
    #[serde(default, deserialize_with = "or_nothing")]
    pub models: Vec<String>,
    /// How much it may use, if the host says so.
    #[serde(default)]
    pub limits: Option<RequestLimits>,
    /// How much of these is used at the moment, if the host says so.
    #[serde(default, rename = "use")]
    pub used: Option<LimitUse>,
    /// The networks that it is accepted from; none is every address.
    #[serde(default, deserialize_with = "or_nothing")]
    pub from: Vec<String>,
    /// The key's last four characters.
    #[serde(default, deserialize_with = "or_nothing")]
    pub hint: String,
    /// The credential that created it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    /// When it ends; `None` is never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, as far as is known.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// Since when an administrator of the host has suspended it.
    #[serde(default)]
    pub suspended_at: Option<Timestamp>,
    /// What that administrator said.
    #[serde(default)]
    pub suspended_reason: Option<String>,
    /// Whether it may ask for a replacement of itself.
    #[serde(default, deserialize_with = "or_nothing")]
    pub replaceable: bool,
    /// The id of the key that it replaces.
    #[serde(default)]
    pub replaces: Option<String>,
    /// It is the key that asked.
    #[serde(default, rename = "self", deserialize_with = "or_nothing")]
    pub is_self: bool,
}

/// Go writes an empty list as `null`.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A key that was made.
#[derive(Debug)]
pub struct CreatedKey {
    /// The key, which the host shows only once.
    pub key: ApiKey,
    /// What the host says of it.
    pub entry: KeyEntry,
}

/// What became of a key that was to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked now, or was before.
    Done,
    /// The host says that it knows no such key.
    Unknown,
}

/// One page of the list.
#[derive(Deserialize)]
struct Page<'a> {
    /// Taken apart once each, and only if they are keys: what else there is may have any shape.
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
    #[serde(default)]
    next: Option<String>,
}

/// What an entry describes, where it says so.
#[derive(Deserialize)]
struct Described<'a> {
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
}

/// The key in the answer to its making.
#[derive(Deserialize)]
struct Secret<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
}

impl Session<'_> {
    /// `GET /api/user/keys`, page by page: the API keys that this credential may see, in the host's order. Revoked ones are
    /// among them only if asked for. Entries of other kinds are left out.
    ///
    /// # Errors
    /// No answer, a rejection, an answer that is not a list of keys or has no end.
    pub async fn api_keys(&self, revoked: bool) -> Result<Vec<KeyEntry>, ApiError> {
        tokio::time::timeout(LIST_TIME, self.all_pages(revoked)).await.unwrap_or_else(|_| {
            Err(ApiError::Unreachable {
                host: self.base().to_string(),
                reason: format!("its list of keys did not end within {}", seconds(LIST_TIME)),
                kind: Unreachable::Timeout,
            })
        })
    }

    async fn all_pages(&self, revoked: bool) -> Result<Vec<KeyEntry>, ApiError> {
        let mut entries = Vec::new();
        let mut cursors = HashSet::new();
        let (mut after, mut size) = (None::<String>, 0);
        for _ in 0..PAGES {
            let mut request = self.request(Method::GET, PATH).query("limit", PAGE.to_string()).harmless();
            if revoked {
                request = request.query("revoked", "true");
            }
            if let Some(cursor) = after.take() {
                request = request.query("after", cursor);
            }
            let host = self.base().to_string();
            let body = whole(request.send().await?, &host, Bounds::KEYS).await?;
            size += body.len();
            if size > LONGEST_LIST {
                return Err(self.protocol_error(format!("its list of keys is larger than {} MiB", LONGEST_LIST >> 20)));
            }
            let page: Page<'_> = serde_json::from_slice(&body)
                .map_err(|error| self.protocol_error(format!("cannot read its list of keys: {error}")))?;
            for entry in page.keys {
                entries.extend(self.entry(entry)?);
            }
            match page.next.filter(|next| !next.is_empty()) {
                None => return Ok(entries),
                Some(next) if next.len() > LONGEST_CURSOR => {
                    return Err(self.protocol_error("its list of keys continues at a cursor that is too long"));
                }
                Some(next) if !cursors.insert(next.clone()) => {
                    return Err(self.protocol_error("its list of keys repeats a cursor"));
                }
                next => after = next,
            }
        }
        Err(self.protocol_error(format!("its list of keys does not end after {PAGES} pages")))
    }

    fn entry(&self, entry: &RawValue) -> Result<Option<KeyEntry>, ApiError> {
        // An entry whose kind is missing or not text is not a key of a gateway, and is skipped.
        let is_key =
            serde_json::from_str::<Described<'_>>(entry.get()).is_ok_and(|it| it.kind.as_deref() == Some("api-key"));
        if !is_key {
            return Ok(None);
        }
        match serde_json::from_str(entry.get()) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) => Err(self.protocol_error(format!("cannot read an entry of its list of keys: {error}"))),
        }
    }

    /// `POST /api/user/keys`. Sent once. After an error of which [`ApiError::leaves_doubt`] is true the key may exist.
    ///
    /// # Errors
    /// No answer, a rejection, and an answer without the key that was asked for.
    pub async fn create_key(&self, _proof: AccountHost, new: &NewKey) -> Result<CreatedKey, ApiError> {
        self.make(&new.id, new).await
    }

    /// `POST /api/user/keys` with `replaces`: a key of the id `new_id` in place of `replaces`, which stays valid beside it. Sent once.
    /// After an error of which [`ApiError::leaves_doubt`] is true the key may exist.
    ///
    /// # Errors
    /// As for [`create_key`](Self::create_key). [`ApiError::Conflict`] says that the id is taken (by a request whose answer was lost,
    /// perhaps), that there is a replacement already, and which, or that the key to be replaced is accepted no longer.
    pub async fn replace_key(
        &self,
        _proof: AccountHost,
        new_id: &KeyId,
        replaces: &KeyId,
    ) -> Result<CreatedKey, ApiError> {
        let made = self.make(new_id, &Replacement { id: new_id, replaces }).await?;
        if made.entry.replaces.as_deref() != Some(replaces.as_str()) {
            return Err(self.protocol_error(format!("it contains a key that does not replace {replaces}")));
        }
        Ok(made)
    }

    async fn make(&self, id: &KeyId, what: &impl Serialize) -> Result<CreatedKey, ApiError> {
        // A signature covers no body, and a gateway takes it once: with the id in the query it is good for this key alone, and two keys
        // can be made within one second.
        let request = self.request(Method::POST, PATH).query("id", id.as_str());
        let response = request.json(what)?.send().await?;
        let body = Zeroizing::new(whole(response, &self.base().to_string(), Bounds::KEYS).await?);
        // What the parser says may quote what it read, and that holds the key.
        let unreadable = |_| self.protocol_error("it is not a description of a key");
        let secret: Secret<'_> = serde_json::from_slice(&body).map_err(unreadable)?;
        let entry: KeyEntry = serde_json::from_slice(&body).map_err(unreadable)?;
        if secret.key.is_empty() {
            return Err(self.protocol_error("it contains no key"));
        }
        if entry.id != id.as_str() {
            let other =
                entry.id.parse::<KeyId>().map_or_else(|_| "without an id".to_owned(), |id| format!("with the id {id}"));
            return Err(self.protocol_error(format!("it contains a key {other} instead of {id}")));
        }
        let key =
            ApiKey::parse(&secret.key).map_err(|error| self.protocol_error(format!("its key is invalid: {error}")))?;
        Ok(CreatedKey { key, entry })
    }

    /// `DELETE /api/user/keys/<encoded id>`. Sent once: another try takes another proof.
    ///
    /// # Errors
    /// No answer, a rejection, and whatever does not say plainly that the key is revoked or unknown. Such a 404 is
    /// [`ApiError::NotFound`]: the key may still be valid.
    pub async fn revoke_key(&self, _proof: AccountHost, id: &KeyId) -> Result<Revocation, ApiError> {
        let path = format!("{PATH}/{}", id.encoded());
        match self.request(Method::DELETE, &path).send().await {
            Ok(response) if matches!(response.status(), StatusCode::OK | StatusCode::NO_CONTENT) => {
                Ok(Revocation::Done)
            }
            Ok(response) => Err(self.protocol_error(format!("a status of {}", response.status().as_u16()))),
            Err(error) if self.is_unknown_key(&error) => Ok(Revocation::Unknown),
            Err(error) => Err(error),
        }
    }

    /// `PATCH /api/user/keys/<encoded id>`: lets a key end `seconds` (1 to ten years) from now, or when it would have ended if that is
    /// sooner; from then on it cannot ask for a replacement. Gives the key as it is then, or `None` when the host says that it knows no
    /// such key. Sent once; asking again never makes the end later.
    ///
    /// # Errors
    /// No answer, a rejection, and whatever does not say plainly when that key ends: it may live on, after a 404 or 405 of a host that is
    /// not known to offer this too.
    pub async fn expire_key(
        &self,
        _proof: AccountHost,
        id: &KeyId,
        seconds: u64,
    ) -> Result<Option<KeyEntry>, ApiError> {
        let path = format!("{PATH}/{}", id.encoded());
        // In the query, which a signature covers, and not in a body, which none does.
        let response = match self.request(Method::PATCH, &path).query("expires_in", seconds.to_string()).send().await {
            Ok(response) => response,
            Err(error) if self.is_unknown_key(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let entry: KeyEntry = json(response, &self.base().to_string(), Bounds::KEYS).await?;
        if entry.id != id.as_str() {
            return Err(self.protocol_error(format!("it describes another key than {id}")));
        }
        if entry.expires_at.is_none() && entry.revoked_at.is_none() {
            return Err(self.protocol_error(format!("it contains no expiry of the key {id}")));
        }
        Ok(Some(entry))
    }

    /// Whether that is a host's plain word that it has no key of this id. At ollama.com, which is not known to have this, it may
    /// say that there is no such path.
    fn is_unknown_key(&self, error: &ApiError) -> bool {
        matches!(error, ApiError::NotFound { recognised, from_gateway, .. }
            if *from_gateway || (*recognised && !self.base().is_ollama_com()))
    }

    fn protocol_error(&self, reason: impl Into<String>) -> ApiError {
        ApiError::Protocol { host: self.base().to_string(), reason: reason.into() }
    }
}
