//! `POST /settings/keys`: makes a key by the function that the API makes it by, and shows it in the answer, this once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::new::{self, Filled, Trouble};
use super::{made, models};
use crate::gateway::account::{self, Wanted};
use crate::gateway::pages::page_context::{Answer, ErrorPage, PageContext, SignedIn};
use crate::gateway::pages::reauthentication::{self, ReauthReason};
use crate::gateway::pages::state::Pages;
use crate::gateway::pages::text;
use crate::keyspec::{KeyId, Lifetime};

/// See the module.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> Answer {
    let mut form = context.form(body).await?;
    let Some(session) = context.signed_in() else { return Ok(context.redirect("/login?to=new-key")) };
    context.check_session(&session, &form)?;
    let id: KeyId = form.get("id").parse().map_err(|_| {
        let text = maud::html! { p { a href=(context.link(super::NEW)) { "Fill in a new form" } "." } };
        context.error_page(StatusCode::BAD_REQUEST, "The form is not complete", text)
    })?;
    // Said before anything is asked: whoever sent the form twice has nothing to mend in it.
    if let Some(twice) = sent_before(&context, &session, &id) {
        return Ok(twice);
    }
    let filled = Filled::of(id, &form);
    let wanted = match read(&filled) {
        Ok(wanted) => wanted,
        Err(trouble) => return Ok(new::page(&context, &session, &filled, Some(&trouble))),
    };
    if let Err((status, text)) = reauthentication::confirm(&context, &session, &mut form, ReauthReason::Key).await? {
        let trouble = Trouble { field: "password", status, text };
        return Ok(new::page(&context, &session, &filled, Some(&trouble)));
    }
    match pages.accounts.make(&session.caller, &wanted, context.address).await {
        Ok((record, key)) => Ok(made::page(&context, &session, &record, &key)),
        // Two at once: the other was faster.
        Err(rejection) if rejection.status() == 409 => {
            sent_before(&context, &session, &filled.id).ok_or_else(|| context.refused(&rejection))
        }
        Err(rejection) if matches!(rejection.status(), 400 | 403) => {
            let status = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let trouble = Trouble { field: "", status, text: text::sentence(&text::visible_long(rejection.message())) };
            // Perhaps the password was typed meanwhile; or the session has ended.
            let session: SignedIn =
                context.signed_in().ok_or_else(|| ErrorPage::from(context.redirect("/login?to=new-key")))?;
            Ok(new::page(&context, &session, &filled, Some(&trouble)))
        }
        Err(rejection) => Err(context.refused(&rejection)),
    }
}

/// The page for a form whose key is there already.
fn sent_before(context: &PageContext, session: &SignedIn, id: &KeyId) -> Option<Response> {
    let key = context.pages.directory.key_by_id(id).filter(|key| key.user == session.user().id)?;
    Some(made::again(context, &key))
}

fn read(filled: &Filled) -> Result<Wanted, Trouble> {
    let trouble = |field, text: String| Trouble { field, status: StatusCode::UNPROCESSABLE_ENTITY, text };
    let named = |field, text: &str| {
        account::name(field, text).map_err(|rejection| trouble(field, text::sentence(rejection.message())))
    };
    let name = named("name", &filled.name)?;
    if filled.scopes.is_empty() {
        return Err(trouble("scopes", "A key without rights could do nothing. Tick at least one.".to_owned()));
    }
    let models = models::read(&filled.models)
        .map_err(|error| trouble("models", text::sentence(&text::visible_long(&error.to_string()))))?;
    let life = new::LIVES.iter().find(|(value, _)| *value == filled.expires);
    let life = life.ok_or_else(|| trouble("expires", "Choose when the key ends.".to_owned()))?;
    let life = if life.0 == "never" { "never".parse() } else { format!("{}d", life.0).parse() };
    let expires_in = match life {
        Ok(Lifetime::Seconds(seconds)) => Some(seconds),
        Ok(Lifetime::Never) => None,
        Err(error) => return Err(trouble("expires", text::sentence(&format!("{error}")))),
    };
    let environment = match filled.environment.trim() {
        "" => None,
        text => Some(named("environment", text)?),
    };
    Ok(Wanted {
        id: Some(filled.id.to_string()),
        name: Some(name),
        environment,
        scopes: Some(filled.scopes),
        models: Some(models),
        expires_in: Some(expires_in),
        ..Wanted::default()
    })
}
