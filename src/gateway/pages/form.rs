//! Forms: their bodies, read strictly (a limited size, a limited time, one value for each name), and the fields that pages show.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use secrecy::SecretString;
use thiserror::Error;
use zeroize::Zeroize as _;

/// In bytes.
const LARGEST: usize = 16 * 1024;
const DEADLINE: Duration = Duration::from_secs(10);
const MOST_FIELDS: usize = 16;

/// The submitted values. Not printable, since passwords are among them.
pub struct Form(HashMap<String, String>);

/// Why a body is not accepted as a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// Another content type.
    #[error("This page accepts form submissions only.")]
    NotAForm,
    /// Larger than any form of ours, or cut off.
    #[error("The form is larger than 16 KiB, or was cut off.")]
    TooLarge,
    /// It arrived too slowly.
    #[error("The form took more than 10 seconds to arrive.")]
    TooSlow,
    /// A repeated name, which two readers may read differently, or more names than any form of ours has.
    #[error("The form has a repeated field, or too many fields.")]
    Repeated,
}

/// Why a form is shown again.
#[derive(Clone, Debug)]
pub struct FieldError {
    /// The name of the wrong field; empty when the error concerns no single field.
    pub field: &'static str,
    /// The status to answer with.
    pub status: StatusCode,
    /// The message for the person, as a sentence.
    pub message: String,
}

impl FieldError {
    /// With that status and message.
    pub fn new(field: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { field, status, message: message.into() }
    }
}

impl FormError {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotAForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Repeated => StatusCode::BAD_REQUEST,
        }
    }
}

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// [`FormError`].
    pub async fn read(headers: &HeaderMap, body: Body) -> Result<Self, FormError> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(FormError::NotAForm);
        }
        let read = tokio::time::timeout(DEADLINE, axum::body::to_bytes(body, LARGEST)).await;
        let body = read.map_err(|_| FormError::TooSlow)?.map_err(|_| FormError::TooLarge)?;
        let mut fields = HashMap::new();
        for (name, value) in url::form_urlencoded::parse(&body) {
            if fields.len() == MOST_FIELDS || fields.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(FormError::Repeated);
            }
        }
        Ok(Self(fields))
    }

    /// The value of a field; empty when it is missing.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Removes the value of a secret field.
    pub fn secret(&mut self, name: &str) -> SecretString {
        SecretString::from(self.0.remove(name).unwrap_or_default())
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|value| value.zeroize());
    }
}

/// A hidden field.
pub fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// The error message above the fields of a form.
pub fn alert(message: Option<&str>) -> Markup {
    html! { @if let Some(message) = message { p.alert #form-error role="alert" { (message) } } }
}

/// An input field with its label and hint.
pub struct Field<'a> {
    /// Its name and id.
    pub name: &'a str,
    /// The label above it.
    pub label: &'a str,
    /// `text`, `email`, `password`.
    pub kind: &'a str,
    /// The value of `autocomplete`, for password managers.
    pub autocomplete: &'a str,
    /// The initial value.
    pub value: &'a str,
    /// The hint below it; may be empty.
    pub hint: &'a str,
    /// The longest value, in characters. Does not apply to passwords: cutting one would go unnoticed.
    pub longest: usize,
    /// Whether it may be left empty.
    pub optional: bool,
    /// Whether the cursor starts here.
    pub autofocus: bool,
}

impl Field<'_> {
    /// The field; with `is_wrong` it is marked as the reason why the form is shown again.
    pub fn render(&self, is_wrong: bool) -> Markup {
        let hint_id = format!("{}-hint", self.name);
        let described: Vec<&str> =
            [(!self.hint.is_empty()).then_some(hint_id.as_str()), is_wrong.then_some("form-error")]
                .into_iter()
                .flatten()
                .collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        let password = self.kind == "password";
        html! {
            div.field {
                label for=(self.name) { (self.label) @if self.optional { " " span.optional { "optional" } } }
                input id=(self.name) name=(self.name) type=(self.kind) autocomplete=(self.autocomplete)
                    value=[(!password).then_some(self.value)] required[!self.optional] maxlength=[(!password).then_some(self.longest)] autofocus[self.autofocus]
                    autocapitalize="none" spellcheck="false" aria-describedby=[described]
                    aria-invalid=[is_wrong.then_some("true")];
                @if !self.hint.is_empty() { p.hint id=(hint_id) { (self.hint) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    async fn read(kind: &'static str, body: String) -> Result<Form, FormError> {
        Form::read(&[(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect(), Body::from(body)).await
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    #[tokio::test]
    async fn bodies_that_no_form_of_ours_sends_are_refused() {
        let refused = async |kind, body: &str| read(kind, body.to_owned()).await.err();
        assert_eq!(refused("application/json", "{}").await, Some(FormError::NotAForm));
        assert_eq!(refused("text/plain", "a=b").await, Some(FormError::NotAForm));
        assert_eq!(refused(FORM, &"a".repeat(LARGEST + 1)).await, Some(FormError::TooLarge));
        assert_eq!(refused(FORM, "key=a&key=a").await, Some(FormError::Repeated));
        assert_eq!(refused(FORM, "key=a&%6bey=b").await, Some(FormError::Repeated));
        let many: Vec<String> = (0..17).map(|n| format!("f{n}=")).collect();
        assert_eq!(refused(FORM, &many.join("&")).await, Some(FormError::Repeated));
    }

    #[tokio::test]
    async fn secrets_leave_the_form_when_they_are_read() {
        let mut form =
            read("application/x-www-form-urlencoded; charset=UTF-8", "a=1+2%26&p=s%C3%A4".to_owned()).await.unwrap();
        assert_eq!((form.get("a"), form.get("b")), ("1 2&", ""));
        assert_eq!(form.secret("p").expose_secret(), "sä");
        assert_eq!(form.get("p"), "");
    }
}
