//! A running request, in the budgets that it uses up.

use std::sync::Arc;

use super::applicable_budgets::ApplicableBudgets;
use super::budgets::{BudgetState, Budgets, HeldBudgets};

/// Counts in all budgets of a request what it has used so far, until it is [settled](Self::settle) or dropped.
#[derive(Debug)]
pub struct BudgetHold {
    budgets: Arc<Budgets>,
    held: HeldBudgets,
    /// Tokens, as they are counted.
    so_far: u64,
    cuts: bool,
}

impl BudgetHold {
    /// Admits a request, which has used `input` tokens when it begins; `None` if it has no budgets.
    ///
    /// # Errors
    /// As [`Budgets::used_up`]: nothing is counted then.
    pub fn admit(
        budgets: &Arc<Budgets>,
        applicable: ApplicableBudgets,
        input: u64,
    ) -> Result<Option<Self>, Box<BudgetState>> {
        if applicable.is_empty() {
            return Ok(None);
        }
        if let Some(state) = budgets.used_up(&applicable) {
            return Err(state.into());
        }
        let held = budgets.places(applicable);
        let cuts = held.iter().any(|(budget, _)| budget.limits.cuts_streams);
        let mut hold = Self { budgets: budgets.clone(), held, so_far: 0, cuts };
        hold.count(input);
        Ok(Some(hold))
    }

    /// It has used so many tokens until now.
    pub fn count(&mut self, tokens: u64) {
        if let Some(more) = tokens.checked_sub(self.so_far).filter(|more| *more > 0) {
            self.held.iter().for_each(|(_, usage)| usage.add_running(more));
            self.so_far = tokens;
        }
    }

    /// Whether its response may be cut off.
    pub fn cuts(&self) -> bool {
        self.cuts
    }

    /// The budget for which its response is to be cut off now.
    pub fn cut(&self) -> Option<BudgetState> {
        if !self.cuts {
            return None;
        }
        self.held.iter().find_map(|(budget, usage)| self.budgets.cuts(budget, usage))
    }

    /// It is over, and used that many tokens.
    pub fn settle(mut self, tokens: u64) {
        self.end(tokens);
    }

    fn end(&mut self, tokens: u64) {
        if self.held.is_empty() {
            return;
        }
        let windows = self.budgets.windows();
        for (_, usage) in self.held.drain(..) {
            usage.settle(self.so_far, tokens, windows);
        }
    }
}

impl Drop for BudgetHold {
    fn drop(&mut self) {
        // Nothing was settled: the last known count is.
        self.end(self.so_far);
    }
}
