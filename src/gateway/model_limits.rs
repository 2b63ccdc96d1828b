//! Budgets of models: how many tokens all callers together may use of the models that fit a pattern.

use std::sync::Arc;

use crate::keyspec::{CanonicalModel, ModelPattern, RequestLimits};

/// The patterns that have a budget, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelLimits(Arc<[(ModelPattern, RequestLimits)]>);

impl ModelLimits {
    /// Those that the configuration defines.
    pub fn new(mut all: Vec<(ModelPattern, RequestLimits)>) -> Self {
        all.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Self(all.into())
    }

    /// Whether the model of a request does not matter.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&ModelPattern, RequestLimits)> {
        self.0.iter().map(|(pattern, limits)| (pattern, *limits))
    }

    /// Those that a model uses up.
    pub fn of(&self, model: &CanonicalModel) -> impl Iterator<Item = (&ModelPattern, RequestLimits)> {
        self.all().filter(|(pattern, _)| pattern.matches(model))
    }
}
