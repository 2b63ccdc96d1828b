//! What a credential may do: scopes, and rights (scopes, models, an expiry, limits and addresses together).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::keyspec::{AddressList, Models, RequestLimits};

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Running models, embeddings and transcription among it.
    Inference,
    /// Listing and describing models.
    ModelsRead,
    /// Pulling, creating, copying, deleting, pushing models.
    ModelsWrite,
    /// Reading what was used, of the same account.
    UsageRead,
    /// Creating, listing and revoking keys and devices of the same account.
    Keys,
    /// Managing the accounts of others. Never given to a device.
    Admin,
}

impl Scope {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 6] =
        [Self::Inference, Self::ModelsRead, Self::ModelsWrite, Self::UsageRead, Self::Keys, Self::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::ModelsRead => "models:read",
            Self::ModelsWrite => "models:write",
            Self::UsageRead => "usage:read",
            Self::Keys => "keys",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such scope; holds what was read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown scope {0:?}; the scopes are inference, models:read, models:write, usage:read, keys, admin")]
pub struct ScopeError(pub String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| ScopeError(text.to_owned()))
    }
}

/// A set of scopes. In serde it is a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is in it.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & bit(scope) != 0
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of it is in `other`.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in it, in their order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

fn bit(scope: Scope) -> u8 {
    1 << scope as u8
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | bit(scope)))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::name).collect();
        f.write_str(&names.join(","))
    }
}

/// Names, with commas or spaces between them.
impl FromStr for Scopes {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split([',', ' ']).filter(|name| !name.is_empty()).map(str::parse).collect()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Scope::name))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().map(|name| name.parse()).collect::<Result<Self, _>>().map_err(serde::de::Error::custom)
    }
}

/// Scopes, models, the end of them, how much may be used, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// What may be done.
    pub scopes: Scopes,
    /// With which models.
    pub models: Models,
    /// Expiry in Unix seconds; `None` means never.
    pub expires_at: Option<i64>,
    /// How much may be used.
    pub limits: RequestLimits,
    /// From which addresses.
    pub addresses: AddressList,
}

/// The part that exceeds the rights of the caller who passes them on.
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
    /// Using more than they may; holds what they may.
    #[error("your own credential is limited to {0}")]
    Limits(String),
    /// From more addresses than they may; holds theirs.
    #[error("your own credential is accepted from {0} only")]
    Addresses(String),
}

impl Rights {
    /// How many model patterns and networks they hold.
    pub fn entries(&self) -> usize {
        self.models.patterns().len() + self.addresses.len()
    }

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
            (_, None) => {}
            (Some(own), Some(parents)) if own <= parents => {}
            _ => return Err(TooBroad::Expiry),
        }
        self.limits.within(&parent.limits).map_err(TooBroad::Limits)?;
        self.addresses.within(&parent.addresses).map_err(TooBroad::Addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_sets() {
        let few: Scopes = "inference, models:read".parse().unwrap();
        assert_eq!(few.to_string(), "inference,models:read");
        assert!(few.is_subset(Scopes::all()) && !Scopes::all().is_subset(few));
        assert!(few.contains(Scope::Inference) && !few.contains(Scope::Admin));
        assert_eq!(Scopes::all().without(few).intersection(few), Scopes::default());
        assert_eq!(serde_json::to_string(&few).unwrap(), r#"["inference","models:read"]"#);
        assert_eq!("Inference".parse::<Scopes>(), Err(ScopeError("Inference".into())));
    }

    #[test]
    fn an_error_names_every_scope() {
        let error = "nosuch".parse::<Scope>().unwrap_err().to_string();
        assert!(Scope::ALL.iter().all(|scope| error.contains(scope.name())), "{error}");
    }

    fn rights(scopes: &str, models: &[&str], expires_at: Option<i64>) -> Rights {
        let models = models.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let (limits, addresses) = Default::default();
        Rights { scopes: scopes.parse().unwrap(), models, expires_at, limits, addresses }
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
        let limits = RequestLimits { streams: std::num::NonZeroU32::new(2), ..RequestLimits::default() };
        let limited = Rights { limits, ..all.clone() };
        assert_eq!(limited.within(&all), Ok(()));
        assert_eq!(all.within(&limited), Err(TooBroad::Limits("2 requests at a time".to_owned())));
        let near = Rights { addresses: "10.0.0.0/8".parse().unwrap(), ..all.clone() };
        assert_eq!(near.within(&all), Ok(()));
        assert_eq!(all.within(&near), Err(TooBroad::Addresses("10.0.0.0/8".to_owned())));
    }
}
