//! The models that metrics tell apart. Each costs a few kilobytes at every scrape, so there are some only, and the others share a label.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// How many models have a label of their own.
const MOST_MODELS: usize = 50;
/// The longest name that is a label, in bytes.
const LONGEST_NAME: usize = 100;
/// The label of the others.
const OTHER: &str = "other";

/// The label of a model, or of the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelLabel(Arc<str>);

impl EncodeLabelValue for ModelLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// See the module.
#[derive(Debug)]
pub struct ModelLabels {
    known: RwLock<HashSet<Arc<str>>>,
    other: ModelLabel,
}

impl Default for ModelLabels {
    fn default() -> Self {
        Self { known: RwLock::default(), other: ModelLabel(OTHER.into()) }
    }
}

impl ModelLabels {
    /// The label of a model that the upstream server has answered for; it is a label from then on if there is room. An empty name is one of the
    /// others.
    pub fn of(&self, model: &str) -> ModelLabel {
        if model.is_empty() || model.len() > LONGEST_NAME {
            return self.other.clone();
        }
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return ModelLabel(known.clone());
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_MODELS && !known.contains(model) {
            return self.other.clone();
        }
        let label: Arc<str> = model.into();
        known.insert(label.clone());
        ModelLabel(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_labels_as_allowed() {
        let labels = ModelLabels::default();
        let all: HashSet<ModelLabel> = (0..10_000).map(|number| labels.of(&format!("model-{number}:latest"))).collect();
        assert_eq!(all.len(), MOST_MODELS + 1);
        assert_eq!(&*labels.of("model-7:latest").0, "model-7:latest");
        for other in ["", "model-9999:latest", &"x".repeat(LONGEST_NAME + 1)] {
            assert_eq!(labels.of(other).0.as_ref(), OTHER, "{other}");
        }
    }
}
