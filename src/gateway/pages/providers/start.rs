//! `POST /oidc/NAME/start`: the way to the provider, for a sign-in, or to prove again who one is.

use axum::body::Body;
use axum::extract::Path;
use maud::html;

use super::{cookie, failed, find, leading_page, path, provider_of};
use crate::gateway::authn::digest_of_cookie;
use crate::gateway::pages::cookies::{self, CsrfPurpose};
use crate::gateway::pages::display::{ACCOUNT, AfterSignIn};
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::owns;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::providers::{Purpose, Transaction};

/// The field with the page from which a person goes to prove who they are.
pub const AGAIN: &str = "again";
/// In bytes.
const LONGEST_PATH: usize = 1000;

/// `POST /oidc/NAME/start`.
pub async fn submit(context: PageContext, Path(name): Path<String>, body: Body) -> PageResult {
    let provider = find(&context, &name)?;
    let form = context.form(body).await?;
    let mut transaction =
        Transaction::new(provider.name.as_str(), provider.issuer.as_str(), &provider.client_id, context.now)
            .map_err(|_| context.internal_error("no random bytes"))?;
    let session_cookie = cookies::read(&context.headers, &cookies::name(&context.public, CsrfPurpose::Session));
    transaction.session = session_cookie.as_deref().map(digest_of_cookie);
    match context.session().filter(|_| !form.get(AGAIN).is_empty()) {
        Some(session) => {
            context.verify_session_form(&session, &form)?;
            // Another provider could only say who somebody else is.
            if provider_of(&context, session.user()).is_none_or(|own| own.name != provider.name) {
                return Err(context.page_not_found());
            }
            transaction.purpose = Purpose::Again;
            transaction.path = own_page(form.get(AGAIN)).to_owned();
        }
        None => {
            context.verify_visitor_form(&form)?;
            transaction.path = AfterSignIn::from_form(&form).path();
        }
    }
    let redirect = context.public.join(&path(&provider, "callback"));
    let asked = context.pages.providers.client.authorization_url(&provider, &transaction, &redirect).await;
    let url = asked.map_err(|error| failed(&context, &provider, &error))?;
    let cookies = cookie::set(&context, &transaction).map_err(|_| context.internal_error("no random bytes"))?;
    let name = &provider.title;
    let text = html! { p { "If nothing happens, use the link." } };
    let mut page =
        leading_page(&context, &format!("Going to {name}"), text, url.as_str(), &format!("Continue to {name}"));
    page.headers_mut().extend(cookies);
    Ok(page)
}

/// The path of a page of ours, as a form holds it; the account's for anything else, so that no form can send a person elsewhere.
fn own_page(text: &str) -> &str {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    // Browsers read a backslash as a slash, and two slashes as the name of a host.
    let is_plain = text.len() <= LONGEST_PATH
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    let is_page = path.starts_with('/') && !path.contains("//") && owns(path) && !path.starts_with("/oidc/");
    if is_plain && is_page { text } else { ACCOUNT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_are_led_to() {
        for page in ["/settings/keys/new", "/connect?name=a%20b&key=c", "/admin/change?action=role&of=ada"] {
            assert_eq!(own_page(page), page);
        }
        for other in [
            "",
            "settings/keys",
            "//evil.example/settings/keys",
            "/\\evil.example",
            "https://evil.example/settings/keys",
            "/api/tags",
            "/settings//evil.example",
            "/oidc/company/start",
            "/connect?a=\"><script>",
            "/connect?a=\r\nSet-Cookie: a=b",
            &format!("/connect?{}", "a".repeat(2000)),
        ] {
            assert_eq!(own_page(other), ACCOUNT, "{other}");
        }
    }
}
