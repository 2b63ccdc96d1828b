//! Environments, such as production and staging: names and listeners of their own, and rules for what is used there.
//!
//! An API key belongs to the environment that it is labelled with, if that is defined. A request is in the environment of the name or
//! listener that it came to, or else in that of its key: so the rules of a key's environment apply wherever the key is used, and a label is
//! never a way around them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use thiserror::Error;

use super::policy_name::PolicyName;
use super::roles::RoleRules;
use super::store::{KeyRecord, Role};
use crate::address::Scheme;
use crate::keyspec::{AddressRules, RequestLimits, Scopes};

/// What the configuration says of an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentRules {
    /// Its name.
    pub name: PolicyName,
    /// The host names that mean it, each perhaps with a port; in lower case.
    pub hosts: Vec<String>,
    /// The addresses to listen at that mean it.
    pub listen: Vec<SocketAddr>,
    /// From where requests in it are accepted.
    pub addresses: AddressRules,
    /// How much all callers in it may use together.
    pub limits: RequestLimits,
    /// How much each person with a role may use in it.
    pub role_limits: BTreeMap<Role, RequestLimits>,
    /// How old an API key in it may be, in seconds.
    pub max_key_age: Option<i64>,
    /// How long an API key in it may stay unused, in seconds. One that was not used for longer is suspended.
    pub max_key_idle: Option<i64>,
    /// What takes the signature of a device and an API key together in it.
    pub two_proofs: Scopes,
    /// Whether its names and listeners also accept keys without its label, and devices.
    pub allow_unlabelled: bool,
}

/// Why a request may not be in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Misplaced {
    /// Its listener is that of an environment which was removed from the configuration.
    #[error("the environment {0} of this listener is not defined any more")]
    Undefined(PolicyName),
    /// The key is for another environment.
    #[error("this API key is for the environment {label}, not for {here}")]
    Other {
        /// That of the key.
        label: PolicyName,
        /// That of the name or listener.
        here: PolicyName,
    },
    /// The key has no label, or a device asks.
    #[error("the environment {0} accepts only API keys that are labelled with it")]
    Unlabelled(PolicyName),
    /// Not for this role.
    #[error("your role does not allow the environment {0}")]
    Role(PolicyName),
    /// Not from this address.
    #[error("the environment {0} does not accept requests from this address")]
    Address(PolicyName),
}

impl EnvironmentRules {
    /// Whether an API key may be used in it at `now`, as far as its age goes.
    pub fn allows_age(&self, key: &KeyRecord, now: i64) -> bool {
        self.max_key_age.is_none_or(|oldest| now < key.created_at.saturating_add(oldest))
    }

    /// Whether a `Host` header means it. `scheme` says which port is meant where there is none.
    fn has_host(&self, host: &str, scheme: Scheme) -> bool {
        let (asked, port) = split_host(host);
        let port = port.unwrap_or(default_port(scheme));
        self.hosts.iter().any(|own| {
            let (name, own) = split_host(own);
            name.eq_ignore_ascii_case(asked) && own.is_none_or(|own| own == port)
        })
    }
}

/// All environments that are defined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environments(Arc<BTreeMap<PolicyName, Arc<EnvironmentRules>>>);

impl Environments {
    /// Those that the configuration defines.
    pub fn new(all: impl IntoIterator<Item = EnvironmentRules>) -> Self {
        Self(Arc::new(all.into_iter().map(|rules| (rules.name, rules.into())).collect()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &EnvironmentRules> {
        self.0.values().map(|rules| &**rules)
    }

    /// The one of that name. The label of a key that names none counts for nothing.
    pub fn get(&self, name: &str) -> Option<&Arc<EnvironmentRules>> {
        self.0.get(name)
    }

    /// The one that a `Host` header means.
    pub fn of_host(&self, host: &str, scheme: Scheme) -> Option<PolicyName> {
        self.all().find(|rules| rules.has_host(host, scheme)).map(|rules| rules.name)
    }

    /// The environment that a request is in: `entry` is that of its name or listener, `label` that of its key.
    ///
    /// # Errors
    /// [`Misplaced`].
    pub fn admit(
        &self,
        entry: Option<PolicyName>,
        label: Option<&str>,
        role: &RoleRules,
        address: IpAddr,
    ) -> Result<Option<&Arc<EnvironmentRules>>, Misplaced> {
        let here = entry.map(|name| self.0.get(&name).ok_or(Misplaced::Undefined(name))).transpose()?;
        let own = label.and_then(|label| self.get(label));
        let environment = match (here, own) {
            (Some(here), Some(own)) if here.name != own.name => {
                return Err(Misplaced::Other { label: own.name, here: here.name });
            }
            (Some(here), None) if !here.allow_unlabelled => return Err(Misplaced::Unlabelled(here.name)),
            (here, own) => here.or(own),
        };
        if let Some(rules) = environment {
            if !role.allows_environment(rules.name) {
                return Err(Misplaced::Role(rules.name));
            }
            if !rules.addresses.allows(address) {
                return Err(Misplaced::Address(rules.name));
            }
        }
        Ok(environment)
    }

    /// When a key ends because it is as old as its environment allows.
    pub fn end_of(&self, key: &KeyRecord) -> Option<i64> {
        let rules = key.environment.as_deref().and_then(|label| self.get(label))?;
        rules.max_key_age.map(|oldest| key.created_at.saturating_add(oldest))
    }

    /// With the listeners of `running`, which cannot be changed while it runs; and whether they are others than these.
    #[must_use]
    pub fn with_listeners_of(&self, running: &Self) -> (Self, bool) {
        let listen =
            |all: &Self, name: &PolicyName| all.0.get(name).map(|rules| rules.listen.clone()).unwrap_or_default();
        let is_changed = self.0.keys().chain(running.0.keys()).any(|name| listen(self, name) != listen(running, name));
        if !is_changed {
            return (self.clone(), false);
        }
        let kept = self.all().map(|rules| EnvironmentRules { listen: listen(running, &rules.name), ..rules.clone() });
        (Self::new(kept), true)
    }
}

/// A host name and its port, if there is one; brackets of IPv6 belong to the name.
pub fn split_host(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && (name.ends_with(']') || !name.contains(':')) => (name, Some(port)),
        _ => (host, None),
    }
}

/// The port that is meant where none is written.
pub fn default_port(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "80",
        Scheme::Https => "443",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn name(text: &str) -> PolicyName {
        text.parse().unwrap()
    }

    fn rules(text: &str) -> EnvironmentRules {
        EnvironmentRules {
            name: name(text),
            hosts: Vec::new(),
            listen: Vec::new(),
            addresses: AddressRules::default(),
            limits: RequestLimits::default(),
            role_limits: BTreeMap::new(),
            max_key_age: None,
            max_key_idle: None,
            two_proofs: Scopes::default(),
            allow_unlabelled: false,
        }
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_environment_is_that_of_the_name_or_else_that_of_the_key() {
        let open = EnvironmentRules { allow_unlabelled: true, ..rules("open") };
        let all = Environments::new([rules("prod"), open]);
        let member = RoleRules::built_in(Role::Member);
        let admit = |entry: &str, label: &str| {
            let entry = (!entry.is_empty()).then(|| name(entry));
            let label = (!label.is_empty()).then_some(label);
            all.admit(entry, label, &member, HERE).map(|rules| rules.map_or("", |rules| rules.name.as_str()).to_owned())
        };
        let other = |label, here| Misplaced::Other { label: name(label), here: name(here) };
        for (entry, label, wanted) in [
            ("", "", Ok("")),
            ("", "ci", Ok("")),
            ("", "PROD", Ok("")),
            ("", "prod", Ok("prod")),
            ("prod", "prod", Ok("prod")),
            ("prod", "open", Err(other("open", "prod"))),
            ("prod", "", Err(Misplaced::Unlabelled(name("prod")))),
            ("prod", "ci", Err(Misplaced::Unlabelled(name("prod")))),
            ("open", "open", Ok("open")),
            ("open", "", Ok("open")),
            ("open", "ci", Ok("open")),
            ("open", "prod", Err(other("prod", "open"))),
            ("gone", "prod", Err(Misplaced::Undefined(name("gone")))),
            ("gone", "", Err(Misplaced::Undefined(name("gone")))),
        ] {
            assert_eq!(admit(entry, label), wanted.map(str::to_owned), "{entry:?} {label:?}");
        }
    }

    #[test]
    fn role_and_addresses_count_wherever_the_key_is_used() {
        let addresses = AddressRules { allow: "10.0.0.0/8".parse().unwrap(), ..AddressRules::default() };
        let all = Environments::new([EnvironmentRules { addresses, ..rules("prod") }]);
        let only = |names: &[&str]| RoleRules {
            environments: Some(names.iter().map(|text| name(text)).collect::<BTreeSet<_>>()),
            ..RoleRules::built_in(Role::Member)
        };
        let inside: IpAddr = "10.1.2.3".parse().unwrap();
        for entry in [None, Some(name("prod"))] {
            let admit = |role: &RoleRules, address| all.admit(entry, Some("prod"), role, address).err();
            assert_eq!(admit(&only(&["prod"]), inside), None);
            assert_eq!(admit(&only(&["prod"]), HERE), Some(Misplaced::Address(name("prod"))));
            assert_eq!(admit(&only(&["staging"]), inside), Some(Misplaced::Role(name("prod"))));
            assert_eq!(admit(&only(&[]), inside), Some(Misplaced::Role(name("prod"))));
        }
        // In no environment neither counts.
        assert_eq!(all.admit(None, None, &only(&[]), HERE), Ok(None));
    }

    #[test]
    fn a_host_is_compared_with_its_port() {
        let hosts = ["prod.example.com", "[::1]", "10.0.0.5:8443", "x.example:443"].map(str::to_owned).to_vec();
        let all = Environments::new([EnvironmentRules { hosts, ..rules("prod") }]);
        for (host, is_known) in [
            ("prod.example.com", true),
            ("PROD.example.com:9", true),
            ("[::1]:443", true),
            ("[::1]", true),
            ("10.0.0.5:8443", true),
            ("10.0.0.5", false),
            ("x.example", true),
            ("x.example:443", true),
            ("x.example:444", false),
            ("prod.example.com.", false),
            ("prod.example.com.evil", false),
            ("a.prod.example.com", false),
            ("prod.example.com@evil", false),
            ("", false),
        ] {
            assert_eq!(all.of_host(host, Scheme::Https).is_some(), is_known, "{host}");
        }
        assert_eq!(all.of_host("x.example", Scheme::Http), None);
    }

    #[test]
    fn listeners_stay_as_they_are_until_a_restart() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let with = |text: &str, ports: &[u16]| EnvironmentRules {
            listen: ports.iter().map(|port| at(*port)).collect(),
            ..rules(text)
        };
        let running = Environments::new([with("a", &[1]), with("b", &[2])]);
        let same = Environments::new([with("a", &[1]), EnvironmentRules { allow_unlabelled: true, ..with("b", &[2]) }]);
        assert_eq!(same.with_listeners_of(&running), (same.clone(), false));
        let (kept, is_changed) = Environments::new([with("a", &[3]), with("c", &[4])]).with_listeners_of(&running);
        assert!(is_changed);
        assert_eq!(kept, Environments::new([with("a", &[1]), with("c", &[])]));
    }
}
