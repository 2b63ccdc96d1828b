//! The first administrator of a new gateway, made through a one-time link that `serve` prints.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use maud::html;
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::form::Form;
use super::layout::{self, Field, alert, hidden};
use super::page_context::{Answer, ErrorPage, PageContext};
use super::password_check::CheckError;
use super::{sign_in, text};
use crate::gateway::directory::Directory;
use crate::gateway::pages::state::Pages;
use crate::gateway::password::PasswordError;
use crate::gateway::store::{Change, Event, Role, User};

const LONGEST_EMAIL: usize = 254;

/// `GET /setup?token=…`.
pub async fn show(context: PageContext) -> Answer {
    let mut tokens = url::form_urlencoded::parse(context.query.as_bytes()).filter(|(name, _)| name == "token");
    let token = match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) => token.into_owned(),
        _ => String::new(),
    };
    check(&context, &token)?;
    page(&context, StatusCode::OK, &token, "", "", None)
}

fn check(context: &PageContext, token: &str) -> Result<(), ErrorPage> {
    if !context.pages.directory.is_empty() {
        return Err(gone(context));
    }
    if context.pages.is_setup_token(token) {
        return Ok(());
    }
    let text = html! {
        p { "It holds no valid token. Each start of the gateway makes a new one: use the link that it printed last, whole." }
    };
    Err(context.error_page(StatusCode::FORBIDDEN, "This link cannot be used", text))
}

fn gone(context: &PageContext) -> ErrorPage {
    let text = html! {
        p { "The first administrator has been made, and the link has done its work." }
        p { a href=(context.link("/login")) { "Sign in" } " with that account. An administrator can make more." }
    };
    context.error_page(StatusCode::GONE, "This gateway is set up", text)
}

/// `trouble` is the field that is wrong, and what is wrong with it.
fn page(
    context: &PageContext,
    status: StatusCode,
    token: &str,
    name: &str,
    email: &str,
    trouble: Option<(&str, &str)>,
) -> Answer {
    let visitor = context.visitor()?;
    let wrong = |field: &str| trouble.is_some_and(|(wrong, _)| wrong == field);
    let name = Field {
        name: "name",
        label: "Name",
        kind: "text",
        autocomplete: "username",
        value: name,
        hint: "Lower-case letters, digits, dots, dashes and underscores, such as ada.",
        longest: 64,
        optional: false,
        first: trouble.is_none() || wrong("name"),
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
        first: wrong("email"),
    };
    let password = Field {
        name: "password",
        label: "Password",
        kind: "password",
        autocomplete: "new-password",
        value: "",
        hint: "At least 8 characters. A few random words are easy to remember and hard to guess.",
        longest: 1024,
        first: wrong("password"),
        ..name
    };
    let again = Field { name: "again", label: "Password once more", hint: "", first: false, ..password };
    let content = html! {
        section.card.narrow {
            h1 { "Set up this gateway" }
            p.lead { "Make the first account. It is the administrator: it can approve devices and manage the other accounts." }
            (alert(trouble.map(|(_, text)| text)))
            form #setup method="post" action=(context.link("/setup")) {
                (hidden("csrf", &visitor.token))
                (hidden("token", token))
                (name.show(wrong("name")))
                (email.show(wrong("email")))
                (password.show(wrong("password")))
                (again.show(wrong("password")))
                div.actions { button.primary type="submit" { "Create the administrator" } }
            }
        }
    };
    let shown = layout::page(context, status, "Set up this gateway", None, content);
    Ok(visitor.greet(shown))
}

/// `POST /setup`.
pub async fn submit(State(pages): State<Arc<Pages>>, context: PageContext, body: Body) -> Answer {
    let mut form = context.form(body).await?;
    context.check_visitor(&form)?;
    check(&context, form.get("token"))?;
    let (password, repeated) = (form.secret("password"), form.secret("again"));
    let again = |form: &Form, field: &str, trouble: &str| {
        let (name, email) = (text::visible(form.get("name")), text::visible_long(form.get("email")));
        page(&context, StatusCode::UNPROCESSABLE_ENTITY, form.get("token"), &name, &email, Some((field, trouble)))
    };
    let (name, email) = (form.get("name").trim(), form.get("email").trim());
    if !text::is_user_name(name) {
        return again(
            &form,
            "name",
            "A name has 1 to 64 lower-case letters (a to z), digits, dots, dashes and underscores, and nothing else.",
        );
    }
    if !is_email(email) {
        return again(&form, "email", "That is no e-mail address. Correct it, or leave it out.");
    }
    if !bool::from(password.expose_secret().as_bytes().ct_eq(repeated.expose_secret().as_bytes())) {
        return again(&form, "password", "The two passwords differ. Type both once more.");
    }
    let moment = pages.sessions.checkpoint();
    let hash = match pages.passwords.hash(password).await {
        Ok(hash) => hash,
        Err(CheckError::Password(error @ (PasswordError::Short | PasswordError::Long))) => {
            return again(&form, "password", &format!("That cannot be the password: {error}."));
        }
        Err(CheckError::Busy) => {
            return again(&form, "password", "Too many passwords are being checked. Try again in a moment.");
        }
        Err(error) => return Err(context.broken(&error.to_string())),
    };
    let user = User {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        email: email.to_owned(),
        role: Role::Admin,
        disabled: false,
        created_at: context.now,
    };
    let event = Event {
        at: context.now,
        actor: format!("user:{name}"),
        action: "user.created",
        subject: name.to_owned(),
        detail: "the first administrator, by the setup link".to_owned(),
        address: context.address.to_string(),
    };
    let new = user.clone();
    let only_the_first = |directory: &Directory| directory.is_empty();
    match pages.directory.commit_if(Change::AddUser(new, Some(hash)), event, only_the_first).await {
        Ok(true) => sign_in::start(&context, &user, moment, "/account"),
        Ok(false) => Err(gone(&context)),
        Err(error) => Err(context.broken(&error.to_string())),
    }
}

/// Roughly: it is shown, and nothing is sent there.
fn is_email(text: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    let shaped = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    text.is_empty() || (text.len() <= LONGEST_EMAIL && shaped && text.chars().all(plain))
}
