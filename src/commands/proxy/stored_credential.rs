//! Which credential is stored while the proxy runs: the profile's may be rotated, signed in anew or signed out; a credentials
//! file may be replaced. The host stays the same.

use secrecy::ExposeSecret as _;
use tokio::sync::mpsc::Receiver;

use crate::api::{Credential, Forwarder};
use crate::app::App;
use crate::commands::context::{Context, sign_in_hint};
use crate::exit::Problem;
use crate::profile::CredentialSource;
use crate::proxy::{Stored, StoredQuestion, WatchedFiles};

/// The files whose change says that another credential may be stored.
pub(super) fn files(app: &App, context: &Context) -> WatchedFiles {
    WatchedFiles::new(match context.source {
        CredentialSource::ProfileKey | CredentialSource::ProfileDevice => Some(app.profiles.path().to_owned()),
        // A pipe is read once.
        CredentialSource::File => {
            app.credentials.as_ref().map(|file| file.path().to_owned()).filter(|path| path.is_file())
        }
        // A token is renewed by the session itself.
        CredentialSource::Environment | CredentialSource::Token(_) | CredentialSource::None => None,
    })
}

/// Answers the questions of the proxy; does not end while it runs.
pub(super) async fn answer(app: &App, context: &Context, mut questions: Receiver<StoredQuestion>) {
    while let Some(question) = questions.recv().await {
        let stored = match read(app, context).await {
            Ok(Some(forwarder)) => {
                app.printer
                    .note(&format!("The stored credential for {} may have changed: it was read again.", context.url()));
                Stored::Credential(forwarder)
            }
            Ok(None) => {
                let url = context.url();
                app.printer.warn(&format!("no longer signed in to {url}; {}", sign_in_hint(url)));
                Stored::Nothing(format!("this proxy is no longer signed in to {url}; {}", sign_in_hint(url)))
            }
            Err(error) => {
                let message = Problem::from_error(&error).message;
                app.printer
                    .warn(&format!("cannot read the stored credential: {message}; the proxy keeps the one it has"));
                Stored::Unreadable
            }
        };
        let _ = question.send(stored);
    }
    std::future::pending().await
}

/// What is stored now; `None` when nothing is.
async fn read(app: &App, context: &Context) -> anyhow::Result<Option<Forwarder>> {
    if context.source == CredentialSource::File {
        let Some(file) = app.credentials.as_ref().map(|file| file.unread()) else { return Ok(None) };
        let read = file.read()?;
        if read.url.origin() != context.url().origin() || read.key.expose_secret().is_empty() {
            return Ok(None);
        }
        let session = context.session_with(app, Credential::ApiKey(read.key.clone()))?;
        session.add_demanded_proof().await;
        return Ok(Some(session.forwarder()?));
    }
    let name = &context.target.profile;
    let profile = app.profiles.load()?.profiles.remove(name);
    let Some(profile) = profile.filter(|profile| profile.url.origin() == context.url().origin()) else {
        return Ok(None);
    };
    let source = Context::for_profile(name, &profile).source;
    if source == CredentialSource::None {
        return Ok(None);
    }
    let now = Context { source, profile: Some(profile), ..context.clone() };
    let session = now.session(app).await?;
    session.add_demanded_proof().await;
    Ok(Some(session.forwarder()?))
}
