//! `GET /settings/keys/new`: the form for a new key.
//!
//! It carries the id that the key will have. A form that is sent twice asks for the same id twice, and gets one key.

use http::StatusCode;
use maud::{Markup, html};

use super::{KEYS, scopes, signed_in};
use crate::gateway::account::LONGEST_NAME;
use crate::gateway::pages::form::Form;
use crate::gateway::pages::layout::{self, Field, alert, hidden};
use crate::gateway::pages::page_context::{Answer, PageContext, SignedIn};
use crate::gateway::pages::reauthentication::{self, ReauthReason};
use crate::gateway::pages::text;
use crate::keyspec::{KeyId, Scopes};

/// The choices for its life: what the form says, and for people.
pub const LIVES: [(&str, &str); 4] = [("30", "30 days"), ("90", "90 days"), ("365", "365 days"), ("never", "Never")];

/// What is in the form.
pub struct Filled {
    /// The id of the key to be.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// Where it is used.
    pub environment: String,
    /// The patterns.
    pub models: String,
    /// One of [`LIVES`].
    pub expires: String,
    /// What is ticked.
    pub scopes: Scopes,
}

impl Filled {
    /// As it was sent.
    pub fn of(id: KeyId, form: &Form) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        let (name, environment, models) = (text("name"), text("environment"), text("models"));
        Self { id, name, environment, models, expires: text("expires"), scopes: scopes::read(form) }
    }
}

/// What is wrong with it, and with which field.
pub struct Trouble {
    /// The name of the field.
    pub field: &'static str,
    /// The status to answer with.
    pub status: StatusCode,
    /// For the person.
    pub text: String,
}

/// The form, empty.
pub async fn show(context: PageContext) -> Answer {
    let session = signed_in(&context)?;
    let id = KeyId::generate().map_err(|_| context.broken("no random bytes"))?;
    let (name, environment, models) = Default::default();
    let filled = Filled { id, name, environment, models, expires: "90".to_owned(), scopes: scopes::usual() };
    Ok(page(&context, &session, &filled, None))
}

/// The form, with what was filled in and what is wrong with it.
pub fn page(
    context: &PageContext,
    session: &SignedIn,
    filled: &Filled,
    trouble: Option<&Trouble>,
) -> axum::response::Response {
    let wrong = |field: &str| trouble.is_some_and(|trouble| trouble.field == field);
    let (name, environment) = (text::visible_long(&filled.name), text::visible_long(&filled.environment));
    let content = html! {
        section.card.form {
            div {
                h1 { "Create an API key" }
                p.hint { "It is shown once, when it has been made." }
            }
            (alert(trouble.map(|trouble| trouble.text.as_str())))
            form #create-key method="post" action=(context.link(KEYS)) {
                (hidden("csrf", &context.token(session)))
                (hidden("id", filled.id.as_str()))
                (Field {
                    name: "name",
                    label: "Name",
                    kind: "text",
                    autocomplete: "off",
                    value: &name,
                    hint: "What it is for, such as “nightly summaries”.",
                    longest: LONGEST_NAME,
                    optional: false,
                    first: trouble.is_none() || wrong("name"),
                }.show(wrong("name")))
                (scopes::boxes(session.caller.rights().scopes, filled.scopes, wrong("scopes")))
                (patterns(&filled.models, wrong("models")))
                (lives(context, &filled.expires, wrong("expires")))
                (Field {
                    name: "environment",
                    label: "Environment",
                    kind: "text",
                    autocomplete: "off",
                    value: &environment,
                    hint: "Where it is used, such as ci or prod.",
                    longest: LONGEST_NAME,
                    optional: true,
                    first: wrong("environment"),
                }.show(wrong("environment")))
                @if !session.fresh {
                    (reauthentication::field(ReauthReason::Key, wrong("password")))
                }
                div.actions {
                    button.primary type="submit" { "Create the key" }
                    a.button.quiet href=(context.link(KEYS)) { "Cancel" }
                }
            }
        }
    };
    let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
    let title = if trouble.is_some() { "Not yet: create an API key" } else { "Create an API key" };
    layout::page(context, status, title, Some(session), content)
}

fn patterns(text: &str, wrong: bool) -> Markup {
    html! {
        div.field {
            label for="models" { "Models" " " span.optional { "optional" } }
            textarea id="models" name="models" rows="2" maxlength="4096" autocapitalize="none" spellcheck="false"
                aria-describedby={ "models-hint" @if wrong { " trouble" } } aria-invalid=[wrong.then_some("true")]
                autofocus[wrong] { "\n" (text) }
            p.hint #models-hint {
                "Only those that it may use, one on a line: " code { "llama3.2" } ", " code { "qwen3:*" } ", "
                code { "me/**" } ". Left empty, it may use all."
            }
        }
    }
}

fn lives(context: &PageContext, chosen: &str, wrong: bool) -> Markup {
    html! {
        fieldset aria-describedby=[wrong.then_some("trouble")] {
            legend { "When it ends" }
            div.lives {
                @for (value, label) in LIVES {
                    @let id = format!("expires-{value}");
                    label.choice for=(id) {
                        input type="radio" id=(id) name="expires" value=(value) checked[value == chosen] required;
                        span { (label) }
                        span.hint {
                            @match value.parse::<i64>() {
                                Ok(days) => { (text::day(context.now + days * 86_400)) }
                                Err(_) => { "until it is revoked" }
                            }
                        }
                    }
                }
            }
        }
    }
}
