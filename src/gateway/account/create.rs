//! `POST /api/user/keys`: a new API key, or a replacement of one that there is.
//!
//! A replacement has the rights of the key that it replaces and a life of the same length; both are valid until one of them ends. A
//! key may ask for its own replacement as long as it is replaceable; for another one of the account it takes the scope `keys` and
//! rights that cover those of the new key.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exchange;
use super::label::{check_life, check_replaced, longest_life, new_label};
use super::list::{Key, time_text};
use super::service::{AccountService, Request, manages, not_live, own_key, refuse_workload, unreadable};
use crate::gateway::authn::{Caller, credential_revoked, credential_suspended};
use crate::gateway::directory::Directory;
use crate::gateway::environments::Environments;
use crate::gateway::origin::Origin;
use crate::gateway::policy::read_small;
use crate::gateway::rejection::{Rejection, json_response};
use crate::gateway::store::{Change, Event, KeyRecord};
use crate::gateway::workload::WorkloadToken;
use crate::keyspec::{
    AddressList, ApiKey, KeyId, Lifetime, Limit, Models, Network, RequestLimits, Rights, Scope, Scopes,
};

/// In characters, of a key's name and of its environment.
pub const LONGEST_NAME: usize = 100;
/// Model patterns of a new key. Keys that were created before this limit keep theirs, and so do their replacements.
const MOST_PATTERNS: usize = 64;
/// All model patterns of a key together, in bytes.
const LONGEST_PATTERNS: usize = 4096;
/// Model patterns, and networks, that an event lists.
const MOST_SHOWN_PATTERNS: usize = 8;
/// Live keys of one account, so that a stolen key cannot fill the disk.
const MOST_KEYS: usize = 20_000;
/// Model patterns and networks of all live keys of an account together: they are in memory.
const MOST_PATTERNS_OF_ACCOUNT: usize = 50_000;

/// The requested properties of a new key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Chosen by the creator, who can then have it on record beforehand.
    pub id: Option<String>,
    /// For people; needed unless it replaces another.
    pub name: Option<String>,
    /// Where it is used, such as `ci`.
    pub environment: Option<String>,
    /// What it may do; nothing is `inference` and `models:read`.
    pub scopes: Option<Scopes>,
    /// Its model patterns; if absent, those of the key's creator.
    #[serde(default, deserialize_with = "few")]
    pub models: Option<Models>,
    /// In seconds; null means that it never expires, absent means 90 days.
    #[serde(default, deserialize_with = "given")]
    pub expires_in: Option<Option<u64>>,
    /// Whether it may ask for its own replacement.
    pub replaceable: Option<bool>,
    /// How much it may use; what is absent, as much as the key's creator.
    #[serde(default, deserialize_with = "limits")]
    pub limits: Option<RequestLimits>,
    /// From where it is accepted; nothing is from where the key's creator is.
    #[serde(default, deserialize_with = "networks")]
    pub from: Option<AddressList>,
    /// The id of a key: the new one gets the same rights and a life of the same length.
    pub replaces: Option<String>,
}

impl Wanted {
    /// Whether it says more than an id and a name.
    fn asks_for_rights(&self) -> bool {
        let rights = self.scopes.is_some() || self.models.is_some() || self.expires_in.is_some();
        let use_of_it = self.limits.is_some() || self.from.is_some();
        rights || use_of_it || self.replaceable.is_some() || self.environment.is_some()
    }
}

/// Tells null from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Reads model patterns, if they are not too many for a new key: each one takes a while.
fn few<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Models>, D::Error> {
    let patterns = Option::<Vec<String>>::deserialize(deserializer)?;
    if patterns.as_ref().is_some_and(|patterns| patterns.len() > MOST_PATTERNS) {
        return Err(serde::de::Error::custom(too_many_patterns()));
    }
    let read = |patterns: Vec<String>| patterns.iter().map(|pattern| pattern.parse()).collect::<Result<Models, _>>();
    patterns.map(read).transpose().map_err(serde::de::Error::custom)
}

/// Reads limits, of which none is 0 and all are known: one that is not understood would not be kept to.
fn limits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<RequestLimits>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        requests_per_minute: Option<u64>,
        burst: Option<u64>,
        streams: Option<u64>,
        request_size: Option<u64>,
        tokens_per_hour: Option<u64>,
        tokens_per_day: Option<u64>,
        tokens_per_month: Option<u64>,
    }
    let Some(given) = Option::<Given>::deserialize(deserializer)? else { return Ok(None) };
    let mut limits = RequestLimits::default();
    let Given { requests_per_minute, burst, streams, request_size, .. } = given;
    let Given { tokens_per_hour, tokens_per_day, tokens_per_month, .. } = given;
    let values = [requests_per_minute, burst, streams, request_size, tokens_per_hour, tokens_per_day, tokens_per_month];
    for (limit, value) in Limit::ALL.into_iter().zip(values) {
        let set = value.map_or(Ok(()), |value| limits.set(limit, value));
        set.map_err(|error| serde::de::Error::custom(format!("limits: {}: {error}", limit.name())))?;
    }
    Ok(Some(limits))
}

/// Reads networks, and says of which member they are.
fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<AddressList>, D::Error> {
    let networks = Option::<Vec<String>>::deserialize(deserializer)?;
    let read = |texts: Vec<String>| {
        texts.iter().map(|text| text.parse()).collect::<Result<Vec<Network>, _>>().and_then(AddressList::new)
    };
    networks.map(read).transpose().map_err(|error| serde::de::Error::custom(format!("from: {error}")))
}

fn too_many_patterns() -> String {
    format!("models: a new key can have at most {MOST_PATTERNS} model patterns")
}

impl AccountService {
    /// Makes the key and shows it, this once.
    ///
    /// # Errors
    /// As [`make`]; and 400 for what cannot be understood.
    pub async fn create(&self, caller: &Caller, request: Request<'_>) -> Result<Response<Body>, Rejection> {
        let wanted = read(request.body, request.headers).await?;
        // If the query contains it too, it was signed there.
        if let Some(signed) = request.target.parameter("id")
            && wanted.id.as_deref() != Some(signed)
        {
            return Err(Rejection::new(400, "the id in the query differs from the id in the body"));
        }
        let (record, key) = self.make(caller, &wanted, request.origin).await?;
        Ok(json_response(StatusCode::CREATED, &Made { shown: Key::of(&record), key: key.expose() }))
    }

    /// Creates the key, for every kind of caller. The key itself is only in the return value.
    ///
    /// # Errors
    /// 400 for what makes no sense, 403 for more than the caller has, 409 for an id that is taken and for a second replacement, 429 for a
    /// key that replaces itself too often. 409 also for a token that was exchanged before.
    pub async fn make(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        origin: Origin,
    ) -> Result<(KeyRecord, ApiKey), Rejection> {
        let id = match &wanted.id {
            Some(id) => id.parse().map_err(|error| Rejection::new(400, format!("id: {error}")))?,
            None => KeyId::generate().map_err(|_| no_random())?,
        };
        let key = ApiKey::generate().map_err(|_| no_random())?;
        let now = self.clock.now();
        let draft = Draft { id, now, user: caller.user().id, hash: key.hash(), hint: key.hint().to_owned() };
        let (record, action) = match &wanted.replaces {
            Some(replaced) => (replacement(&self.directory, caller, replaced, wanted, draft).await?, "key.replaced"),
            None => (new(caller, wanted, draft, &self.directory.environments())?, "key.created"),
        };
        self.check_room(&record, now)?;
        self.count_self_change(caller)?;
        let event = self
            .event(caller, origin, action, record.id.as_str())
            .charged_to(record.user)
            .with("name", &record.name)
            .with("environment", &record.environment)
            .with("replaces", &record.replaces)
            .with("scopes", record.rights.scopes)
            .with("models", shown_models(&record.rights.models))
            .with("limits", Some(record.rights.limits).filter(|limits| !limits.is_none()))
            .with("from", shown_addresses(&record.rights.addresses))
            .with("expires_at", record.rights.expires_at.map(time_text));
        let event = match &record.exchanged_for {
            Some(token) => Event { also: Some(exchange::event(token, &event).into()), ..event },
            None => event,
        };
        self.commit(Change::AddKey(Box::new(record.clone())), caller, event).await?;
        Ok((record, key))
    }
}

impl AccountService {
    /// Whether the account may have one more key: of those that are valid, whatever was created before.
    ///
    /// # Errors
    /// 403.
    fn check_room(&self, record: &KeyRecord, now: i64) -> Result<(), Rejection> {
        // A replacement shares those of the key that it replaces.
        let patterns = if record.replaces.is_some() { 0 } else { record.rights.entries() };
        // Below that many there is no need to look at each.
        if patterns == 0 && self.directory.count_keys(record.user) < MOST_KEYS {
            return Ok(());
        }
        let (live, used) = self.directory.count_live_keys(record.user, now);
        if live >= MOST_KEYS {
            return Err(Rejection::new(403, format!("this account has as many keys as allowed: {live}")));
        }
        if patterns > 0 && used + patterns > MOST_PATTERNS_OF_ACCOUNT {
            let message = format!(
                "the keys of this account would have more than {MOST_PATTERNS_OF_ACCOUNT} model patterns and networks together"
            );
            return Err(Rejection::new(403, message));
        }
        Ok(())
    }
}

/// The networks for an event: none if it is every address, a number if there are many.
fn shown_addresses(addresses: &AddressList) -> Option<Value> {
    match addresses.len() {
        0 => None,
        1..=MOST_SHOWN_PATTERNS => serde_json::to_value(addresses).ok(),
        many => Some(format!("{many} networks").into()),
    }
}

/// The model patterns for an event: none if it is every model, a number if there are many.
fn shown_models(models: &Models) -> Option<Value> {
    match models.patterns().len() {
        0 => None,
        1..=MOST_SHOWN_PATTERNS => serde_json::to_value(models).ok(),
        many => Some(format!("{many} patterns").into()),
    }
}

/// The answer. Never to be printed, since it holds the key.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    shown: Key<'a>,
    key: &'a str,
}

fn created_by(caller: &Caller) -> Option<Arc<str>> {
    Some(caller.actor().credential().into())
}

/// What every new record begins with.
struct Draft {
    id: KeyId,
    /// Unix seconds.
    now: i64,
    user: uuid::Uuid,
    hash: crate::keyspec::KeyHash,
    hint: String,
}

fn new(caller: &Caller, wanted: &Wanted, draft: Draft, environments: &Environments) -> Result<KeyRecord, Rejection> {
    let token = caller.workload();
    if !manages(caller) && token.is_none() {
        let message = "this key does not have the scope keys: it can only create its own replacement (`replaces`)";
        return Err(Rejection::new(403, message));
    }
    let lifetime = match wanted.expires_in {
        None => Lifetime::DEFAULT,
        Some(None) => Lifetime::Never,
        Some(Some(seconds)) => {
            Lifetime::from_seconds(seconds).map_err(|error| Rejection::new(400, format!("expires_in: {error}")))?
        }
    };
    let own = caller.rights();
    let scopes = wanted.scopes.unwrap_or_else(|| match token {
        Some(_) => own.scopes,
        None => [Scope::Inference, Scope::ModelsRead].into_iter().collect(),
    });
    let models = match &wanted.models {
        // No patterns: as many as the role allows. The client sends an empty list where none are chosen.
        None if own.models.is_all() => caller.role().usual_models(scopes),
        Some(models) if models.is_all() && own.models.is_all() => caller.role().usual_models(scopes),
        None => own.models.clone(),
        Some(models) => models.clone(),
    };
    if models.patterns().len() > MOST_PATTERNS {
        return Err(Rejection::new(400, too_many_patterns()));
    }
    if models.patterns().iter().map(|pattern| pattern.as_str().len()).sum::<usize>() > LONGEST_PATTERNS {
        return Err(Rejection::new(
            400,
            format!("models: the patterns are longer than {LONGEST_PATTERNS} bytes in total"),
        ));
    }
    let environment = wanted.environment.as_deref().map(|text| name("environment", text)).transpose()?;
    let environment = new_label(caller, environment, environments)?;
    let mut expires_at = lifetime.end(draft.now);
    // A key for which no end was asked ends with the one that made it, and with the longest life that the role allows.
    if wanted.expires_in.is_none() {
        let longest = caller.role().max_key_lifetime.map(|lifetime| draft.now.saturating_add(lifetime));
        let oldest = longest_life(environment.as_deref(), environments).map(|life| draft.now.saturating_add(life));
        expires_at = [expires_at, own.expires_at, longest, oldest].into_iter().flatten().min();
    }
    // Each that is left out is the creator's: so a limited key makes limited keys.
    let limits = wanted.limits.unwrap_or_default().or(own.limits);
    limits.check().map_err(|error| Rejection::new(400, format!("limits: {error}")))?;
    let addresses = wanted.from.clone().unwrap_or_default().or(&own.addresses);
    let rights = Rights { scopes, models, expires_at, limits, addresses };
    if rights.scopes.is_empty() {
        return Err(Rejection::new(400, "scopes: at least one scope is required"));
    }
    rights.within(&own).map_err(|error| Rejection::new(403, error.to_string()))?;
    let within_role = caller.role().check_key(&caller.user().role, &rights, draft.now);
    within_role.map_err(|error| Rejection::new(403, error))?;
    check_life(environment.as_deref(), &rights, draft.now, environments)?;
    if token.is_some() && wanted.replaceable == Some(true) {
        return Err(Rejection::new(403, "a key that a token is exchanged for is not replaceable"));
    }
    // A key that may not renew itself would do so by one that may.
    let may_renew = token.is_none() && own_key(caller).is_none_or(|own| own.replaceable);
    let replaceable = wanted.replaceable.unwrap_or(may_renew);
    if replaceable && !may_renew {
        return Err(Rejection::new(403, "this key is not replaceable, so it cannot create a replaceable key"));
    }
    let name = match (&wanted.name, token) {
        (None, Some(token)) => usual_name(token),
        (asked, _) => name("name", asked.as_deref().unwrap_or_default())?,
    };
    Ok(KeyRecord {
        id: draft.id,
        user: draft.user,
        name,
        environment,
        rights,
        hash: draft.hash,
        hint: draft.hint,
        replaceable,
        replaces: None,
        first: None,
        created_by: created_by(caller),
        exchanged_for: token.map(exchange::digest),
        created_at: draft.now,
        last_used_at: None,
        revoked_at: None,
        suspended: None,
    })
}

/// The name of a key for which none was asked.
fn usual_name(token: &WorkloadToken) -> String {
    let text = match &token.run {
        Some(run) => format!("{} {run}", token.rule.name),
        None => token.rule.name.to_string(),
    };
    // It comes from the token: what does not fit is left out.
    let text: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(LONGEST_NAME).collect();
    text.trim().to_owned()
}

/// The properties of the replacement of the key with the id `replaced`.
///
/// # Errors
/// 400 for an invalid id and for requested rights, 403 for what the caller may not do, 404 for a key that is not
/// on record or not the caller's, 409 for one that is no longer accepted.
async fn replacement(
    directory: &Directory,
    caller: &Caller,
    replaced: &str,
    wanted: &Wanted,
    draft: Draft,
) -> Result<KeyRecord, Rejection> {
    let replaced: KeyId = replaced.parse().map_err(|error| Rejection::new(400, format!("replaces: {error}")))?;
    let own = own_key(caller);
    let itself = own.is_some_and(|own| own.id == replaced);
    if !itself && !manages(caller) {
        refuse_workload(caller)?;
        return Err(Rejection::new(403, "this key does not have the scope keys: it can only replace itself"));
    }
    let old = directory.key_by_id(&replaced).await.map_err(|error| unreadable(&error))?;
    let old = old.filter(|key| key.user == caller.user().id);
    let old = old.ok_or_else(|| Rejection::new(404, format!("there is no key {replaced}")))?;
    if !old.is_live(draft.now) {
        // A key that replaces itself was accepted a moment ago.
        return Err(if itself { credential_revoked() } else { not_live(&replaced) });
    }
    if old.suspended.is_some() {
        return Err(credential_suspended("API key"));
    }
    if wanted.asks_for_rights() {
        return Err(Rejection::new(
            400,
            "a replacement has the rights of the key that it replaces: leave out scopes, models, limits, from, expires_in, replaceable and environment",
        ));
    }
    let life = old.rights.expires_at.map(|end| end.saturating_sub(old.created_at));
    let environments = directory.environments();
    check_replaced(caller, &old, &environments)?;
    let oldest = longest_life(old.environment.as_deref(), &environments);
    let life = life.into_iter().chain(caller.role().max_key_lifetime).chain(oldest).min();
    let rights = Rights { expires_at: life.map(|span| draft.now.saturating_add(span)), ..old.rights.clone() };
    if itself {
        if !old.replaceable {
            let message = "this key is not replaceable: its owner turned that off, or its expiry was brought forward";
            return Err(Rejection::new(403, message));
        }
    } else {
        rights.within(&caller.rights()).map_err(|error| Rejection::new(403, error.to_string()))?;
        // As where it makes a new one: a key that may not renew itself would do so by one that may.
        if old.replaceable && own.is_some_and(|own| !own.replaceable) {
            return Err(Rejection::new(403, "this key is not replaceable, so it cannot create a replaceable key"));
        }
    }
    let name = match &wanted.name {
        Some(text) => name("name", text)?,
        None => old.name.clone(),
    };
    Ok(KeyRecord {
        id: draft.id,
        name,
        rights,
        hash: draft.hash,
        hint: draft.hint,
        first: Some(old.first.clone().unwrap_or_else(|| old.id.clone())),
        replaces: Some(replaced),
        created_by: created_by(caller),
        exchanged_for: None,
        created_at: draft.now,
        last_used_at: None,
        revoked_at: None,
        ..(*old).clone()
    })
}

async fn read(body: Body, headers: &HeaderMap) -> Result<Wanted, Rejection> {
    let bytes = read_small(body, headers).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Rejection::new(400, format!("the request body cannot be read: {error}")))
}

/// A name that can be shown anywhere, without the spaces around it.
///
/// # Errors
/// 400 for one that is empty, too long or holds control characters.
pub fn name(what: &str, text: &str) -> Result<String, Rejection> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= LONGEST_NAME && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Rejection::new(400, format!("{what} must be one line of 1 to {LONGEST_NAME} characters")))
    }
}

fn no_random() -> Rejection {
    Rejection::new(500, "no random numbers from the operating system")
}
