//! Which models a request may name, and which it did name.

use std::sync::{Arc, Mutex, PoisonError};

use crate::keyspec::{CanonicalModel, ModelFilter, ModelPattern, Models};

/// The models of a key and of its owner's role: only what both allow may be named. Clones share what was named.
#[derive(Clone, Debug, Default)]
pub struct ModelAccess {
    key: Models,
    role: Models,
    named: Arc<Mutex<Vec<CanonicalModel>>>,
}

/// Without a role.
impl From<Models> for ModelAccess {
    fn from(key: Models) -> Self {
        Self::new(key, Models::all())
    }
}

impl ModelAccess {
    /// What both a key and a role allow.
    pub fn new(key: Models, role: Models) -> Self {
        Self { key, role, named: Arc::default() }
    }

    /// Whether every model may be named. Then it is not looked at which is.
    pub fn is_all(&self) -> bool {
        self.key.is_all() && self.role.is_all()
    }

    /// Whether a request may name that model; notes that it does.
    pub fn admit(&self, model: CanonicalModel) -> bool {
        let is_allowed = self.key.allow(&model) && self.role.allow(&model);
        if is_allowed {
            self.named.lock().unwrap_or_else(PoisonError::into_inner).push(model);
        }
        is_allowed
    }

    /// Says of many models whether they may be seen. The patterns are read once.
    pub fn filter(&self) -> impl Fn(&CanonicalModel) -> bool + use<> {
        let both: [ModelFilter; 2] = [self.key.filter(), self.role.filter()];
        move |model| both.iter().all(|filter| filter.allow(model))
    }

    /// Whether every model that fits a pattern may be named.
    pub fn covers(&self, pattern: &ModelPattern) -> bool {
        let models: Models = [pattern.clone()].into_iter().collect();
        models.within(&self.key).is_ok() && models.within(&self.role).is_ok()
    }

    /// Whether the models that the request named are among those that the role allows now. If it was not looked at them because every model
    /// was allowed, they may be others.
    pub fn is_within(&self, role: &Models) -> bool {
        if role.is_all() || *role == self.role || (!self.role.is_all() && self.role.within(role).is_ok()) {
            return true;
        }
        let allowed = role.filter();
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        !self.is_all() && named.iter().all(|model| allowed.allow(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(patterns: &[&str]) -> Models {
        patterns.iter().map(|pattern| pattern.parse().unwrap()).collect()
    }

    fn model(name: &str) -> CanonicalModel {
        CanonicalModel::parse(name).unwrap()
    }

    #[test]
    fn both_the_key_and_the_role_have_to_allow_a_model() {
        let access = ModelAccess::new(models(&["*-coder:*"]), models(&["qwen*"]));
        for (name, is_allowed) in
            [("qwen3-coder", true), ("QWEN3-Coder:8b", true), ("qwen3", false), ("x-coder", false)]
        {
            assert_eq!((access.filter()(&model(name)), access.admit(model(name))), (is_allowed, is_allowed), "{name}");
        }
        assert!(!access.is_all() && ModelAccess::default().is_all());
    }

    #[test]
    fn what_was_named_may_continue_as_long_as_the_role_allows_it() {
        let access = ModelAccess::new(Models::all(), models(&["qwen*", "llama*"]));
        assert!(access.clone().admit(model("Qwen3")));
        for (now, continues) in [(&["qwen3"][..], true), (&[], true), (&["qwen*", "x"], true), (&["llama*"], false)] {
            assert_eq!(access.is_within(&models(now)), continues, "{now:?}");
        }
        // Nothing was looked at, so it may have been any.
        assert!(
            !ModelAccess::default().is_within(&models(&["qwen*"])) && ModelAccess::default().is_within(&Models::all())
        );
        // Read, because of the key.
        let of_key = ModelAccess::from(models(&["qwen3"]));
        assert!(of_key.admit(model("qwen3")));
        assert!(of_key.is_within(&models(&["qwen*"])) && !of_key.is_within(&models(&["llama*"])));
    }
}
