//! Budgets of tokens: how much of each is used, and when it renews.

use std::collections::HashMap;

use maud::{Markup, html};
use uuid::Uuid;

use super::tables::head;
use crate::gateway::limits::{
    Applicable, BudgetOwner, BudgetState, Subject, budgets_of, budgets_of_models, shared_budgets,
};
use crate::gateway::model_access::ModelAccess;
use crate::gateway::pages::display;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::store::{UsagePeriod, User};
use crate::keyspec::{KeyId, Limit, Models, Scope, phrase, tokens_text};

/// Budgets of people and keys at most, on the page of administrators.
const MOST: usize = 50;

/// Those that apply to a person, without those of their keys.
pub fn of_person(context: &PageContext, user: &User) -> Vec<BudgetState> {
    let config = context.pages.config.get();
    let role = context.pages.directory.role(&user.role);
    let mut budgets = budgets_of(&Applicable::new(user, &role, None, None, &config));
    let models = ModelAccess::new(Models::all(), role.models(Scope::Inference).clone());
    budgets.extend(budgets_of_models(&config.model_limits, |pattern| models.covers(pattern)));
    context.pages.administration.budgets.states(&budgets)
}

/// Those of the gateway, of groups, environments and models, and those of people and keys of which most is used.
pub fn of_all(context: &PageContext) -> Vec<BudgetState> {
    let (config, budgets) = (context.pages.config.get(), &context.pages.administration.budgets);
    let mut states = budgets.states(&shared_budgets(&config));
    states.extend(budgets.most_used(MOST));
    states
}

/// The one of an hour or a day that everything counts for which the page shows.
pub fn line(states: &[BudgetState], of: Subject, period: UsagePeriod) -> Option<u64> {
    let budget = match period {
        UsagePeriod::Hour => Limit::TokensPerHour,
        UsagePeriod::Day => Limit::TokensPerDay,
    };
    let is_it = |state: &&BudgetState| state.budget == budget && state.owner == BudgetOwner::Subject(of);
    states.iter().find(is_it).map(|state| state.limit)
}

/// The table of them; nothing if there are none.
pub fn table(context: &PageContext, states: &[BudgetState]) -> Markup {
    let names = context.pages.directory.key_line_names();
    html! {
        @if !states.is_empty() {
            h2 #budgets { "Budgets" }
            table.keys.numbers role="table" aria-labelledby="budgets" {
                (head(&["Of", "Budget", "Used", "Left", "Renews"]))
                tbody role="rowgroup" {
                    @for state in states {
                        tr role="row" {
                            th scope="row" role="rowheader" { span.name { bdi dir="ltr" { (display::visible_text(&name(context, &names, state))) } } }
                            td role="cell" data-label="Budget" { span { (phrase(state.budget, state.limit)) } }
                            td role="cell" data-label="Used" {
                                span { (tokens_text(state.used)) " (" (percent(state)) " %)" @if let Some(words) = warning(state) { " " strong { (words) } } }
                                meter.share min="0" max=(state.limit) value=(state.used.min(state.limit)) aria-hidden="true" {}
                            }
                            td role="cell" data-label="Left" { span { (tokens_text(state.left())) } }
                            td role="cell" data-label="Renews" { span { (display::moment(state.renews_at)) } }
                        }
                    }
                }
            }
        }
    }
}

fn name(context: &PageContext, names: &HashMap<KeyId, String>, state: &BudgetState) -> String {
    let person = |id: &str| {
        let user = id.parse::<Uuid>().ok().and_then(|id| context.pages.directory.user(id));
        user.map_or_else(|| format!("removed account {id}"), |user| format!("account {}", user.name))
    };
    let rest = state.subject.rsplit(':').next().unwrap_or_default();
    match &state.owner {
        BudgetOwner::Subject(Subject::Key) => {
            let name = rest.parse::<KeyId>().ok().and_then(|id| names.get(&id).cloned());
            name.map_or_else(|| format!("key {rest}"), |name| format!("key {name}"))
        }
        BudgetOwner::Subject(Subject::Person) => person(rest),
        BudgetOwner::Subject(Subject::PersonIn(environment)) => format!("{} in {environment}", person(rest)),
        BudgetOwner::Subject(Subject::Group(name)) => format!("group {name}"),
        BudgetOwner::Subject(Subject::Environment(name)) => format!("environment {name}"),
        BudgetOwner::Subject(Subject::Gateway) => "this gateway".to_owned(),
        BudgetOwner::Models(pattern) => format!("models {pattern}"),
    }
}

fn percent(state: &BudgetState) -> u128 {
    u128::from(state.used) * 100 / u128::from(state.limit.max(1))
}

fn warning(state: &BudgetState) -> Option<&'static str> {
    match percent(state) {
        100.. => Some("used up"),
        80.. => Some("nearly used up"),
        _ => None,
    }
}
