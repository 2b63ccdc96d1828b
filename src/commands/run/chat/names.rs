//! Names of models for Tab: asked for when they are first wanted, within two seconds, and kept for a while.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, channel};

use crate::api::Session;
use crate::chat::complete;
use crate::ui::Complete;

/// How long a host may take; a person waits at the prompt.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(30);
/// More are no help.
const MOST: usize = 500;

/// Where an answer is waited for.
pub(super) type Wanted = SyncSender<Vec<String>>;

/// See the module.
pub(super) struct Names {
    requests: Receiver<Wanted>,
    known: Option<(Instant, Vec<String>)>,
}

impl Names {
    /// And what the editor is to ask.
    pub(super) fn new() -> (Self, Complete) {
        let (sender, requests) = channel::<Wanted>(1);
        let ask = move || {
            let (answer, names) = sync_channel(1);
            if sender.blocking_send(answer).is_err() {
                return Vec::new();
            }
            // A little longer than the host has.
            names.recv_timeout(PATIENCE * 2).unwrap_or_default()
        };
        let completer = move |before: &str| complete(before, &ask);
        (Self { requests, known: None }, Box::new(completer))
    }

    /// The next time somebody presses Tab where a model is named.
    pub(super) async fn wanted(&mut self) -> Wanted {
        match self.requests.recv().await {
            Some(wanted) => wanted,
            None => std::future::pending().await,
        }
    }

    /// Answers. A host that says nothing has no names.
    pub(super) async fn answer(&mut self, session: &Session<'_>, wanted: Wanted) {
        if self.known.as_ref().is_none_or(|(at, _)| at.elapsed() > FRESH)
            && let Ok(Ok(models)) = tokio::time::timeout(PATIENCE, session.models()).await
        {
            let names = models.into_iter().take(MOST).map(|model| model.name).collect();
            self.known = Some((Instant::now(), names));
        }
        // The editor may have given up.
        let _ = wanted.try_send(self.known.as_ref().map(|(_, names)| names.clone()).unwrap_or_default());
    }

    /// Forgets them: the host has changed, or a model was made.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}
