//! Which models a key may use, by patterns over their names.
//!
//! A server takes several names for one model: `tiny`, `tiny:latest`, `library/TINY`, `registry.ollama.ai/library/tiny` (measured:
//! `model-in-body.json`). Names are compared in one canonical form, and a name without one matches nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::pattern_matcher::PatternMatcher;
use super::redaction::{hide_keys, holds_key};
use crate::address::{ModelName, ModelSource};

const REGISTRY: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";
const TAG: &str = "latest";
const MAX_LENGTH: usize = 400;

/// A model's name in the one form that is compared: lower case, with its tag, without the registry and the namespace that are
/// meant when none is named: `tiny:latest`, `me/tiny:8b`, `hf.co/me/tiny:q4`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalModel(String);

/// A text that is not surely the name of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not a model's name of the form [[host/]namespace/]model[:tag]")]
pub struct CanonicalModelError;

impl CanonicalModel {
    /// Reads a name as the server reads it. The marker `:local` names no tag and is cut off; a marker for the cloud stays.
    ///
    /// # Errors
    /// [`CanonicalModelError`] for everything else, such as addresses (`http://…`), digests and empty parts.
    pub fn parse(name: &str) -> Result<Self, CanonicalModelError> {
        let name = ModelName::parse(name).map_err(|_| CanonicalModelError)?;
        let name = if name.source() == Some(ModelSource::Local) { name.base() } else { name.as_str() };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/');
        if name.len() > MAX_LENGTH || !name.chars().all(allowed) {
            return Err(CanonicalModelError);
        }
        let name = name.to_ascii_lowercase();
        let parts: Vec<&str> = name.split('/').collect();
        let (host, namespace, model) = match parts.as_slice() {
            [model] => (REGISTRY, NAMESPACE, *model),
            [namespace, model] => (REGISTRY, *namespace, *model),
            [host, namespace, model] => (*host, *namespace, *model),
            _ => return Err(CanonicalModelError),
        };
        let (model, tag) = model.split_once(':').unwrap_or((model, TAG));
        let plain =
            |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && !part.contains(':');
        let host_name = host.split_once(':').map_or(host, |(name, _)| name);
        if ![host_name, namespace, model, tag].into_iter().all(plain) || host.matches(':').count() > 1 {
            return Err(CanonicalModelError);
        }
        let name = match (host, namespace) {
            (REGISTRY, NAMESPACE) => format!("{model}:{tag}"),
            (REGISTRY, namespace) => format!("{namespace}/{model}:{tag}"),
            (host, namespace) => format!("{host}/{namespace}/{model}:{tag}"),
        };
        // The stored text must be parseable again, its tag included.
        if name.len() > MAX_LENGTH { Err(CanonicalModelError) } else { Ok(Self(name)) }
    }

    /// The canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a model of another registry than the one that is meant when none is named.
    fn names_registry(&self) -> bool {
        self.0.matches('/').count() == 2
    }
}

impl fmt::Display for CanonicalModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pattern over canonical names: `*` matches any characters but a slash, `**` any at all, and a lone `*` every model. Models of
/// another registry are matched only where the pattern names one. Without a tag (and without a star at its end) it names the tag `latest`, as a name does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelPattern(String);

/// A text that is not a pattern; holds it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a pattern for models: write a name such as tiny or tiny:8b, with * for any characters")]
pub struct PatternError(pub String);

impl ModelPattern {
    /// Whether a model's name fits.
    pub fn matches(&self, model: &CanonicalModel) -> bool {
        self.matcher().matches(model.as_str(), model.names_registry())
    }

    /// Whether every name that fits `other` fits this one. May return false for a covered pattern, never true for one that is not covered.
    pub fn covers(&self, other: &Self) -> bool {
        self.matcher().covers(&other.0, other.names_registry())
    }

    fn matcher(&self) -> PatternMatcher {
        PatternMatcher::new([(self.as_str(), self.names_registry())].into_iter())
    }

    /// Whether it may reach beyond the registry that is meant when none is named. A registry is named by a first part that only a host can
    /// be, with a dot or a port in it (a namespace has neither, as the server reads names), or by three parts. A namespace before a wide
    /// star, as in `acme/**`, names none: a registry called `acme` belongs to somebody else.
    fn names_registry(&self) -> bool {
        let mut parts = self.0.split('/');
        let host = parts.next().unwrap_or_default();
        self.0 == "**" || parts.next().is_some_and(|_| host.contains(['.', ':']) || parts.next().is_some())
    }

    /// The pattern in its canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // A pattern is stored in lower case, so what is left of a key would not be found any more.
        if holds_key(text) {
            return Err(PatternError(hide_keys(text).into_owned()));
        }
        let problem = || PatternError(text.to_owned());
        let pattern = text.trim().to_ascii_lowercase();
        if pattern == "*" || pattern == "**" {
            return Ok(Self("**".to_owned()));
        }
        if !pattern.contains('*') {
            return Ok(Self(CanonicalModel::parse(&pattern).map_err(|_| problem())?.0));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '*');
        if pattern.len() > MAX_LENGTH || !pattern.chars().all(allowed) || pattern.contains("***") {
            return Err(problem());
        }
        let last = pattern.rsplit('/').next().unwrap_or_default();
        if last.is_empty() || pattern.starts_with('/') || pattern.contains("//") {
            return Err(problem());
        }
        let tagged = last.contains(':') || last.ends_with('*');
        let pattern = if tagged { pattern } else { format!("{pattern}:{TAG}") };
        if pattern.len() > MAX_LENGTH {
            return Err(problem());
        }
        Ok(Self(match pattern.split('/').collect::<Vec<_>>().as_slice() {
            [NAMESPACE, model] | [REGISTRY, NAMESPACE, model] => match one_part(model).as_str() {
                // Alone, the star would match every model.
                "*" => "*:*".to_owned(),
                model => model.to_owned(),
            },
            [REGISTRY, namespace, model] => format!("{}/{}", one_part(namespace), one_part(model)),
            _ => pattern,
        }))
    }
}

/// A part of a name that has no slash, however wide its stars: without what stood before it, they would reach beyond it.
fn one_part(pattern: &str) -> String {
    pattern.replace("**", "*")
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The models that a key may use: all of them, or those that fit one of some patterns. In serde it is the list of patterns, empty
/// for all.
///
/// Clones share the patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Models(Arc<[ModelPattern]>);

impl Models {
    /// Every model.
    pub fn all() -> Self {
        Self::default()
    }

    /// Whether there is no limit.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one may be used.
    pub fn allow(&self, model: &CanonicalModel) -> bool {
        self.filter().allow(model)
    }

    /// The same for many models: the patterns are read once.
    pub fn filter(&self) -> ModelFilter {
        ModelFilter((!self.is_all()).then(|| self.matcher()))
    }

    fn matcher(&self) -> PatternMatcher {
        PatternMatcher::new(self.0.iter().map(|pattern| (pattern.as_str(), pattern.names_registry())))
    }

    /// The patterns; none means every model.
    pub fn patterns(&self) -> &[ModelPattern] {
        &self.0
    }

    /// Whether no more is allowed than `parent` allows.
    ///
    /// # Errors
    /// What goes beyond it, for a message.
    pub fn within(&self, parent: &Self) -> Result<(), String> {
        if parent.is_all() {
            return Ok(());
        }
        if self.is_all() {
            return Err("*".to_owned());
        }
        // All patterns of the parent at once: a key that was created before their number was limited may have thousands.
        let parent = parent.matcher();
        let beyond = self.0.iter().find(|own| !parent.covers(own.as_str(), own.names_registry()));
        beyond.map_or(Ok(()), |pattern| Err(pattern.to_string()))
    }
}

/// Says which models may be used: [`Models`], read once.
#[derive(Debug)]
pub struct ModelFilter(Option<PatternMatcher>);

impl ModelFilter {
    /// Whether this one may be used.
    pub fn allow(&self, model: &CanonicalModel) -> bool {
        self.0.as_ref().is_none_or(|patterns| patterns.matches(model.as_str(), model.names_registry()))
    }
}

impl FromIterator<ModelPattern> for Models {
    fn from_iter<I: IntoIterator<Item = ModelPattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

impl Serialize for Models {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ModelPattern::as_str))
    }
}

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = Vec::<String>::deserialize(deserializer)?;
        patterns.iter().map(|pattern| pattern.parse()).collect::<Result<Self, _>>().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(name: &str) -> CanonicalModel {
        CanonicalModel::parse(name).unwrap()
    }

    fn pattern(text: &str) -> ModelPattern {
        text.parse().unwrap()
    }

    #[test]
    fn the_names_of_one_model_are_one_name() {
        for name in
            ["tiny", "tiny:latest", "library/tiny", "registry.ollama.ai/library/TINY:latest", " Tiny ", "tiny:local"]
        {
            assert_eq!(model(name).as_str(), "tiny:latest", "{name}");
        }
        assert_eq!(model("Me/Tiny:8B").as_str(), "me/tiny:8b");
        assert_eq!(model("h:5000/library/tiny").as_str(), "h:5000/library/tiny:latest");
        assert_eq!(model("gpt-oss:120b-Cloud").as_str(), "gpt-oss:120b-cloud");
    }

    #[test]
    fn what_is_not_surely_a_name_is_none() {
        for name in [
            "",
            "/tiny",
            "tiny/",
            "a//tiny",
            "a/b/c/tiny",
            "http://h/library/tiny",
            "tiny@sha256:00",
            "tiny:",
            ":latest",
            "../tiny",
            "tiny:a:b",
            "ti ny",
            "tïny",
            "tiny\0",
            "a:b/tiny",
            "h:1:2/n/tiny",
            "-tiny",
            "K\u{212a}",
        ] {
            assert!(CanonicalModel::parse(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn stars_stand_for_what_they_say() {
        for (text, fits, fails) in [
            ("tiny", vec!["tiny", "library/TINY"], vec!["tiny:8b", "me/tiny", "tinyx"]),
            ("tiny:*", vec!["tiny", "tiny:8b"], vec!["tiny2:8b", "me/tiny"]),
            ("llama3*", vec!["llama3", "llama3.2:3b"], vec!["llama3/evil", "llama2", "x/llama3"]),
            ("*", vec!["tiny", "hf.co/a/b:c"], vec![]),
            ("hf.co/**", vec!["hf.co/a/b:c"], vec!["tiny", "hf.com/a/b"]),
            ("me/*", vec!["me/a", "me/a:b"], vec!["a", "you/a"]),
            ("me/**", vec!["me/a", "me/a:b"], vec!["a", "me/you/a", "me:80/you/a", "me.co/you/a"]),
            ("me/*/*", vec!["me/you/a"], vec!["me/a"]),
            ("*/**", vec!["me/a"], vec!["hf.co/me/a"]),
            ("*.co/**", vec!["hf.co/me/a"], vec!["me/a"]),
            ("h:*/**", vec!["h:80/me/a"], vec!["h/me/a"]),
            ("llama3.2**", vec!["llama3.2:3b"], vec!["llama3.2.evil.example/a/b"]),
            ("*-coder", vec!["q-coder"], vec!["q-coder:8b", "me/q-coder"]),
            ("library/t*", vec!["tiny:8b"], vec!["me/tiny"]),
            ("library/*", vec!["tiny:8b"], vec!["me/tiny", "hf.co/a/b"]),
            ("library/t**", vec!["tiny:8b"], vec!["team/tiny", "t.co/a/b"]),
            ("registry.ollama.ai/library/**", vec!["tiny"], vec!["me/tiny", "hf.co/a/b"]),
            ("registry.ollama.ai/m**/*", vec!["me/tiny:8b"], vec!["tiny", "m.co/a/b"]),
            ("registry.ollama.ai/*", vec![], vec!["tiny", "me/tiny", "hf.co/a/b"]),
            ("library/a/b*", vec!["library/a/b:8b"], vec!["a/b"]),
        ] {
            for name in fits {
                assert!(pattern(text).matches(&model(name)), "{text} fits {name}");
            }
            for name in fails {
                assert!(!pattern(text).matches(&model(name)), "{text} fits not {name}");
            }
        }
        for text in ["", "/*", "a//*", "***", "a b*", "http://*", "*/"] {
            assert!(text.parse::<ModelPattern>().is_err() || text == "http://*", "{text}");
        }
    }

    /// A pattern is stored as text, and must not become wider when it is parsed again.
    #[test]
    fn what_is_kept_is_the_same_pattern() {
        for text in [
            "library/*",
            "library/**",
            "registry.ollama.ai/library/*",
            "registry.ollama.ai/*",
            "registry.ollama.ai/**/*",
        ] {
            let kept = pattern(text);
            assert_eq!(pattern(kept.as_str()), kept, "{text}");
            assert!(!pattern(kept.as_str()).matches(&model("hf.co/me/secret")), "{text}");
        }
    }

    /// One that could be kept and not read again would keep the gateway from starting.
    #[test]
    fn it_is_not_longer_with_its_tag_than_what_is_read() {
        for length in 390..=400 {
            for text in ["a".repeat(length), format!("*{}", "a".repeat(length - 1))] {
                let kept = text.parse::<ModelPattern>();
                assert_eq!(kept.is_ok(), length + ":latest".len() <= MAX_LENGTH, "{length}");
                assert!(kept.is_err() || kept.is_ok_and(|kept| kept.as_str().parse() == Ok(kept)), "{length}");
            }
        }
    }

    #[test]
    fn a_pattern_covers_no_more_than_it_matches() {
        assert!(pattern("tiny:*").covers(&pattern("tiny")) && pattern("*").covers(&pattern("me/*")));
        assert!(pattern("t*").covers(&pattern("ti*:8b")) && pattern("t**").covers(&pattern("t*")));
        assert!(!pattern("tiny").covers(&pattern("tiny:*")) && !pattern("t*").covers(&pattern("t**")));
        assert!(!pattern("me/**").covers(&pattern("me/*/*")) && pattern("me/*/*").covers(&pattern("me/you/*")));
        assert!(!pattern("a**").covers(&pattern("a.b/**")) && pattern("*").covers(&pattern("a.b/**")));
        assert!(!pattern("*:8b").covers(&pattern("*")) && !pattern("a*").covers(&pattern("*a")));
    }

    /// Some that are covered by one, some by none: together as each alone.
    #[test]
    fn a_list_covers_what_one_of_its_patterns_covers() {
        let models = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect::<Models>();
        let parent = models(&["tiny", "me/*", "q*:8b", "hf.co/**", "acme/**"]);
        assert_eq!(models(&["me/a*", "qwen:8b", "tiny", "hf.co/a/*", "acme/a*"]).within(&parent), Ok(()));
        for beyond in ["tiny:8b", "me/**", "q*", "*", "hf.co*", "acme/a/*"] {
            let shown = pattern(beyond).to_string();
            assert_eq!(models(&["tiny", beyond]).within(&parent), Err(shown), "{beyond}");
        }
        // No pattern begins where another ends.
        assert!(models(&["tin", "y"]).within(&models(&["tiny"])).is_err());
        assert!(!models(&["tin", "y"]).allow(&model("tiny")));
    }

    proptest! {
        #[test]
        fn covering_is_sound(wide in "[ab*:./]{1,6}", narrow in "[ab*:./]{1,6}", name in "([ab]([.:][ab])?/)?([ab]{1,3}/)?[ab]{1,3}(:[ab]{1,3})?") {
            if let (Ok(wide), Ok(narrow), Ok(name)) =
                (wide.parse::<ModelPattern>(), narrow.parse::<ModelPattern>(), CanonicalModel::parse(&name))
                && wide.covers(&narrow) && narrow.matches(&name)
            {
                prop_assert!(wide.matches(&name), "{wide} covers {narrow}, which matches {name}");
            }
        }

        #[test]
        fn reading_twice_changes_nothing(name in any::<String>(), text in "[a-z*:/.-]{0,12}") {
            if let Ok(model) = CanonicalModel::parse(&name) {
                prop_assert_eq!(CanonicalModel::parse(model.as_str()), Ok(model));
            }
            if let Ok(pattern) = text.parse::<ModelPattern>() {
                prop_assert_eq!(pattern.as_str().parse(), Ok(pattern.clone()));
            }
        }
    }
}
