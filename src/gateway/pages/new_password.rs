//! A new password in a form, typed twice: for the first administrator, and for a person who changes it.

use http::StatusCode;
use maud::{Markup, html};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::display;
use super::error_page::ErrorPage;
use super::form::{Field, FieldError, Form};
use super::page_context::PageContext;
use super::password_check::PasswordCheckError;
use crate::gateway::password::{PasswordError, PasswordHash};

/// The name of the first field.
pub const PASSWORD: &str = "password";
const AGAIN: &str = "again";

/// The two fields. With `is_wrong` they are marked as the reason why the form is shown again.
pub fn fields(label: &str, is_wrong: bool) -> Markup {
    let password = Field {
        name: PASSWORD,
        label,
        kind: "password",
        autocomplete: "new-password",
        value: "",
        hint: "At least 8 characters. A few random words are easy to remember and hard to guess.",
        longest: 1024,
        optional: false,
        autofocus: is_wrong,
    };
    let again = Field { name: AGAIN, label: "Repeat the password", hint: "", autofocus: false, ..password };
    html! { (password.render(is_wrong)) (again.render(is_wrong)) }
}

/// Takes the password out of the form.
///
/// # Errors
/// When the two fields differ.
pub fn read(form: &mut Form) -> Result<SecretString, FieldError> {
    let (password, again) = (form.secret(PASSWORD), form.secret(AGAIN));
    match bool::from(password.expose_secret().as_bytes().ct_eq(again.expose_secret().as_bytes())) {
        true => Ok(password),
        false => Err(wrong("The passwords do not match. Type both again.")),
    }
}

/// The hash of it.
///
/// # Errors
/// The inner error is shown with the form; the outer one is a page, for a failure of the gateway.
pub async fn hash(
    context: &PageContext,
    password: SecretString,
) -> Result<Result<PasswordHash, FieldError>, ErrorPage> {
    match context.pages.passwords.hash(password).await {
        Ok(hash) => Ok(Ok(hash)),
        Err(PasswordCheckError::Password(error @ (PasswordError::Short | PasswordError::Long))) => {
            Ok(Err(wrong(&display::sentence(&error.to_string()))))
        }
        Err(PasswordCheckError::Busy) => {
            Ok(Err(wrong("The gateway is busy checking passwords. Try again in a moment.")))
        }
        Err(error) => Err(context.internal_error(&error.to_string())),
    }
}

fn wrong(message: &str) -> FieldError {
    FieldError::new(PASSWORD, StatusCode::UNPROCESSABLE_ENTITY, message)
}
