//! A person who is signed in with a browser, recognised by the cookie of the session. Only the pages ask by it: a cookie opens no route of
//! the API.

use super::super::state::Gateway;
use super::{Caller, Credential};

/// Whose session a cookie is of, if the account is not disabled, and whether the password was typed lately.
pub fn identify(gateway: &Gateway, cookie: &str, now: i64) -> Option<(Caller, bool)> {
    let found = gateway.pages.session(cookie, now)?;
    let user = gateway.directory.user(found.user).filter(|user| !user.disabled)?;
    Some((Caller { user, credential: Credential::Session(found.ticket) }, found.fresh))
}
