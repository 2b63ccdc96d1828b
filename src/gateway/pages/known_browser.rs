//! The cookie of a browser in which a person has signed in before. The attempts of such a browser to sign in are counted apart from
//! those of others, so that wrong passwords from the same address lock its owner out no more.
//!
//! It is valid for one account and its current password: 16 random bytes, and 16 bytes of an HMAC of them under the stored hash of the
//! password. So it outlives a restart, nothing has to be stored, and only who knows the password can get one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::cookies;
use super::page_context::{PageContext, header_value};
use crate::gateway::password::PasswordHash;
use crate::gateway::secret;

const NAME: &str = "ollama-auth-browser";
/// How long a browser keeps it, in seconds: 180 days from the last sign-in.
const LIFETIME: u32 = 180 * 24 * 60 * 60;
/// Of the random part, and of the HMAC.
const HALF: usize = 16;

/// The cookie of the browser, if a sign-in to the account of that name set it and the password has not changed since.
pub async fn find(context: &PageContext, name: &str) -> Option<String> {
    let cookie = cookies::read(&context.headers, &cookies::full_name(&context.public, NAME))?;
    let bytes = URL_SAFE_NO_PAD.decode(&cookie).ok().filter(|bytes| bytes.len() == 2 * HALF)?;
    let directory = &context.pages.directory;
    // An unknown name is looked up too, so that it takes as long.
    let user = directory.user_by_name(name).map_or(Uuid::nil(), |user| user.id);
    let hash = directory.password(user).await.ok()??;
    let (random, mac) = bytes.split_at_checked(HALF)?;
    bool::from(mac.ct_eq(&code(&hash, user, random))).then_some(cookie)
}

/// The `Set-Cookie` for a browser in which this account has just signed in; `None` when it cannot be made, which only means that
/// the browser is not known the next time.
pub async fn set(context: &PageContext, user: Uuid) -> Option<HeaderValue> {
    let hash = context.pages.directory.password(user).await.ok()??;
    let mut random = [0; HALF];
    getrandom::fill(&mut random).ok()?;
    let value = URL_SAFE_NO_PAD.encode([random, code(&hash, user, &random)].concat());
    let (name, attributes) = (cookies::full_name(&context.public, NAME), cookies::attributes(&context.public));
    Some(header_value(&format!("{name}={value}; Max-Age={LIFETIME}; {attributes}")))
}

fn code(hash: &PasswordHash, user: Uuid, random: &[u8]) -> [u8; HALF] {
    let mut mac = secret::mac(&Zeroizing::new(Sha256::digest(hash.expose()).into()));
    mac.update(b"known browser\0");
    mac.update(user.as_bytes());
    mac.update(random);
    let mut half = [0; HALF];
    half.copy_from_slice(&mac.finalize().into_bytes()[..HALF]);
    half
}
