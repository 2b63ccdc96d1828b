//! Which budgets apply to a request, and whose they are.

use smallvec::SmallVec;

use super::applicable::{Account, Applicable, Subject};
use crate::gateway::config::Config;
use crate::gateway::model_limits::ModelLimits;
use crate::keyspec::{CanonicalModel, ModelPattern, RequestLimits};

/// Whose budget it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetOwner {
    /// Of a key, a person, a group, an environment or the gateway.
    Subject(Subject),
    /// Of the models that fit a pattern.
    Models(ModelPattern),
}

/// A budget that applies to a request.
#[derive(Clone, Debug)]
pub struct ApplicableBudget {
    /// Whose it is.
    pub owner: BudgetOwner,
    /// The name by which its use is found: `person:…`.
    pub subject: String,
    /// How many tokens.
    pub limits: RequestLimits,
}

/// The budgets that apply to a request, the narrowest first.
pub type ApplicableBudgets = SmallVec<[ApplicableBudget; 4]>;

/// The budgets that apply to a request, without those of models.
pub fn budgets_of(applicable: &Applicable<'_>) -> ApplicableBudgets {
    applicable.each().filter_map(|(account, limits)| of_account(account, limits)).collect()
}

fn of_account(account: Account<'_>, limits: RequestLimits) -> Option<ApplicableBudget> {
    let (owner, subject) = (BudgetOwner::Subject(account.subject()), || account.text());
    limits.has_budget().then(|| ApplicableBudget { owner, subject: subject(), limits })
}

/// Those that many share: of the gateway, of groups, environments and models.
pub fn shared_budgets(config: &Config) -> ApplicableBudgets {
    let groups = config.groups.all().map(|(name, rules)| (Account::Group(*name), rules.limits));
    let environments = config.environments.all().map(|rules| (Account::Environment(rules.name), rules.limits));
    let all = [(Account::Gateway, config.limits)].into_iter().chain(groups).chain(environments);
    all.filter_map(|(account, limits)| of_account(account, limits))
        .chain(budgets_of_models(&config.model_limits, |_| true))
        .collect()
}

/// All those of models whose patterns may be shown.
pub fn budgets_of_models(models: &ModelLimits, is_shown: impl Fn(&ModelPattern) -> bool) -> ApplicableBudgets {
    models.all().filter(|(pattern, _)| is_shown(pattern)).map(|(pattern, limits)| of_pattern(pattern, limits)).collect()
}

/// Those of a model.
pub fn budgets_of_model(models: &ModelLimits, model: &str) -> ApplicableBudgets {
    let Ok(model) = CanonicalModel::parse(model) else { return ApplicableBudgets::new() };
    models.of(&model).map(|(pattern, limits)| of_pattern(pattern, limits)).collect()
}

fn of_pattern(pattern: &ModelPattern, limits: RequestLimits) -> ApplicableBudget {
    ApplicableBudget { owner: BudgetOwner::Models(pattern.clone()), subject: format!("model:{pattern}"), limits }
}
