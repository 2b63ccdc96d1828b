//! When a model needs a sign-in, offers it within the conversation and continues with the new credential.

use super::Chat;
use crate::address::ModelName;
use crate::app::App;
use crate::cli::SigninArgs;
use crate::commands::context::Context;
use crate::commands::signin;
use crate::exit::Problem;
use crate::profile::{Audience, CredentialSource};
use crate::ui::PromptError;

/// Prints the problem and offers to sign in. Returns whether that succeeded; prints an error of the sign-in.
pub(super) async fn offer_signin(
    app: &App,
    context: &Context,
    model: &ModelName,
    problem: &Problem,
) -> anyhow::Result<bool> {
    // A key from a file or the environment takes precedence: signing in would change nothing.
    if context.source.overrides_profile() {
        return Ok(false);
    }
    app.printer.warn(&problem.message);
    // Another server calls ollama.com with its own key, whatever our credential is.
    let server = model.is_cloud() && !context.url().is_ollama_com() && context.source == CredentialSource::None;
    let question = if server {
        format!("Sign in the Ollama server at {} now?", context.url())
    } else {
        format!("Sign in to {} now?", context.url())
    };
    match app.ask(move |printer| printer.confirm(&question, true)).await? {
        Ok(true) => {}
        Ok(false) | Err(PromptError::Interrupted) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let args = SigninArgs { server, ..signin::server::default_args() };
    let done = if server {
        let session = context.session_with(app, crate::api::Credential::None)?;
        signin::server::sign_in(app, &session, args).await
    } else {
        signin::device::run_at(app, context, args).await
    };
    if let Err(error) = done {
        let problem = Problem::from_error(&error);
        app.printer.error_human(&problem.message, problem.hint.as_deref());
        return Ok(false);
    }
    Ok(true)
}

/// Decides again with the credential of the sign-in. The host stays the same.
pub(super) fn resolve_again(app: &App, before: Context, model: &ModelName) -> anyhow::Result<Context> {
    let profiles = app.profiles.load()?;
    let context = Context::decide(app, &profiles, Audience::Model { cloud: model.is_cloud() })?;
    if context.url().origin() == before.url().origin() {
        return Ok(context);
    }
    Ok(match profiles.profiles.get(&before.target.profile) {
        // A profile of that name for another host keeps its credential to itself.
        Some(profile) if profile.url.origin() == before.url().origin() => {
            let source = Context::for_profile(&before.target.profile, profile).source;
            Context { source, profile: Some(profile.clone()), ..before }
        }
        _ => before,
    })
}

impl Chat<'_> {
    /// Offers a sign-in in the middle of the conversation; `true` when the caller must send the message again.
    pub(super) async fn offer_signin(&mut self, problem: &Problem) -> anyhow::Result<bool> {
        let work = offer_signin(self.app, &self.context, &self.model, problem);
        let Some(done) = Self::unless_interrupted(&mut self.interrupts, work).await else {
            self.app.printer.abort_prompt();
            signin::undo_unfinished_signin(self.app).await;
            return Ok(false);
        };
        if !done? {
            return Ok(false);
        }
        self.context = resolve_again(self.app, self.context.clone(), &self.model)?;
        self.session = self.context.session(self.app).await?;
        self.names.forget();
        Ok(true)
    }
}
