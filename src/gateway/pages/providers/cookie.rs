//! The cookie of a sign-in at a provider that is under way: one for each, so that several tabs do not disturb each other, and few, so that
//! a browser's requests do not grow.
//!
//! It is `SameSite=Lax`: the browser has to send it when the provider leads back to us.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::address::{BaseUrl, Scheme};
use crate::gateway::pages::cookies;
use crate::gateway::pages::page_context::{PageContext, header_value};
use crate::gateway::providers::{MAX_AGE, Transaction};

const NAME: &str = "ollama-auth-signin-";
/// Sign-ins of one browser at a time.
const MOST: usize = 5;

/// The name of the cookie for a sign-in with that state.
fn name(public: &BaseUrl, state: &str) -> String {
    let digest = Sha256::digest(state);
    let id: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    cookies::full_name(public, &format!("{NAME}{id}"))
}

/// The `Set-Cookie` headers that give a browser this sign-in, and take its oldest others from it.
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn set(context: &PageContext, transaction: &Transaction) -> Result<HeaderMap, getrandom::Error> {
    let name = name(&context.public, &transaction.state);
    let value = context.pages.providers.transactions.seal(&name, transaction)?;
    let mut headers = HeaderMap::new();
    headers.append(SET_COOKIE, write(&context.public, &name, &value, MAX_AGE));
    let mut others = all(context);
    others.sort_by_key(|(_, since)| std::cmp::Reverse(*since));
    for (name, _) in others.iter().skip(MOST - 1) {
        headers.append(SET_COOKIE, write(&context.public, name, "", 0));
    }
    Ok(headers)
}

/// The `Set-Cookie` that takes it from the browser.
pub fn remove(context: &PageContext, state: &str) -> HeaderValue {
    write(&context.public, &name(&context.public, state), "", 0)
}

/// What the browser's cookie for that state holds.
pub fn find(context: &PageContext, state: &str) -> Option<Transaction> {
    let name = name(&context.public, state);
    let mut values = pairs(&context.headers).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    // Only one of two can be ours.
    if values.next().is_some() {
        return None;
    }
    context.pages.providers.transactions.open(&name, value, context.now)
}

/// The names of all, and since when each is there; 0 for those that are over or not ours.
fn all(context: &PageContext) -> Vec<(String, i64)> {
    let prefix = cookies::full_name(&context.public, NAME);
    // Over plain http the port is behind the name.
    let prefix = prefix.split(NAME).next().unwrap_or_default().to_owned() + NAME;
    let ours = pairs(&context.headers).filter(|(name, _)| name.starts_with(&prefix));
    ours.map(|(name, value)| {
        let found = context.pages.providers.transactions.open(name, value, context.now);
        (name.to_owned(), found.map_or(0, |transaction| transaction.since))
    })
    .collect()
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

fn write(public: &BaseUrl, name: &str, value: &str, max_age: i64) -> HeaderValue {
    let secure = if public.scheme() == Scheme::Https { "; Secure" } else { "" };
    let path = if public.path().is_empty() { "/" } else { public.path() };
    header_value(&format!("{name}={value}; Max-Age={max_age}; Path={path}; HttpOnly; SameSite=Lax{secure}"))
}
