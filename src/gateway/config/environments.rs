//! The tables of environments: `[environments.NAME]` gives one names, listeners and rules of its own. What they must not have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::error::{ConfigError, Source};
use super::limits::{Limits, limits};
use super::roles::{EXPECTED_PROOFS, ProofScope};
use super::settings::Config;
use super::value::{boolean, host_names, retention, socket_addresses};
use crate::gateway::environments::{EnvironmentRules, Environments, split_host};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::Role;
use crate::keyspec::{AddressRules, RequestLimits};

/// Environments that a configuration may define, and the host names and listeners of each.
const MOST_ENVIRONMENTS: usize = 100;
const MOST_NAMES: usize = 100;

/// A table as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    #[serde(deserialize_with = "host_names")]
    hosts: Vec<String>,
    #[serde(deserialize_with = "socket_addresses")]
    listen: Vec<SocketAddr>,
    addresses: AddressRules,
    #[serde(deserialize_with = "limits")]
    limits: RequestLimits,
    role_limits: BTreeMap<Role, Limits>,
    #[serde(deserialize_with = "retention")]
    max_key_age: Option<Duration>,
    #[serde(deserialize_with = "retention")]
    max_key_idle: Option<Duration>,
    two_proofs: Vec<ProofScope>,
    #[serde(deserialize_with = "boolean")]
    allow_unlabelled: bool,
}

impl Table {
    fn rules(self, name: PolicyName) -> Result<EnvironmentRules, String> {
        let Self {
            hosts,
            listen,
            addresses,
            limits,
            role_limits,
            max_key_age,
            max_key_idle,
            two_proofs,
            allow_unlabelled,
        } = self;
        if hosts.len().max(listen.len()) > MOST_NAMES {
            return Err(format!("the environment {name} has more than {MOST_NAMES} host names or listeners"));
        }
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        addresses.check().map_err(|error| format!("addresses: {error}"))?;
        Ok(EnvironmentRules {
            name,
            hosts,
            listen,
            addresses,
            limits,
            role_limits: role_limits.into_iter().map(|(role, Limits(limits))| (role, limits)).collect(),
            max_key_age: max_key_age.map(seconds),
            max_key_idle: max_key_idle.map(seconds),
            two_proofs: two_proofs.into_iter().map(|ProofScope(scope)| scope).collect(),
            allow_unlabelled,
        })
    }
}

/// The tables below `[environments]`.
pub fn environments<'de, D: Deserializer<'de>>(value: D) -> Result<Environments, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = Environments;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Environments, A::Error> {
            let mut all = Vec::new();
            while let Some((name, table)) = map.next_entry::<PolicyName, Table>()? {
                all.push(table.rules(name).map_err(A::Error::custom)?);
                if all.len() > MOST_ENVIRONMENTS {
                    return Err(A::Error::custom(format!("there are more than {MOST_ENVIRONMENTS} environments")));
                }
            }
            Ok(Environments::new(all))
        }
    }
    value.deserialize_map(Tables)
}

/// What a member of such a table must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    match name.strip_prefix("environments.")?.split_once('.') {
        None => Some("the table of an environment, such as [environments.staging]"),
        Some((_, "hosts")) => Some("a list of host names such as [\"staging.example.com\"]"),
        Some((_, "listen")) => Some("a list of ADDRESS:PORT such as [\"127.0.0.1:11436\"]"),
        Some((_, "max-key-age" | "max-key-idle")) => Some("a number of days from 1d to 3650d, such as 30d, or none"),
        Some((_, "two-proofs")) => Some(EXPECTED_PROOFS),
        Some((_, "allow-unlabelled")) => Some("true or false"),
        Some((_, "role-limits")) => Some("tables such as [environments.staging.role-limits.member]"),
        Some(_) => None,
    }
}

/// Checks what environments have to do with each other, with roles, and with the gateway's own names.
pub fn check(config: &Config, source: impl Fn(&str) -> Source) -> Result<(), ConfigError> {
    let refuse = |setting: &str, problem: String, hint| Err(ConfigError::Policy { at: source(setting), problem, hint });
    // Those of workload rules name a label, which need not be an environment's where there are none.
    for (role, rules) in config.roles.all().filter(|(role, _)| role.workload().is_none()) {
        let mut named = rules.environments.iter().flatten();
        if let Some(name) = named.find(|name| config.environments.get(name.as_str()).is_none()) {
            let problem = format!("the role {role} allows the environment {name}, which is not defined");
            return refuse("roles", problem, "Define it as [environments.NAME], or correct the name.");
        }
    }
    let mut hosts = own_hosts(config);
    let mut listeners = vec![(config.listen, "listen".to_owned())];
    for rules in config.environments.all() {
        let name = rules.name;
        if let Some(role) = rules.role_limits.keys().find(|role| !config.roles.is_defined(role)) {
            let problem = format!("the environment {name} has limits of the role {role}, which is not defined");
            return refuse("environments", problem, "Define it as [roles.NAME], or correct the name.");
        }
        for host in &rules.hosts {
            if let Some((_, other)) = hosts.iter().find(|(known, _)| is_same_host(known, host)) {
                let problem = format!("the host name {host:?} of the environment {name} is also that of {other}");
                return refuse("environments", problem, "Give each environment host names of its own.");
            }
            hosts.push((host.clone(), format!("the environment {name}")));
        }
        for listen in &rules.listen {
            if let Some((_, other)) = listeners.iter().find(|(known, _)| is_same_listener(*known, *listen)) {
                let problem = format!("the environment {name} listens at {listen}, and so does {other}");
                return refuse("environments", problem, "Give each environment listeners of its own.");
            }
            listeners.push((*listen, format!("the environment {name}")));
        }
    }
    Ok(())
}

/// The names that mean the gateway and no environment, and where each comes from.
fn own_hosts(config: &Config) -> Vec<(String, String)> {
    let public = match &config.public_url {
        Some(url) => (format!("{}:{}", url.host(), url.port()), "the setting public-url".to_owned()),
        None => (config.listen.to_string(), "the setting listen".to_owned()),
    };
    let allowed = config.allowed_hosts.iter().map(|host| (host.clone(), "the setting allowed-hosts".to_owned()));
    allowed.chain([public]).collect()
}

/// Whether a `Host` header can mean both.
fn is_same_host(one: &str, other: &str) -> bool {
    let ((one, port), (other, others)) = (split_host(one), split_host(other));
    one.eq_ignore_ascii_case(other) && (port.is_none() || others.is_none() || port == others)
}

/// Whether one connection could come to both.
fn is_same_listener(one: SocketAddr, other: SocketAddr) -> bool {
    let (mine, others) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (mine == others || mine.is_unspecified() || others.is_unspecified())
}
