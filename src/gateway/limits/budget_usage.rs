//! What one subject has used of its budgets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::applicable_budgets::{ApplicableBudget, BudgetOwner};
use super::budget_window::BudgetWindow;
use crate::keyspec::{Limit, RequestLimits};

/// What one subject uses.
#[derive(Debug, Default)]
pub(super) struct BudgetUsage {
    /// By running requests, so far.
    pub(super) running: AtomicU64,
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
pub(super) struct Windows {
    /// Whose they are, and the limits, as they were when a request came last.
    pub(super) owner: Option<BudgetOwner>,
    pub(super) limits: RequestLimits,
    pub(super) counts: SmallVec<[Count; 3]>,
    /// The turn in which it was taken to be written last.
    pub(super) taken_at: u64,
}

/// What is counted in a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) window: BudgetWindow,
    /// What the database has.
    pub(super) stored: u64,
    /// What is in the batch that is being written.
    /// It may take back what was written before.
    pub(super) writing: i64,
    /// What is in none yet.
    pub(super) unwritten: u64,
    /// What of running requests is among what was written.
    pub(super) advanced: u64,
    /// The part of the budget, in percent, that was reached when it was told last: what is taken back may be reached again.
    pub(super) told: u64,
}

impl Count {
    /// What this gateway has used and the database does not have: less than nothing if a request took less than it was estimated at.
    pub(super) fn own(&self, running: u64) -> i128 {
        i128::from(self.writing) + i128::from(self.unwritten) + i128::from(running) - i128::from(self.advanced)
    }

    /// What is to be written, now that so much of running requests is to be among it; 0 if nothing changes.
    pub(super) fn take(&mut self, advanced: u64) -> i64 {
        let before = std::mem::replace(&mut self.advanced, advanced);
        let tokens = i128::from(std::mem::take(&mut self.unwritten)) + i128::from(advanced) - i128::from(before);
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self.writing = self.writing.saturating_add(tokens);
        tokens
    }

    /// Whether something of it is not in the database.
    pub(super) fn is_open(&self) -> bool {
        self.writing != 0 || self.unwritten > 0 || self.advanced > 0
    }
}

impl Windows {
    /// Whose they are now.
    pub(super) fn set_budget(&mut self, budget: &ApplicableBudget) {
        if self.owner.is_none() || self.limits != budget.limits {
            (self.owner, self.limits) = (Some(budget.owner.clone()), budget.limits);
            self.counts.iter_mut().for_each(|count| count.told = 0);
        }
    }

    /// That of a window.
    pub(super) fn count(&mut self, window: BudgetWindow) -> &mut Count {
        let count = self.numbered(window.budget, window.number);
        // Its end was estimated if only its number was known, and is another one in another time zone.
        count.window.ends_at = window.ends_at;
        count
    }

    /// That of a window of which perhaps only the number is known.
    pub(super) fn numbered(&mut self, budget: Limit, number: i64) -> &mut Count {
        let is_it = |count: &Count| count.window.budget == budget && count.window.number == number;
        let at = self.counts.iter().position(is_it).unwrap_or_else(|| {
            let window = BudgetWindow::numbered(budget, number);
            self.counts.push(Count { window, stored: 0, writing: 0, unwritten: 0, advanced: 0, told: 0 });
            self.counts.len() - 1
        });
        &mut self.counts[at]
    }
}

impl BudgetUsage {
    /// Adds to what running requests have used.
    pub(super) fn add_running(&self, tokens: u64) {
        self.running.fetch_add(tokens, Ordering::AcqRel);
    }

    /// A running request, which had used `so_far`, has ended, and used that many tokens.
    pub(super) fn settle(&self, so_far: u64, tokens: u64, now: [BudgetWindow; 3]) {
        let mut windows = self.lock();
        self.running.fetch_sub(so_far, Ordering::AcqRel);
        for window in now {
            let count = windows.count(window);
            count.unwritten = count.unwritten.saturating_add(tokens);
        }
    }

    /// What is counted, for as long as it is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
