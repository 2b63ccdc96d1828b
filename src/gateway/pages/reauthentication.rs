//! The password once more, where the sign-in was a while ago: see `sessions` for why.

use http::StatusCode;
use maud::Markup;

use super::form::Form;
use super::layout::Field;
use super::notes;
use super::page_context::{ErrorPage, PageContext, SignedIn};
use super::password_check::CheckError;

/// What is said when it was not given, or is wrong.
pub type Trouble = (StatusCode, String);

/// What outlives the sign-in, and so takes the password.
#[derive(Clone, Copy)]
pub enum ReauthReason {
    /// A new key.
    Key,
    /// An approved device.
    Device,
}

impl ReauthReason {
    fn hint(self) -> &'static str {
        match self {
            Self::Key => {
                "You signed in more than 15 minutes ago, and a key stays when you have left. So say again that it is you."
            }
            Self::Device => {
                "You signed in more than 15 minutes ago, and a device stays signed in when you have left. So say again that it is you."
            }
        }
    }

    /// For the record.
    fn wrong(self) -> &'static str {
        match self {
            Self::Key => "wrong password for a new key",
            Self::Device => "wrong password for a device",
        }
    }
}

/// The field for it. `wrong` says that it is what is wrong with the form.
pub fn field(reason: ReauthReason, wrong: bool) -> Markup {
    let field = Field {
        name: "password",
        label: "Your password",
        kind: "password",
        autocomplete: "current-password",
        value: "",
        hint: reason.hint(),
        longest: 1024,
        optional: false,
        first: wrong,
    };
    field.show(wrong)
}

/// Makes sure that the person typed the password lately, or does so with this form. Throttled as a sign-in.
///
/// # Errors
/// The trouble to show with the form; or a page, when it cannot be checked at all.
pub async fn confirm(
    context: &PageContext,
    session: &SignedIn,
    form: &mut Form,
    reason: ReauthReason,
) -> Result<Result<(), Trouble>, ErrorPage> {
    if session.fresh {
        return Ok(Ok(()));
    }
    if form.get("password").is_empty() {
        let text = "You signed in more than 15 minutes ago. Type your password once more.";
        return Ok(Err((StatusCode::FORBIDDEN, text.to_owned())));
    }
    let (pages, name) = (&context.pages, &session.user().name);
    if let Err(wait) = pages.throttle.check(name, context.address) {
        notes::failed_sign_in(context, name, "user.sign_in_throttled", "too many tries");
        let text = format!("There were too many tries. Wait {} seconds, then try again.", wait.as_secs() + 1);
        return Ok(Err((StatusCode::TOO_MANY_REQUESTS, text)));
    }
    match pages.passwords.check(&context.pages.directory, name, form.secret("password")).await {
        Ok(Some(user)) if user.id == session.user().id => {
            pages.sessions.confirm(&session.cookie, context.now);
            Ok(Ok(()))
        }
        Ok(_) => {
            notes::failed_sign_in(context, name, "user.sign_in_failed", reason.wrong());
            Ok(Err((StatusCode::FORBIDDEN, "The password is wrong.".to_owned())))
        }
        Err(CheckError::Busy) => {
            let text = "Too many passwords are being checked. Try again in a moment.";
            Ok(Err((StatusCode::SERVICE_UNAVAILABLE, text.to_owned())))
        }
        Err(error) => Err(context.broken(&error.to_string())),
    }
}
