//! The providers of the configuration: `[oidc.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::gateway::oidc::{IssuerSettings, IssuerUrl, KeySource};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::Role;

/// Every provider, by name. Clones share them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Providers(BTreeMap<PolicyName, Arc<ProviderSettings>>);

/// An issuer at which people sign in, and what its claims mean here.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSettings {
    /// Its name in addresses of pages and in events.
    pub name: PolicyName,
    /// Who signs its tokens.
    pub issuer: IssuerUrl,
    /// What the provider calls this gateway.
    pub client_id: String,
    /// The file with the secret that the gateway proves that with; without one PKCE alone protects the sign-in.
    pub client_secret_file: Option<PathBuf>,
    /// What people call it.
    pub title: String,
    /// What is asked for; `openid` among them.
    pub scopes: Vec<String>,
    /// The claim that new accounts are named after.
    pub name_claim: String,
    /// The claim with the e-mail address.
    pub email_claim: String,
    /// Whether a person without an account gets one.
    pub create_accounts: bool,
    /// The domains of e-mail addresses that get an account; empty for all.
    pub allowed_domains: Vec<String>,
    /// Whether only a verified e-mail address gets an account.
    pub require_verified_email: bool,
    /// The role of people to whom no rule gives one; without it they are refused.
    pub default_role: Option<Role>,
    /// What claims give.
    pub rules: Vec<ClaimRule>,
    /// Whether a person has proved who they are now, if the provider does not say when that was.
    pub trust_sign_in_time: bool,
    /// How often the provider is asked whether people are still what they were.
    pub recheck: Option<Duration>,
    /// Authorities that its certificate may be of, besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// What people get who have a claim with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// Its name; with dots it may be in an object.
    pub claim: String,
    /// The value, or one of a list.
    pub value: String,
    /// The role, if no earlier rule gives another.
    pub role: Option<Role>,
    /// The groups.
    pub groups: Vec<PolicyName>,
}

impl Providers {
    /// With these.
    pub fn new(all: Vec<ProviderSettings>) -> Self {
        Self(all.into_iter().map(|provider| (provider.name, Arc::new(provider))).collect())
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ProviderSettings>> {
        self.0.values()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<ProviderSettings>> {
        self.0.get(name)
    }

    /// The one with that issuer.
    pub fn of_issuer(&self, issuer: &str) -> Option<&Arc<ProviderSettings>> {
        self.all().find(|provider| provider.issuer.as_str() == issuer)
    }

    /// The same providers with paths that `place` makes of those that are written.
    pub fn with_paths(&self, place: impl Fn(&PathBuf) -> PathBuf) -> Self {
        Self::new(
            self.all()
                .map(|provider| {
                    let mut provider = (**provider).clone();
                    provider.client_secret_file = provider.client_secret_file.as_ref().map(&place);
                    provider.ca_file = provider.ca_file.as_ref().map(&place);
                    provider
                })
                .collect(),
        )
    }
}

impl ProviderSettings {
    /// Its issuer, whose address of the keys comes from its discovery document.
    pub fn issuer_settings(&self) -> IssuerSettings {
        IssuerSettings { url: self.issuer.clone(), keys: KeySource::Discovery, ca_file: self.ca_file.clone() }
    }

    /// Whether rules decide about roles. Otherwise administrators do, once an account is there.
    pub fn gives_roles(&self) -> bool {
        self.rules.iter().any(|rule| rule.role.is_some())
    }

    /// The roles that it can give.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.rules.iter().filter_map(|rule| rule.role.as_ref()).chain(&self.default_role)
    }

    /// The groups that it decides about: administrators decide about all others.
    pub fn groups(&self) -> impl Iterator<Item = &PolicyName> {
        self.rules.iter().flat_map(|rule| &rule.groups)
    }
}
