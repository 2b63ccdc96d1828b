//! What a credential may do as a whole, and that nobody passes on more than they have.

use thiserror::Error;

use super::{Models, Scopes};

/// Scopes, models and the end of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// What may be done.
    pub scopes: Scopes,
    /// With which models.
    pub models: Models,
    /// Until when, in Unix seconds; `None` is for ever.
    pub expires_at: Option<i64>,
}

/// What exceeds the rights of whoever wants to pass them on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TooBroad {
    /// Scopes that they do not have.
    #[error("your own credential does not have the scope {0}")]
    Scopes(Scopes),
    /// Models that they may not use.
    #[error("your own credential may not use all models that match {0}")]
    Models(String),
    /// Living longer than they do.
    #[error("your own credential expires earlier")]
    Expiry,
}

impl Rights {
    /// Whether these are a part of `parent`'s.
    ///
    /// # Errors
    /// [`TooBroad`]: the first thing that is not.
    pub fn within(&self, parent: &Self) -> Result<(), TooBroad> {
        let more = self.scopes.without(parent.scopes);
        if !more.is_empty() {
            return Err(TooBroad::Scopes(more));
        }
        self.models.within(&parent.models).map_err(TooBroad::Models)?;
        match (self.expires_at, parent.expires_at) {
            (_, None) => Ok(()),
            (Some(own), Some(parents)) if own <= parents => Ok(()),
            _ => Err(TooBroad::Expiry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(scopes: &str, models: &[&str], expires_at: Option<i64>) -> Rights {
        let models = models.iter().map(|pattern| pattern.parse().unwrap()).collect();
        Rights { scopes: scopes.parse().unwrap(), models, expires_at }
    }

    #[test]
    fn a_part_is_a_part_in_every_respect() {
        let parent = rights("inference,keys", &["tiny:*"], Some(100));
        assert_eq!(rights("inference", &["tiny"], Some(100)).within(&parent), Ok(()));
        let wide = rights("inference,admin", &["tiny"], Some(9)).within(&parent);
        assert_eq!(wide, Err(TooBroad::Scopes("admin".parse().unwrap())));
        assert!(matches!(rights("keys", &["other"], Some(9)).within(&parent), Err(TooBroad::Models(_))));
        assert!(matches!(rights("keys", &[], Some(9)).within(&parent), Err(TooBroad::Models(_))));
        assert_eq!(rights("keys", &["tiny"], Some(101)).within(&parent), Err(TooBroad::Expiry));
        assert_eq!(rights("keys", &["tiny"], None).within(&parent), Err(TooBroad::Expiry));
        let all = rights("inference,keys", &[], None);
        assert_eq!(rights("keys", &["x"], None).within(&all), Ok(()));
    }
}
