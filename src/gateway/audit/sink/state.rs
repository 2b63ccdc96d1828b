//! How the sinks are, for those who look after the gateway.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::feed::Behind;
use super::settings::SinkSettings;
use crate::gateway::policy_name::PolicyName;

/// How a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkState {
    /// Its name.
    pub name: PolicyName,
    /// Where its lines go.
    pub target: String,
    /// How far it was behind; `None` before its first look at the log.
    behind: Option<Behind>,
    /// Why the last attempt failed, if it did.
    pub error: Option<String>,
    /// Since when it has been taking a batch.
    writing_since: Option<Instant>,
}

impl SinkState {
    /// The records that it has not got, of a log that has `records` now; `None` before its first look at the log. A sink that is stuck has
    /// not looked since.
    pub fn lag(&self, records: Option<u64>) -> Option<u64> {
        let behind = self.behind?;
        Some(behind.records + records.unwrap_or_default().saturating_sub(behind.size))
    }

    /// For how long it has been taking a batch.
    pub fn writes_for(&self) -> Duration {
        self.writing_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// How all sinks are, by name. Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub struct SinkStates(Arc<Mutex<BTreeMap<String, SinkState>>>);

impl SinkStates {
    /// All of them.
    pub fn all(&self) -> Vec<SinkState> {
        self.lock().values().cloned().collect()
    }

    /// One begins.
    pub(super) fn begin(&self, settings: &SinkSettings) {
        let (name, target) = (settings.name, settings.target.to_string());
        let state = SinkState { name, target, behind: None, error: None, writing_since: None };
        self.lock().insert(name.to_string(), state);
    }

    /// One has ended.
    pub(super) fn remove(&self, name: PolicyName) {
        self.lock().remove(name.as_str());
    }

    /// So far one is behind.
    pub(super) fn note_behind(&self, name: PolicyName, behind: Behind) {
        self.update(name, |state| state.behind = Some(behind));
    }

    /// One takes a batch, or has done that.
    pub(super) fn note_writing(&self, name: PolicyName, is_writing: bool) {
        self.update(name, |state| state.writing_since = is_writing.then(Instant::now));
    }

    /// An attempt succeeded or failed.
    pub(super) fn note_outcome(&self, name: PolicyName, error: Option<&str>) {
        self.update(name, |state| state.error = error.map(str::to_owned));
    }

    fn update(&self, name: PolicyName, change: impl FnOnce(&mut SinkState)) {
        if let Some(state) = self.lock().get_mut(name.as_str()) {
            change(state);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SinkState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::audit::SinkTarget;

    #[test]
    fn a_sink_that_does_not_look_at_the_log_is_behind_all_that_came_since() {
        let states = SinkStates::default();
        let settings = SinkSettings { name: "siem".parse().unwrap(), target: SinkTarget::Stdout };
        states.begin(&settings);
        let state = || states.all().remove(0);
        assert_eq!((state().lag(Some(9)), state().error), (None, None));
        states.note_behind(settings.name, Behind { records: 2, size: 7 });
        states.note_outcome(settings.name, Some("no space"));
        assert_eq!((state().lag(Some(9)), state().lag(None)), (Some(4), Some(2)));
        assert_eq!(state().error.as_deref(), Some("no space"));
        states.note_outcome(settings.name, None);
        assert_eq!((state().error, state().writes_for()), (None, Duration::ZERO));
        states.remove(settings.name);
        assert_eq!(states.all(), []);
    }
}
