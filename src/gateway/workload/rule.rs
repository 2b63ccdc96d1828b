//! A workload rule: whose tokens it accepts, and what they may do.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::claim_rules::ClaimRules;
use super::provider::Provider;
use crate::gateway::oidc::{IssuerSettings, IssuerUrl, KeySource};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::roles::RoleRules;
use crate::gateway::store::Role;
use crate::keyspec::{Models, RequestLimits, Scopes};

/// What the configuration says of workloads with tokens of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadRule {
    /// Its name, which is also that of its service account.
    pub name: PolicyName,
    /// The id of that account.
    pub account: Uuid,
    /// Who issues the tokens.
    pub issuer: IssuerUrl,
    /// Whose tokens these are.
    pub provider: Provider,
    /// What the tokens are for.
    pub audience: String,
    /// What they must say.
    pub claims: ClaimRules,
    /// What they may do.
    pub scopes: Scopes,
    /// With which models.
    pub models: Models,
    /// What they are labelled with, as API keys are.
    pub environment: Option<PolicyName>,
    /// How much the service account may use.
    pub limits: RequestLimits,
    /// How long after it was issued a token is accepted at most, in seconds.
    pub max_token_lifetime: i64,
    /// How long an API key lives at most that a token was exchanged for, in seconds.
    pub max_key_lifetime: i64,
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// Authorities that are trusted besides the system's when the issuer is asked.
    pub ca_file: Option<PathBuf>,
}

impl WorkloadRule {
    /// The role of its service account.
    pub fn role(&self) -> Role {
        Role::of_workload(self.name)
    }

    /// What that role allows.
    pub fn role_rules(&self) -> RoleRules {
        RoleRules {
            base: Some(self.role()),
            scopes: self.scopes,
            models: [self.models.clone(), self.models.clone(), self.models.clone()],
            max_key_lifetime: Some(self.max_key_lifetime),
            // The label of a token that was exchanged before does not open more.
            environments: self.environment.map(|name| [name].into()),
            label: self.environment,
            limits: self.limits,
            ..RoleRules::default()
        }
    }

    /// How its issuer is asked.
    pub fn issuer_settings(&self) -> IssuerSettings {
        IssuerSettings { url: self.issuer.clone(), keys: self.keys.clone(), ca_file: self.ca_file.clone() }
    }
}

/// All rules, in the order of the configuration. Clones share them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workloads(Arc<[Arc<WorkloadRule>]>);

impl Workloads {
    /// These.
    pub fn new(rules: Vec<WorkloadRule>) -> Self {
        Self(rules.into_iter().map(Arc::new).collect())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<WorkloadRule>> {
        self.0.iter()
    }

    /// The one of that name.
    pub fn get(&self, name: PolicyName) -> Option<&Arc<WorkloadRule>> {
        self.0.iter().find(|rule| rule.name == name)
    }

    /// Those of that issuer.
    pub fn of_issuer<'a>(&'a self, issuer: &'a str) -> impl Iterator<Item = &'a Arc<WorkloadRule>> {
        self.0.iter().filter(move |rule| rule.issuer.as_str() == issuer)
    }

    /// The roles of their service accounts.
    pub fn roles(&self) -> impl Iterator<Item = (Role, RoleRules)> + '_ {
        self.0.iter().map(|rule| (rule.role(), rule.role_rules()))
    }

    /// Whether both are the same, and not only equal: what was decided by these still counts.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
