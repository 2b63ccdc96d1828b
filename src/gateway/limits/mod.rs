//! How much callers may use: requests per minute, requests at a time, and tokens, of each key, person, group, environment and model, and of the
//! gateway.

mod applicable;
mod applicable_budgets;
mod budget_hold;
mod budget_refusal;
#[cfg(test)]
mod budget_tests;
mod budget_usage;
mod budget_window;
mod budgets;
mod limiter;
mod refusal;

pub use applicable::{Applicable, Subject, request_size};
pub use applicable_budgets::{
    ApplicableBudgets, BudgetOwner, budgets_of, budgets_of_model, budgets_of_models, shared_budgets,
};
pub use budget_hold::BudgetHold;
pub use budget_refusal::budget_refusal;
pub use budgets::{BudgetState, BudgetWarning, Budgets};
pub use limiter::{Exceeded, Limiter, Slot, Used};
