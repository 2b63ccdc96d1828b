//! A gate in the middle of a response: the server stops there until the test opens it, so that a streaming test needs no sleep.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use crate::harness::DEADLINE;

#[derive(Debug, Default)]
struct State {
    open: bool,
    reached: usize,
}

/// Clones are the same gate. It stays open once opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything pass, from now on.
    pub fn open(&self) {
        self.lock().open = true;
        self.0.1.notify_all();
    }

    /// Waits until a server has sent everything before this gate and stands at it. Panics after [`DEADLINE`].
    pub fn wait_reached(&self) {
        let end = Instant::now() + DEADLINE;
        let mut state = self.lock();
        while state.reached == 0 {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no answer got as far as the gate");
            state = self.0.1.wait_timeout(state, left).expect("an unpoisoned gate").0;
        }
    }

    /// Called by the server once, when it stands at the gate.
    pub(super) fn reach(&self) {
        self.lock().reached += 1;
        self.0.1.notify_all();
    }

    /// Called by the server: waits a short while and says whether the gate is open.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let state = self.lock();
        if state.open {
            return true;
        }
        let (state, _) = self.0.1.wait_timeout(state, time).expect("an unpoisoned gate");
        state.open
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.0.lock().expect("an unpoisoned gate")
    }
}
