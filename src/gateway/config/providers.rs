//! The tables of providers: `[oidc.NAME]` is one at which people sign in. What must hold between them and the other settings.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::error::{ConfigError, Source};
use super::settings::Config;
use super::value::{boolean, path, read_list, time};
use crate::gateway::oidc::IssuerUrl;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::providers::{ClaimRule, ProviderSettings, Providers};
use crate::gateway::store::Role;

/// Providers that a configuration may define, and what each may list.
const MOST_PROVIDERS: usize = 20;
const MOST_ENTRIES: usize = 1000;
/// In characters, of a text.
const LONGEST: usize = 256;
/// The names of claims and values, and a title, in characters.
const LONGEST_TITLE: usize = 40;

/// A table as it is written.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    issuer: Option<IssuerUrl>,
    client_id: Text,
    #[serde(deserialize_with = "path")]
    client_secret_file: Option<PathBuf>,
    title: Text,
    #[serde(deserialize_with = "scopes")]
    scopes: Vec<String>,
    name_claim: Text,
    email_claim: Text,
    groups_claim: Text,
    #[serde(deserialize_with = "boolean")]
    create_accounts: bool,
    #[serde(deserialize_with = "domains")]
    allowed_domains: Vec<String>,
    #[serde(deserialize_with = "boolean")]
    require_verified_email: bool,
    #[serde(deserialize_with = "role")]
    default_role: Option<Role>,
    rules: Vec<Rule>,
    #[serde(deserialize_with = "boolean")]
    trust_sign_in_time: bool,
    #[serde(deserialize_with = "recheck")]
    recheck: Option<Duration>,
    #[serde(deserialize_with = "path")]
    ca_file: Option<PathBuf>,
}

/// A rule as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Rule {
    claim: Option<Text>,
    value: Text,
    role: Option<Role>,
    groups: Vec<PolicyName>,
}

/// Text in one line.
#[derive(Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let text = String::deserialize(value).map_err(|_| D::Error::custom(""))?;
        let fits = text.chars().count() <= LONGEST && !text.chars().any(char::is_control) && text == text.trim();
        if fits { Ok(Self(text)) } else { Err(D::Error::custom("")) }
    }
}

impl Default for Table {
    fn default() -> Self {
        let text = |text: &str| Text(text.to_owned());
        Self {
            issuer: None,
            client_id: text(""),
            client_secret_file: None,
            title: text(""),
            scopes: ["openid", "profile", "email"].map(str::to_owned).into(),
            name_claim: text("preferred_username"),
            email_claim: text("email"),
            groups_claim: text("groups"),
            create_accounts: true,
            allowed_domains: Vec::new(),
            require_verified_email: true,
            // Whoever has an account at a provider that is open to everybody would have one here.
            default_role: None,
            rules: Vec::new(),
            trust_sign_in_time: false,
            recheck: None,
            ca_file: None,
        }
    }
}

impl Table {
    fn settings(self, name: PolicyName) -> Result<ProviderSettings, String> {
        let issuer = self.issuer.ok_or_else(|| format!("the provider {name} needs an issuer"))?;
        if self.client_id.0.is_empty() {
            return Err(format!("the provider {name} needs a client-id"));
        }
        if [&self.name_claim, &self.email_claim, &self.groups_claim].iter().any(|claim| claim.0.is_empty()) {
            return Err(format!("the provider {name} has a claim without a name"));
        }
        if self.title.0.chars().count() > LONGEST_TITLE {
            return Err(format!("the title of the provider {name} has more than {LONGEST_TITLE} characters"));
        }
        if self.rules.len().max(self.allowed_domains.len()).max(self.scopes.len()) > MOST_ENTRIES {
            return Err(format!("the provider {name} has a list of more than {MOST_ENTRIES} entries"));
        }
        if !self.allowed_domains.is_empty() && !self.require_verified_email {
            return Err("allowed-domains needs require-verified-email: anybody could claim such an address".to_owned());
        }
        if self.require_verified_email && self.email_claim.0 != "email" {
            return Err(format!(
                "the provider {name} has another email-claim than \"email\": email_verified says nothing of it, so require-verified-email must be false"
            ));
        }
        let groups_claim = self.groups_claim.0;
        let rules = self.rules.into_iter().map(|rule| rule.rule(&groups_claim)).collect::<Result<_, _>>()?;
        let mut scopes = self.scopes;
        // Without it the provider gives no ID token.
        if !scopes.iter().any(|scope| scope == "openid") {
            scopes.insert(0, "openid".to_owned());
        }
        let title = if self.title.0.is_empty() { name.to_string() } else { self.title.0 };
        Ok(ProviderSettings {
            name,
            issuer,
            client_id: self.client_id.0,
            client_secret_file: self.client_secret_file,
            title,
            scopes,
            name_claim: self.name_claim.0,
            email_claim: self.email_claim.0,
            create_accounts: self.create_accounts,
            allowed_domains: self.allowed_domains,
            require_verified_email: self.require_verified_email,
            default_role: self.default_role,
            rules,
            trust_sign_in_time: self.trust_sign_in_time,
            recheck: self.recheck,
            ca_file: self.ca_file,
        })
    }
}

impl Rule {
    fn rule(self, groups_claim: &str) -> Result<ClaimRule, String> {
        let claim = self.claim.map_or_else(|| groups_claim.to_owned(), |claim| claim.0);
        if claim.is_empty() || self.value.0.is_empty() {
            return Err("a rule needs the value of a claim, such as value = \"gpu-admins\"".to_owned());
        }
        if self.role.is_none() && self.groups.is_empty() {
            return Err(format!("the rule for {:?} gives nothing: add role or groups", self.value.0));
        }
        Ok(ClaimRule { claim, value: self.value.0, role: self.role, groups: self.groups })
    }
}

/// The tables below `[oidc]`.
pub fn providers<'de, D: Deserializer<'de>>(value: D) -> Result<Providers, D::Error> {
    struct Tables;

    impl<'de> Visitor<'de> for Tables {
        type Value = Providers;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Providers, A::Error> {
            let mut all = Vec::new();
            while let Some((name, table)) = map.next_entry::<PolicyName, Table>()? {
                all.push(table.settings(name).map_err(A::Error::custom)?);
                if all.len() > MOST_PROVIDERS {
                    return Err(A::Error::custom(format!("there are more than {MOST_PROVIDERS} providers")));
                }
            }
            Ok(Providers::new(all))
        }
    }
    value.deserialize_map(Tables)
}

/// Scopes: words of printable ASCII, without quotes and backslashes (RFC 6749, section 3.3).
fn scopes<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    read_list(value, |text| {
        let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let is_scope = (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits);
        if is_scope { Ok(text.to_owned()) } else { Err(String::new()) }
    })
}

/// Domains, in lower case. One of another script is written as `xn--…`.
fn domains<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    read_list(value, |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let is_domain = text.contains('.') && text.len() <= LONGEST && text.bytes().all(fits);
        if is_domain { Ok(text.to_ascii_lowercase()) } else { Err(String::new()) }
    })
}

/// The name of a role, or `none`.
fn role<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Role>, D::Error> {
    let name = String::deserialize(value).map_err(|_| D::Error::custom(""))?;
    match name.as_str() {
        "none" => Ok(None),
        name => name.parse().map(Some).map_err(|_| D::Error::custom("")),
    }
}

/// A time, or `none`.
fn recheck<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(value).map_err(|_| D::Error::custom(""))?;
    match text.as_str() {
        "none" => Ok(None),
        text => time::<_, 10, 86_400>(serde::de::value::StrDeserializer::<D::Error>::new(text)).map(Some),
    }
}

/// What a member of such a table must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    match name.strip_prefix("oidc.")?.split_once('.') {
        None => Some("the table of a provider, such as [oidc.company] with issuer and client-id"),
        Some((_, "issuer")) => {
            Some("the URL that the provider names as its issuer, such as \"https://login.example.com\"")
        }
        Some((_, "client-id")) => Some("what the provider calls this gateway, such as \"gpu-gateway\""),
        Some((_, "client-secret-file" | "ca-file")) => Some("the path of a file"),
        Some((_, "title")) => Some("a text such as \"Company\""),
        Some((_, "scopes")) => Some("a list of scopes such as [\"openid\", \"profile\", \"email\"]"),
        Some((_, "name-claim" | "email-claim" | "groups-claim")) => Some("the name of a claim, such as \"groups\""),
        Some((_, "create-accounts" | "require-verified-email" | "trust-sign-in-time")) => Some("true or false"),
        Some((_, "allowed-domains")) => Some("a list of domains such as [\"example.com\"]"),
        Some((_, "default-role")) => Some("a role such as \"member\", or none"),
        Some((_, "recheck")) => Some("a time from 10s to 24h, such as 15m, or none"),
        Some((_, rest)) if rest == "rules" || rest.starts_with("rules.") => {
            Some("a list of rules such as { value = \"gpu-admins\", role = \"admin\", groups = [\"research\"] }")
        }
        Some(_) => None,
    }
}

/// Checks what providers have to do with each other and with other settings.
pub fn check(config: &Config, source: impl Fn(&str) -> Source) -> Result<(), ConfigError> {
    let refuse = |setting: &str, problem: String, hint| Err(ConfigError::Policy { at: source(setting), problem, hint });
    if !config.local_accounts && config.oidc.is_empty() {
        let problem = "local-accounts is false, but there is no provider, so nobody could sign in".to_owned();
        return refuse("local-accounts", problem, "Define one as [oidc.NAME], or set local-accounts to true.");
    }
    let mut issuers = BTreeSet::new();
    for provider in config.oidc.all() {
        let name = provider.name;
        if !issuers.insert(&provider.issuer) {
            let problem = format!("the issuer {} is that of two providers", provider.issuer);
            return refuse("oidc", problem, "Keep one of them: people are known by issuer and subject.");
        }
        if let Some(role) = provider.roles().find(|role| !config.roles.is_defined(role)) {
            let problem = format!("the provider {name} gives the role {role}, which is not defined");
            return refuse("oidc", problem, "Define it as [roles.NAME], or correct the name.");
        }
        if let Some(group) = provider.groups().find(|group| !config.groups.is_defined(group)) {
            let problem = format!("the provider {name} gives the group {group}, which is not defined");
            return refuse("oidc", problem, "Define it as [groups.NAME], or correct the name.");
        }
        if provider.default_role.is_none() && !provider.gives_roles() {
            let problem =
                format!("the provider {name} admits nobody: no rule gives a role, and there is no default-role");
            return refuse(
                "oidc",
                problem,
                "Add a rule such as { value = \"gpu-users\", role = \"member\" }, or default-role = \"member\" for everybody at that \
                 provider, with allowed-domains if it is open to strangers.",
            );
        }
        if provider.recheck.is_some() && config.secret_file.is_none() {
            let problem = format!("recheck of the provider {name} needs secret-file, with which tokens are encrypted");
            return refuse("oidc", problem, "Create one: (umask 077; head -c 32 /dev/urandom | base64 > secret)");
        }
        for rule in config.workloads.all() {
            // The provider signs such tokens for people too, and people are no workloads.
            if rule.audience == provider.client_id {
                let problem = format!("the audience of the rule {} is the client-id of the provider {name}", rule.name);
                return refuse("workload", problem, "Choose another audience, such as the gateway's address.");
            }
            if rule.issuer == provider.issuer && rule.issuer_settings() != provider.issuer_settings() {
                let problem = format!(
                    "the workload rule {} and the provider {name} say different things of the issuer {}",
                    rule.name, rule.issuer
                );
                return refuse(
                    "workload",
                    problem,
                    "Give both the same ca-file, and the rule no jwks-url or jwks-file.",
                );
            }
        }
    }
    Ok(())
}
