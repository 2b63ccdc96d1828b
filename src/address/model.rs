//! Model names and the marker in them that says where a model runs.
//!
//! Read as stock Ollama reads them (`internal/modelref`): the tag `cloud`, or one that ends in `-cloud`, means
//! ollama.com; the tag `local` forces the local server; case does not matter.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const CLOUD_ENDING: &str = "-cloud";

/// Where a marker in a model's name says that it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelSource {
    /// On ollama.com.
    Cloud,
    /// On the server that is asked.
    Local,
}

/// A model's name as typed, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelName {
    name: String,
    base: String,
    source: Option<ModelSource>,
}

/// Why a text is not a model's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelNameError {
    /// Nothing but spaces.
    #[error("the model has no name")]
    Empty,
    /// Two markers, such as `m:local:cloud`.
    #[error("model {0:?} has two source markers: use either :local or :cloud, not both, and only once")]
    Conflict(String),
    /// A marker with nothing in front of it, such as `:cloud` or `m:-cloud`.
    #[error("model {0:?} is only a source marker: the name or tag before it is missing")]
    OnlyMarker(String),
}

impl ModelName {
    /// Reads a model's name. Spaces around it are dropped.
    ///
    /// # Errors
    /// [`ModelNameError`] when it is empty, has two markers, or consists of a marker alone. That a model of this name
    /// exists, or could, is for the server to say.
    pub fn parse(name: &str) -> Result<Self, ModelNameError> {
        let name = name.trim();
        if name.is_empty() {
            return Err(ModelNameError::Empty);
        }
        let Some((base, source)) = split_marker(name) else {
            return Ok(Self { name: name.to_owned(), base: name.to_owned(), source: None });
        };
        if split_marker(base).is_some() {
            return Err(ModelNameError::Conflict(name.to_owned()));
        }
        if base.is_empty() || base.ends_with([':', '/']) {
            return Err(ModelNameError::OnlyMarker(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), base: base.to_owned(), source: Some(source) })
    }

    /// Where the name itself says that the model runs; `None` when it says nothing.
    pub fn source(&self) -> Option<ModelSource> {
        self.source
    }

    /// Whether the name is marked as a cloud model.
    pub fn is_cloud(&self) -> bool {
        self.source == Some(ModelSource::Cloud)
    }

    /// The name without its marker: what ollama.com is sent.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The name as typed, without spaces around it: what any other server is sent.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for ModelName {
    type Err = ModelNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

fn split_marker(name: &str) -> Option<(&str, ModelSource)> {
    let (base, tag) = name.rsplit_once(':')?;
    let tag = tag.trim();
    if tag.eq_ignore_ascii_case("cloud") {
        return Some((base, ModelSource::Cloud));
    }
    if tag.eq_ignore_ascii_case("local") {
        return Some((base, ModelSource::Local));
    }
    // With a slash in it, what follows the colon is a registry's port and a path, not a tag.
    if tag.contains('/') {
        return None;
    }
    let kept = tag.len().checked_sub(CLOUD_ENDING.len())?;
    if !tag.get(kept..)?.eq_ignore_ascii_case(CLOUD_ENDING) {
        return None;
    }
    let tag_start = name.len() - name[base.len() + 1..].trim_start().len();
    Some((&name[..tag_start + kept], ModelSource::Cloud))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
        errors: Vec<String>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        source: Option<String>,
        base: String,
    }

    #[test]
    fn reads_every_recorded_name_as_stock_does() {
        let vectors: Vectors =
            serde_json::from_str(include_str!("../../tests/it/fixtures/vectors/models.json")).unwrap();
        assert_eq!((vectors.cases.len(), vectors.errors.len()), (10, 4));
        for case in vectors.cases {
            let model = ModelName::parse(&case.name).unwrap();
            let source = model.source().map(|source| match source {
                ModelSource::Cloud => "cloud",
                ModelSource::Local => "local",
            });
            assert_eq!(source, case.source.as_deref(), "{}", case.name);
            assert_eq!(model.base(), case.base, "{}", case.name);
            assert_eq!(model.as_str(), case.name);
            assert_eq!(model.is_cloud(), case.source.as_deref() == Some("cloud"));
        }
        for name in vectors.errors {
            assert!(ModelName::parse(&name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn errors_say_which_name_and_why() {
        assert_eq!(ModelName::parse(" "), Err(ModelNameError::Empty));
        for name in ["m:local:cloud", "m:120b-cloud:cloud", "m:cloud:cloud", "m:cloud-cloud"] {
            assert_eq!(ModelName::parse(name), Err(ModelNameError::Conflict(name.into())));
        }
        for name in [":cloud", "m:-cloud", "host/:local"] {
            assert_eq!(ModelName::parse(name), Err(ModelNameError::OnlyMarker(name.into())));
        }
    }

    #[test]
    fn only_a_tag_is_a_marker() {
        assert_eq!(ModelName::parse(" m:cloud ").unwrap().as_str(), "m:cloud");
        for name in ["registry.example:5000/m-cloud", "cloud", "m-cloud", "m:tag-Clöud"] {
            let model = ModelName::parse(name).unwrap();
            assert_eq!((model.source(), model.base()), (None, name));
        }
        assert_eq!(ModelName::parse("h:5000/m:8b-cloud").unwrap().base(), "h:5000/m:8b");
    }

    proptest! {
        #[test]
        fn never_panics(name in any::<String>(), ending in "[:c-]{0,2}(:?-?[cC]l[oö]ud|local)? ?") {
            let _ = ModelName::parse(&name);
            let _ = ModelName::parse(&(name + &ending));
        }
    }
}
