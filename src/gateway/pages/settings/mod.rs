//! `/settings/keys`: the keys and devices of an account, seen and managed by the person whose it is.
//!
//! Who may do what is said by `account`, as for the API: what is here are forms and words.

mod create;
mod disconnect;
mod list;
mod made;
mod models;
mod new;
mod revoke;
mod scopes;
mod script;
mod state;

pub use create::submit;
pub use disconnect::{ask as ask_to_disconnect, submit as disconnect};
pub use list::show;
pub use new::show as show_form;
pub use revoke::{ask as ask_to_revoke, submit as revoke};
pub use script::{Scripted, serve as script};

use super::page_context::{Answer, ErrorPage, PageContext, SignedIn};

/// Where all of it is.
pub const KEYS: &str = "/settings/keys";
/// Where a key is made.
pub const NEW: &str = "/settings/keys/new";
/// Where a key is revoked.
pub const REVOKE: &str = "/settings/keys/revoke";
/// Where a device is disconnected.
pub const DISCONNECT: &str = "/settings/devices/disconnect";

/// `GET /settings/devices`: they are on the same page.
pub async fn devices(context: PageContext) -> Answer {
    Ok(context.redirect("/settings/keys#devices"))
}

/// Who is signed in, or the way to the sign-in, which leads back.
///
/// # Errors
/// For who is not.
fn signed_in(context: &PageContext) -> Result<SignedIn, ErrorPage> {
    let to = if context.path == NEW { "/login?to=new-key" } else { "/login?to=keys" };
    context.signed_in().ok_or_else(|| ErrorPage::from(context.redirect(to)))
}
