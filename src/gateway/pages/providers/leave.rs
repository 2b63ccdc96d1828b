//! Signing out at the provider too, after a sign-out here (OpenID Connect RP-Initiated Logout 1.0).

use axum::response::Response;
use maud::html;

use super::{leading_page, provider_of};
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::store::User;

/// The page that leads to the provider's; `None` where the person does not sign in at one, or it has none. The sign-out here is done.
pub async fn page(context: &PageContext, user: &User) -> Option<Response> {
    let provider = provider_of(context, user)?;
    let back = context.public.join("/");
    match context.pages.providers.client.end_session_url(&provider, &back).await {
        Ok(Some(url)) => {
            let name = &provider.title;
            let text = html! { p { "You are signed out of this gateway. If nothing happens, use the link." } };
            let (title, label) = (format!("Signing out of {name}"), format!("Sign out of {name}"));
            Some(leading_page(context, &title, text, url.as_str(), &label))
        }
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(%error, provider = provider.name.as_str(), "the provider could not be asked where to sign out");
            None
        }
    }
}
