//! The password once more, where the sign-in was a while ago: see `sessions` for why.

use http::StatusCode;

use crate::gateway::pages::form::Form;
use crate::gateway::pages::notes;
use crate::gateway::pages::password_check::CheckError;
use crate::gateway::pages::visit::{SignedIn, Stop, Visit};

/// What is said when it was not given, or is wrong.
pub type Trouble = (StatusCode, String);

/// Makes sure that the person typed the password lately, or does so with this form. Throttled as a sign-in.
///
/// # Errors
/// The trouble to show with the form; or a page, when it cannot be checked at all.
pub async fn confirm(visit: &Visit, session: &SignedIn, form: &mut Form) -> Result<Result<(), Trouble>, Stop> {
    if session.fresh {
        return Ok(Ok(()));
    }
    if form.get("password").is_empty() {
        let text = "You signed in more than 15 minutes ago. Type your password once more.";
        return Ok(Err((StatusCode::FORBIDDEN, text.to_owned())));
    }
    let (pages, name) = (&visit.gateway.pages, &session.user().name);
    if let Err(wait) = pages.throttle.check(name, visit.address) {
        notes::failed_sign_in(visit, name, "user.sign_in_throttled", "too many tries");
        let text = format!("There were too many tries. Wait {} seconds, then try again.", wait.as_secs() + 1);
        return Ok(Err((StatusCode::TOO_MANY_REQUESTS, text)));
    }
    match pages.passwords.check(&visit.gateway.directory, name, form.secret("password")).await {
        Ok(Some(user)) if user.id == session.user().id => {
            pages.sessions.confirm(&session.cookie, visit.now);
            Ok(Ok(()))
        }
        Ok(_) => {
            notes::failed_sign_in(visit, name, "user.sign_in_failed", "wrong password for a new key");
            Ok(Err((StatusCode::FORBIDDEN, "The password is wrong.".to_owned())))
        }
        Err(CheckError::Busy) => {
            let text = "Too many passwords are being checked. Try again in a moment.";
            Ok(Err((StatusCode::SERVICE_UNAVAILABLE, text.to_owned())))
        }
        Err(error) => Err(visit.broken(&error.to_string())),
    }
}
