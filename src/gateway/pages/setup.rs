//! The first administrator of a new gateway, made through a one-time link that `serve` prints.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use maud::html;
use uuid::Uuid;

use super::display::{ACCOUNT, AfterSignIn};
use super::error_page::{ErrorPage, PageResult};
use super::form::{Field, FieldError, Form, alert, hidden};
use super::page_context::PageContext;
use super::state::Pages;
use super::{display, layout, new_password, providers, sign_in};
use crate::gateway::directory::Directory;
use crate::gateway::store::{Actor, Change, Event, Role, User};
use crate::keyspec::RequestLimits;

/// The longest e-mail address, in bytes.
pub const LONGEST_EMAIL: usize = 254;

/// `GET /setup?token=…`.
pub async fn show(context: PageContext) -> PageResult {
    let token = context.parameter("token");
    verify_token(&context, &token)?;
    page(&context, &token, "", "", None)
}

fn verify_token(context: &PageContext, token: &str) -> Result<(), ErrorPage> {
    if !context.pages.directory.is_empty() {
        return Err(already_set_up(context));
    }
    if context.pages.is_setup_token(token) {
        return Ok(());
    }
    let text = html! {
        p { "Its token is wrong or incomplete. Each start of the gateway prints a new link: open the latest one, in full." }
    };
    Err(context.error_page(StatusCode::FORBIDDEN, "This link is not valid", text))
}

fn already_set_up(context: &PageContext) -> ErrorPage {
    let text = html! {
        p { "The first administrator exists, so this link is no longer valid." }
        p { a href=(context.link("/login")) { "Sign in" } " with that account. To add others, run this on the gateway's machine:" }
        pre { code { "ollama-auth gateway user add NAME" } }
    };
    context.error_page(StatusCode::GONE, "This gateway is already set up", text)
}

fn page(context: &PageContext, token: &str, name: &str, email: &str, error: Option<&FieldError>) -> PageResult {
    let visitor = context.visitor()?;
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let name = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "username",
        value: name,
        hint: "Lower-case letters, digits, dots, dashes and underscores, such as ada.",
        longest: 64,
        optional: false,
        autofocus: error.is_none() || is_wrong("name"),
    };
    let email = Field {
        name: "email",
        label: "E-mail",
        kind: "email",
        autocomplete: "email",
        value: email,
        hint: "",
        longest: LONGEST_EMAIL,
        optional: true,
        autofocus: is_wrong("email"),
    };
    let config = context.pages.config.get();
    let may_be_one = |role: &Role| config.roles.administrates(role);
    let has_providers = config.oidc.all().any(|provider| provider.roles().any(may_be_one));
    let content = html! {
        section.card.narrow {
            h1 { "Set up this gateway" }
            p.lead { "Create the first account. As an administrator it can manage the other accounts." }
            @if has_providers {
                p.hint { "Sign in as a person who is an administrator by the rules of the configuration." }
                (providers::buttons(context, &visitor.csrf_token, &AfterSignIn::Account))
            }
            @if !config.local_accounts && !has_providers {
                p.alert { "No rule of a provider makes anybody an administrator, and local-accounts is false. Change one of them in the configuration, then send SIGHUP to the gateway." }
            }
            @if config.local_accounts && has_providers { p.divider { span { "or with a password of this gateway" } } }
            (alert(error.map(|error| error.message.as_str())))
            @if config.local_accounts { form #setup method="post" action=(context.link("/setup")) {
                (hidden("csrf", &visitor.csrf_token))
                (hidden("token", token))
                (name.render(is_wrong("name")))
                (email.render(is_wrong("email")))
                (new_password::fields("Password", is_wrong(new_password::PASSWORD)))
                div.actions { button.primary type="submit" { "Create the administrator" } }
            } }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let shown = layout::page(context, status, "Set up this gateway", None, content);
    Ok(visitor.set_cookie(shown))
}

/// `POST /setup`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> PageResult {
    let mut form = context.form(body).await?;
    context.verify_visitor_form(&form)?;
    verify_token(&context, form.get("token"))?;
    if !pages.config.get().local_accounts {
        return Err(sign_in::local_accounts_are_off(&context));
    }
    let password = new_password::read(&mut form);
    let show_error = |form: &Form, error: &FieldError| {
        let (name, email) = (display::visible_name(form.get("name")), display::visible_text(form.get("email")));
        page(&context, form.get("token"), &name, &email, Some(error))
    };
    let show_again = |form: &Form, field: &'static str, message: &str| {
        show_error(form, &FieldError::new(field, StatusCode::UNPROCESSABLE_ENTITY, message))
    };
    let (name, email) = (form.get("name").trim(), form.get("email").trim());
    if !User::is_name(name) {
        let message = "Use 1 to 64 lower-case letters (a to z), digits, dots, dashes and underscores.";
        return show_again(&form, "name", message);
    }
    if !is_email(email) {
        return show_again(&form, "email", "This is not an e-mail address. Correct it, or leave the field empty.");
    }
    let password = match password {
        Ok(password) => password,
        Err(error) => return show_error(&form, &error),
    };
    let checkpoint = pages.sessions.checkpoint();
    let hash = match new_password::hash(&context, password).await? {
        Ok(hash) => hash,
        Err(error) => return show_error(&form, &error),
    };
    let user = User {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        email: email.to_owned(),
        role: Role::Admin,
        disabled: false,
        created_at: context.now,
        suspended: None,
        groups: Vec::new(),
        limits: RequestLimits::default(),
        addresses: Default::default(),
    };
    let event = Event::new(context.now, Actor::user(&user), "user.created", name)
        .of_account(&user)
        .from(context.origin)
        .with("role", &user.role)
        .with("by", "the setup link");
    let new = user.clone();
    let only_the_first = |directory: &Directory| directory.is_empty();
    match pages.directory.commit_if(Change::AddUser(new, Some(hash)), event, only_the_first).await {
        Ok(true) => sign_in::start_session(&context, &user, checkpoint, ACCOUNT).await,
        Ok(false) => Err(already_set_up(&context)),
        Err(error) => Err(context.internal_error(&error.to_string())),
    }
}

/// A rough check: the address is shown only, nothing is sent to it.
pub fn is_email(text: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace();
    let has_both_parts = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    text.is_empty() || (text.len() <= LONGEST_EMAIL && has_both_parts && text.chars().all(is_plain))
}
