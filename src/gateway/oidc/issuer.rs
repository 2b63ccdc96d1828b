//! What is known of one issuer: its description and its keys, read when they are needed and kept for a while when it does not answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::http::{Http, LARGEST};
use super::issuer_url::IssuerUrl;
use super::key_set::KeySet;
use super::metadata::Metadata;
use super::settings::{IssuerError, KeySource, RefreshRules};
use super::token::Announced;
use crate::gateway::clock::Clock;
use crate::os_error::without_codes;

/// Keys that are older are read again before they are used, if the issuer answers.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// A browser is led only to an issuer that has answered since.
const ANSWERED: Duration = Duration::from_secs(30);
/// How long a request waits for the keys to be read.
const WAIT: Duration = Duration::from_secs(5);

/// One issuer. Its clones are one.
#[derive(Clone)]
pub struct Issuer(Arc<Inner>);

struct Inner {
    url: IssuerUrl,
    source: KeySource,
    http: Http,
    clock: Clock,
    runtime: tokio::runtime::Handle,
    state: Mutex<State>,
    /// Counts the reads that have ended.
    done: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// When the last read began, by the time that passes.
    tried: Option<Duration>,
    is_reading: bool,
    /// What is being read now is to be read once more.
    is_outdated: bool,
    /// Why the last read failed, if it did.
    problem: Option<String>,
    /// How often the keys have changed.
    generation: u64,
    rules: RefreshRules,
}

impl State {
    /// How long keys are used without being read again. With a short grace time they are read before it ends.
    fn fresh(&self) -> Duration {
        FRESH.min(self.rules.grace / 2)
    }

    /// What may still be used.
    fn usable(&self, now: Duration) -> Option<Known> {
        self.known.clone().filter(|known| now.saturating_sub(known.read) <= self.rules.grace)
    }

    fn problem(&self) -> &str {
        self.problem.as_deref().unwrap_or("it was not asked for too long")
    }
}

#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    /// Only of an issuer whose keys are found by its description.
    metadata: Option<Arc<Metadata>>,
    read: Duration,
}

impl Issuer {
    pub fn new(url: IssuerUrl, source: KeySource, http: Http, clock: Clock, runtime: tokio::runtime::Handle) -> Self {
        let (done, state) = (watch::Sender::new(0), Mutex::default());
        Self(Arc::new(Inner { url, source, http, clock, runtime, state, done }))
    }

    pub fn set_rules(&self, rules: RefreshRules) {
        self.0.lock().rules = rules;
    }

    pub fn http(&self) -> &Http {
        &self.0.http
    }

    pub fn generation(&self) -> u64 {
        self.0.lock().generation
    }

    /// Reads everything again, the authorities and the keys of files too, without being waited for.
    pub fn reload(&self) {
        self.0.http.reload();
        let mut state = self.0.lock();
        let now = self.0.clock.elapsed();
        (state.tried, state.is_outdated) = (None, state.is_reading);
        self.begin(&mut state, now);
    }

    /// The keys, with the one that the token names if it can be had. They are read again for a key id that is not among them, but not
    /// more often than the rules say: until then a key that is not there may be new, which is an error.
    pub async fn keys(&self, token: &Announced) -> Result<Arc<KeySet>, IssuerError> {
        let id = token.key_id.as_deref();
        let is_there = |known: &Known| !known.keys.candidates(id, token.algorithm).is_empty();
        let began = self.0.clock.elapsed();
        let known = self.known(is_there).await?;
        // What was read before can be too old for a key that is new.
        if known.keys.misses(id) && known.read < began {
            return Err(self.error("its keys were read a moment ago, without the key of the token"));
        }
        Ok(known.keys)
    }

    /// The description.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, IssuerError> {
        self.description(self.known(|_| true).await?)
    }

    /// The description, of an issuer that answers: it is read again unless that was a moment ago. Not more often than the rules say: until
    /// then the issuer is as it was the last time.
    pub async fn metadata_if_up(&self) -> Result<Arc<Metadata>, IssuerError> {
        self.description(self.known_since(|_| true, Some(ANSWERED)).await?)
    }

    /// How long it is until the issuer may be asked again.
    pub fn next_read(&self) -> Duration {
        let state = self.0.lock();
        let next = state.tried.map(|tried| tried.saturating_add(state.rules.min_interval));
        next.unwrap_or_default().saturating_sub(self.0.clock.elapsed())
    }

    fn description(&self, known: Known) -> Result<Arc<Metadata>, IssuerError> {
        known.metadata.ok_or_else(|| self.error("its description is not read, since its keys are configured"))
    }

    async fn known(&self, is_enough: impl Fn(&Known) -> bool) -> Result<Known, IssuerError> {
        self.known_since(is_enough, None).await
    }

    /// With a time, what was read longer ago counts only if the issuer answers now.
    async fn known_since(
        &self,
        is_enough: impl Fn(&Known) -> bool,
        answered: Option<Duration>,
    ) -> Result<Known, IssuerError> {
        let found = |state: &State| {
            let is_down = answered.is_some() && state.problem.is_some();
            let known = state.usable(self.0.clock.elapsed()).filter(|_| !is_down);
            known.ok_or_else(|| self.error(state.problem()))
        };
        let mut done = self.0.done.subscribe();
        {
            let mut state = self.0.lock();
            let now = self.0.clock.elapsed();
            let fresh = answered.unwrap_or(Duration::MAX).min(state.fresh());
            let is_fresh = |known: &Known| is_enough(known) && now.saturating_sub(known.read) <= fresh;
            if let Some(known) = state.usable(now).filter(is_fresh) {
                return Ok(known);
            }
            self.begin(&mut state, now);
            // It was tried a moment ago.
            if !state.is_reading {
                return found(&state);
            }
        }
        let waited = tokio::time::timeout(WAIT, done.changed()).await;
        let state = self.0.lock();
        match waited {
            Ok(_) => found(&state),
            Err(_) => {
                let known = state.usable(self.0.clock.elapsed()).filter(|_| answered.is_none());
                known.ok_or_else(|| self.error("it does not answer within 5 seconds"))
            }
        }
    }

    fn error(&self, reason: &str) -> IssuerError {
        IssuerError { issuer: self.0.url.clone(), reason: reason.to_owned() }
    }

    /// Begins to read, unless that is going on or was done a moment ago.
    fn begin(&self, state: &mut State, now: Duration) {
        let is_too_soon = state.tried.is_some_and(|tried| now.saturating_sub(tried) < state.rules.min_interval);
        if state.is_reading || is_too_soon {
            return;
        }
        (state.is_reading, state.tried) = (true, Some(now));
        let this = self.clone();
        self.0.runtime.spawn(async move {
            // In a task of its own: however it ends, others may read again.
            let reader = this.clone();
            let read = tokio::spawn(async move { reader.read().await }).await;
            this.finish(read.unwrap_or_else(|error| Err(error.to_string())));
        });
    }

    fn finish(&self, read: Result<(KeySet, Option<Metadata>), String>) {
        let mut state = self.0.lock();
        state.is_reading = false;
        if std::mem::take(&mut state.is_outdated) {
            state.tried = None;
            let now = self.0.clock.elapsed();
            self.begin(&mut state, now);
        }
        match read {
            Ok((keys, metadata)) => {
                if state.known.as_ref().is_none_or(|known| !known.keys.is_same(&keys)) {
                    state.generation += 1;
                }
                let read = self.0.clock.elapsed();
                state.known = Some(Known { keys: Arc::new(keys), metadata: metadata.map(Arc::new), read });
                state.problem = None;
            }
            Err(problem) => {
                tracing::warn!(issuer = %self.0.url, problem, "the keys of an issuer cannot be read");
                state.problem = Some(problem);
            }
        }
        drop(state);
        self.0.done.send_modify(|count| *count += 1);
    }

    async fn read(&self) -> Result<(KeySet, Option<Metadata>), String> {
        let (keys, metadata) = match &self.0.source {
            KeySource::Discovery => {
                let document = self.get(&self.0.url.discovery()).await?;
                let metadata = Metadata::read(&self.0.url, &document)?;
                (self.get(metadata.jwks_uri.as_str()).await?, Some(metadata))
            }
            KeySource::Url(url) => (self.get(url.as_str()).await?, None),
            KeySource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
                (read.map_err(|_| "the gateway is stopping".to_owned())??, None)
            }
        };
        Ok((KeySet::read(&keys)?, metadata))
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let request = http::Request::get(url).header("accept", "application/json").body(Vec::new());
        let request = request.map_err(|_| format!("{url:?} is not an address"))?;
        let response = self.0.http.send(request).await.map_err(|error| error.to_string())?;
        match response.status() {
            http::StatusCode::OK => Ok(response.into_body()),
            status => Err(format!("{url} answers with the status {}", status.as_u16())),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_file(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let problem = |reason: String| format!("{}: {}", path.display(), without_codes(&reason));
    let size = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
    if !size.is_file() || size.len() > LARGEST as u64 {
        return Err(problem("not a regular file of at most 256 KiB".to_owned()));
    }
    std::fs::read(path).map_err(|error| problem(error.to_string()))
}
