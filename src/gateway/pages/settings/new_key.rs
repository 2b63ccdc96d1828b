//! The form for a new key: its name, rights, models, expiry, limits, addresses and environment.
//!
//! It carries the id that the key will have. A form that is sent twice asks for the same id twice, and gets one key.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use crate::gateway::account::LONGEST_NAME;
use crate::gateway::pages::display::{KEYS, NEW_KEY};
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::form::{Field, FieldError, Form, alert, hidden};
use crate::gateway::pages::page_context::{BrowserSession, PageContext};
use crate::gateway::pages::reauthentication::{self, ReauthReason};
use crate::gateway::pages::{display, layout};
use crate::keyspec::{KeyId, LimitValue, Models, PatternError, RequestLimits, Scope, Scopes};

/// The lifetimes to choose from: days or `never` in the form, and the label.
pub const LIFETIMES: [(&str, &str); 4] =
    [("30", "30 days"), ("90", "90 days"), ("365", "365 days"), ("never", "Never")];

/// Characters of the limits.
const LONGEST_LIMITS: usize = 200;
/// Characters of the addresses: as many networks as a key can have, and more.
const LONGEST_ADDRESSES: usize = 3000;

/// The values of the form.
pub struct NewKeyForm {
    /// The id that the key will have.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub environment: String,
    /// Its limits, as typed.
    pub limits: String,
    /// From where it is accepted, as typed.
    pub from: String,
    /// Its model patterns, as typed.
    pub models: String,
    /// One of [`LIFETIMES`].
    pub expires: String,
    /// The scopes that are ticked.
    pub scopes: Scopes,
}

impl NewKeyForm {
    /// As it was submitted.
    pub fn read(id: KeyId, form: &Form) -> Self {
        let text = |name: &str| form.get(name).to_owned();
        let (name, environment, models) = (text("name"), text("environment"), text("models"));
        Self {
            id,
            name,
            environment,
            limits: text("limits"),
            from: text("from"),
            models,
            expires: text("expires"),
            scopes: ticked_scopes(form),
        }
    }
}

/// `GET /settings/keys/new`: the form with default values.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    let id = KeyId::generate().map_err(|_| context.internal_error("no random bytes"))?;
    let (name, environment, limits, from, models) = Default::default();
    let expires = "90".to_owned();
    let values = NewKeyForm { id, name, environment, limits, from, models, expires, scopes: default_scopes() };
    Ok(page(&context, &session, &values, None))
}

/// The form with these values.
pub fn page(
    context: &PageContext,
    session: &BrowserSession,
    values: &NewKeyForm,
    error: Option<&FieldError>,
) -> Response {
    let is_wrong = |field: &str| error.is_some_and(|error| error.field == field);
    let (name, environment) = (display::visible_text(&values.name), display::visible_text(&values.environment));
    let content = html! {
        section.card.form {
            div {
                h1 { "Create an API key" }
                p.hint { "The key is shown once, right after you create it." }
            }
            (alert(error.map(|error| error.message.as_str())))
            form #create-key method="post" action=(context.link(KEYS)) {
                (hidden("csrf", &context.csrf_token(session)))
                (hidden("id", values.id.as_str()))
                (reauthentication::sign_in_again(context, session, ReauthReason::Key, NEW_KEY))
                (Field {
                    name: "name",
                    label: "Name",
                    kind: "text",
                    autocomplete: "off",
                    value: &name,
                    hint: "What it is for, such as “nightly summaries”.",
                    longest: LONGEST_NAME,
                    optional: false,
                    autofocus: error.is_none() || is_wrong("name"),
                }.render(is_wrong("name")))
                (scope_choices(session.caller.rights().scopes, values.scopes, is_wrong("scopes")))
                (model_patterns(&values.models, is_wrong("models")))
                (lifetime_choices(context, &values.expires, is_wrong("expires")))
                (Field {
                    name: "limits",
                    label: "Limits",
                    kind: "text",
                    autocomplete: "off",
                    value: &values.limits,
                    hint: "How much it may use: rpm=60, burst=10, streams=2, size=1MiB, tokens-per-day=1M. Leave empty for no limit.",
                    longest: LONGEST_LIMITS,
                    optional: true,
                    autofocus: is_wrong("limits"),
                }.render(is_wrong("limits")))
                (Field {
                    name: "from",
                    label: "Addresses",
                    kind: "text",
                    autocomplete: "off",
                    value: &display::visible_text(&values.from),
                    hint: "From where it is accepted: 10.0.0.0/8, 2001:db8::1. Leave empty for every address.",
                    longest: LONGEST_ADDRESSES,
                    optional: true,
                    autofocus: is_wrong("from"),
                }.render(is_wrong("from")))
                (Field {
                    name: "environment",
                    label: "Environment",
                    kind: "text",
                    autocomplete: "off",
                    value: &environment,
                    hint: "Where it is used, such as ci or prod.",
                    longest: LONGEST_NAME,
                    optional: true,
                    autofocus: is_wrong("environment"),
                }.render(is_wrong("environment")))
                (reauthentication::field(context, session, ReauthReason::Key, is_wrong("password")))
                div.actions {
                    button.primary type="submit" { "Create the key" }
                    a.button.quiet href=(context.link(KEYS)) { "Cancel" }
                }
            }
        }
    };
    let status = error.map_or(StatusCode::OK, |error| error.status);
    let title = if error.is_some() { "Error: Create an API key" } else { "Create an API key" };
    layout::page(context, status, title, Some(session), content)
}

fn model_patterns(text: &str, is_wrong: bool) -> Markup {
    html! {
        div.field {
            label for="models" { "Models" " " span.optional { "optional" } }
            textarea id="models" name="models" rows="2" maxlength="4096" autocapitalize="none" spellcheck="false"
                aria-describedby={ "models-hint" @if is_wrong { " form-error" } } aria-invalid=[is_wrong.then_some("true")]
                autofocus[is_wrong] { "\n" (text) }
            p.hint #models-hint {
                "The models that the key may use, one per line: " code { "llama3.2" } ", " code { "qwen3:*" } ", "
                code { "me/**" } ". Leave empty for all models that you may use."
            }
        }
    }
}

fn lifetime_choices(context: &PageContext, chosen: &str, is_wrong: bool) -> Markup {
    html! {
        fieldset aria-describedby=[is_wrong.then_some("form-error")] {
            legend { "Expiry" }
            div.lifetimes {
                @for (value, label) in LIFETIMES {
                    @let id = format!("expires-{value}");
                    label.choice for=(id) {
                        input type="radio" id=(id) name="expires" value=(value) checked[value == chosen] required;
                        span { (label) }
                        span.hint {
                            @match value.parse::<i64>() {
                                Ok(days) => { (display::day(context.now + days * 86_400)) }
                                Err(_) => { "until it is revoked" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The scopes that a key gets by default, as at the API.
fn default_scopes() -> Scopes {
    [Scope::Inference, Scope::ModelsRead].into_iter().collect()
}

/// The name of a scope's checkbox.
fn scope_field(scope: Scope) -> &'static str {
    match scope {
        Scope::Inference => "scope-inference",
        Scope::ModelsRead => "scope-models-read",
        Scope::ModelsWrite => "scope-models-write",
        Scope::UsageRead => "scope-usage-read",
        Scope::Keys => "scope-keys",
        Scope::Admin => "scope-admin",
    }
}

/// What a scope allows, in one line.
fn scope_meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::Inference => "Run models: chat, generate, embed, transcribe.",
        Scope::ModelsRead => "List and describe models. Most programs do so before they run one.",
        Scope::ModelsWrite => "Pull, create, copy, push and delete models.",
        Scope::UsageRead => "Read what was used, and what is left.",
        Scope::Keys => "Create, list and revoke keys and devices of your account. Such a key can create others.",
        Scope::Admin => "Revoke API keys of other accounts, with the scope keys.",
    }
}

/// The scopes whose checkboxes are ticked.
fn ticked_scopes(form: &Form) -> Scopes {
    Scope::ALL.into_iter().filter(|scope| !form.get(scope_field(*scope)).is_empty()).collect()
}

/// A checkbox for each scope that a person with the scopes `own` may give.
fn scope_choices(own: Scopes, ticked: Scopes, is_wrong: bool) -> Markup {
    html! {
        fieldset .wrong[is_wrong] aria-describedby=[is_wrong.then_some("form-error")] {
            legend { "Rights" }
            div.choices {
                @for scope in Scope::ALL.into_iter().filter(|scope| own.contains(*scope)) {
                    @let name = scope_field(scope);
                    label.choice for=(name) {
                        input type="checkbox" id=(name) name=(name) value="on" checked[ticked.contains(scope)]
                            aria-describedby={ (name) "-hint" };
                        span { code { (scope) } }
                        span.hint id={ (name) "-hint" } { (scope_meaning(scope)) }
                    }
                }
            }
        }
    }
}

/// Reads model patterns, separated by lines, blanks or commas. None at all means every model.
///
/// # Errors
/// For the first invalid pattern.
pub fn parse_models(text: &str) -> Result<Models, PatternError> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).map(str::parse).collect()
}

/// Reads limits, separated as model patterns are. None at all means no limit.
///
/// # Errors
/// In words, for the first that is wrong.
pub fn parse_limits(text: &str) -> Result<RequestLimits, String> {
    let values: Result<Vec<LimitValue>, String> =
        text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).map(str::parse).collect();
    RequestLimits::of(&values?)
}

/// Model patterns in one line.
pub fn models_line(models: &Models) -> String {
    models.patterns().iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_patterns_are_separated_by_lines_blanks_or_commas() {
        assert_eq!(models_line(&parse_models("tiny:*,\r\n  llama3.2\n\n").unwrap()), "tiny:*, llama3.2:latest");
        assert!(parse_models(" \n,").unwrap().patterns().is_empty());
        assert_eq!(parse_models("tiny, http://x").unwrap_err().0, "http://x");
    }
}
