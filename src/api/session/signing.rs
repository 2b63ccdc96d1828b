//! The `Authorization` header of a request, and the URL that it holds for.

use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use url::form_urlencoded;

use crate::address::BaseUrl;
use crate::api::credential::Credential;
use crate::api::error::ApiError;
use crate::api::host_facts::{ClockRule, HostFacts};
use crate::identity::Challenge;

/// The time that signatures name at a host, in Unix seconds.
pub(in crate::api) fn signing_time(facts: &HostFacts, rule: ClockRule, now: i64) -> i64 {
    let correction = if rule == ClockRule::Correct { facts.correction() } else { 0 };
    now.saturating_add(correction)
}

/// What [`Session::authorize`] does, for a host and its credential; `time` is what a signature names, in Unix seconds.
pub(in crate::api) fn authorize(
    base: &BaseUrl,
    credential: &Credential,
    time: i64,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<(String, Option<HeaderValue>), ApiError> {
    let (target, value) = sign(base, credential, time, method, path, query)?;
    Ok((base.join(&target), value))
}

/// The same with path and query, without the base path, in place of the URL.
pub(super) fn sign(
    base: &BaseUrl,
    credential: &Credential,
    time: i64,
    method: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<(String, Option<HeaderValue>), ApiError> {
    let (target, value) = match credential {
        Credential::None => return Ok((unsigned_target(path, query), None)),
        Credential::ApiKey(key) => {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
            (unsigned_target(path, query), value)
        }
        Credential::Workload(token) => {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.secret().expose_secret()));
            (unsigned_target(path, query), value)
        }
        Credential::Device(key) => {
            let challenge = Challenge::with_query(method, path, query, time);
            let value = HeaderValue::from_str(key.authorize(&challenge).expose());
            (challenge.target().to_owned(), value)
        }
    };
    let mut value = value.map_err(|_| ApiError::Unsendable { host: base.to_string() })?;
    value.set_sensitive(true);
    Ok((target, Some(value)))
}

/// Path and query of a request that is not signed.
pub(super) fn unsigned_target(path: &str, query: &[(&str, &str)]) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("{path}?{query}")
}
