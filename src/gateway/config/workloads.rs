//! The rules of `[[workload]]`: which programs are accepted with a token of an issuer, and what they may do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use toml::{Table as TomlTable, Value};

use super::error::{ConfigError, Source};
use super::limits::limits;
use super::value::{path, patterns, read_list, time};
use crate::gateway::environments::Environments;
use crate::gateway::oidc::{IssuerUrl, KeySource};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::workload::{ClaimPattern, ClaimRule, ClaimRules, Provider, WorkloadRule, Workloads, account_id};
use crate::keyspec::{Models, RequestLimits, Scope, Scopes};

/// Rules that a configuration may have. Each is compared with every new token of its issuer.
const MOST_RULES: usize = 500;
/// Claims of a rule, and values of a claim.
const MOST_CLAIMS: usize = 32;
const MOST_VALUES: usize = 64;
/// How deep a claim may be in objects.
const DEEPEST: usize = 8;
/// In bytes, of an audience and of the name of a claim.
const LONGEST: usize = 512;

/// Audiences of tokens that programs have for something else: who accepts them could use these tokens elsewhere, and the other way round.
const EVERYWHERE: [&str; 6] = [
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "kubernetes.default.svc",
    "sts.amazonaws.com",
    "api://AzureADTokenExchange",
    "vault",
];

/// Claims that the gateway itself checks.
const CHECKED_ANYWAY: [(&str, &str); 6] = [
    ("iss", "set issuer instead"),
    ("aud", "set audience instead"),
    ("exp", "set max-token-lifetime instead"),
    ("iat", "set max-token-lifetime instead"),
    ("nbf", "it is always checked"),
    ("jti", "it is another one in every token"),
];

/// A rule as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", expecting = "a table")]
struct Table {
    name: PolicyName,
    issuer: IssuerUrl,
    #[serde(default)]
    provider: Option<Provider>,
    #[serde(deserialize_with = "audience")]
    audience: String,
    #[serde(deserialize_with = "claims")]
    claims: ClaimRules,
    #[serde(deserialize_with = "scopes")]
    scopes: Scopes,
    #[serde(default, deserialize_with = "patterns")]
    models: Option<Models>,
    #[serde(default)]
    environment: Option<PolicyName>,
    #[serde(default, deserialize_with = "limits")]
    limits: RequestLimits,
    #[serde(default = "hour", deserialize_with = "time::<_, 60, 86_400>")]
    max_token_lifetime: Duration,
    #[serde(default = "quarter", deserialize_with = "time::<_, 60, 86_400>")]
    max_key_lifetime: Duration,
    #[serde(default)]
    jwks_url: Option<IssuerUrl>,
    #[serde(default, deserialize_with = "path")]
    jwks_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "path")]
    ca_file: Option<PathBuf>,
}

fn hour() -> Duration {
    Duration::from_secs(3600)
}

fn quarter() -> Duration {
    Duration::from_secs(900)
}

fn audience<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    let text = String::deserialize(value).map_err(|_| D::Error::custom(""))?;
    let fits = (1..=LONGEST).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if fits { Ok(text) } else { Err(D::Error::custom("")) }
}

fn scopes<'de, D: Deserializer<'de>>(value: D) -> Result<Scopes, D::Error> {
    let list = read_list(value, |text| match text.parse::<Scope>().map_err(|error| error.to_string())? {
        Scope::Admin => Err("no workload may manage the accounts of people".to_owned()),
        Scope::Keys => {
            Err("a workload needs no scope to exchange its token for a key, and may not make others".to_owned())
        }
        scope => Ok(scope),
    })?;
    if list.is_empty() { Err(D::Error::custom("")) } else { Ok(list.into_iter().collect()) }
}

/// A table in which tables mean objects of the token.
fn claims<'de, D: Deserializer<'de>>(value: D) -> Result<ClaimRules, D::Error> {
    let table = TomlTable::deserialize(value).map_err(|_| D::Error::custom(""))?;
    let mut rules = Vec::new();
    collect(&table, &mut Vec::new(), &mut rules).map_err(D::Error::custom)?;
    if rules.len() > MOST_CLAIMS {
        return Err(D::Error::custom(format!("there are more than {MOST_CLAIMS} claims")));
    }
    if let Some((name, instead)) =
        CHECKED_ANYWAY.into_iter().find(|(name, _)| rules.iter().any(|rule| rule.path[0] == *name))
    {
        return Err(D::Error::custom(format!("the claim {name} cannot be among them: {instead}")));
    }
    if !rules.iter().any(ClaimRule::is_specific) {
        return Err(D::Error::custom(
            "at least one claim must say more than `*`: otherwise every token of the issuer is accepted",
        ));
    }
    Ok(ClaimRules::new(rules))
}

fn collect(table: &TomlTable, path: &mut Vec<String>, rules: &mut Vec<ClaimRule>) -> Result<(), String> {
    for (name, value) in table {
        if name.is_empty() || name.len() > LONGEST || path.len() >= DEEPEST {
            return Err(format!("{} is too long, too deep or empty", if name.is_empty() { "a name" } else { name }));
        }
        path.push(name.clone());
        if let Value::Table(inner) = value {
            if inner.is_empty() {
                return Err(format!("{}: the table is empty", path.join(".")));
            }
            collect(inner, path, rules)?;
        } else {
            let items = match value {
                Value::Array(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            let problem = |problem: &str| format!("{}: {problem}", path.join("."));
            if items.is_empty() || items.len() > MOST_VALUES {
                return Err(problem(&format!("a list has 1 to {MOST_VALUES} values, of which one is enough")));
            }
            let text = |item: &Value| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Integer(number) => Ok(number.to_string()),
                Value::Boolean(truth) => Ok(truth.to_string()),
                _ => Err("a value is a text, a whole number, true or false"),
            };
            let values = items.iter().map(|item| ClaimPattern::new(text(item)?)).collect::<Result<_, _>>();
            rules.push(ClaimRule { path: path.clone(), values: values.map_err(problem)? });
        }
        path.pop();
    }
    Ok(())
}

impl<'de> Deserialize<'de> for WorkloadRule {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let Table {
            name,
            issuer,
            provider,
            audience,
            claims,
            scopes,
            models,
            environment,
            limits,
            max_token_lifetime,
            max_key_lifetime,
            jwks_url,
            jwks_file,
            ca_file,
        } = Table::deserialize(value)?;
        let failed = |problem: &str| D::Error::custom(format!("the rule {name}: {problem}"));
        if EVERYWHERE.contains(&&*audience) || audience == issuer.as_str() {
            return Err(failed(
                "audience: tokens with this one are made for something else; use the gateway's address, and ask for tokens with it",
            ));
        }
        let keys = match (jwks_url, jwks_file) {
            (Some(_), Some(_)) => return Err(failed("set jwks-url or jwks-file, and not both")),
            (Some(url), None) => KeySource::Url(url),
            (None, Some(file)) => KeySource::File(file),
            (None, None) => KeySource::Discovery,
        };
        let of_issuer = Provider::of(&issuer);
        // That an issuer serves everyone is not for the configuration to deny.
        let provider = if of_issuer == Provider::Other { provider.unwrap_or_default() } else { of_issuer };
        provider.check(&claims).map_err(|problem| failed(&problem))?;
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Ok(Self {
            name,
            account: account_id(name),
            issuer,
            provider,
            audience,
            claims,
            scopes,
            models: models.unwrap_or_default(),
            environment,
            limits,
            max_token_lifetime: seconds(max_token_lifetime),
            max_key_lifetime: seconds(max_key_lifetime),
            keys,
            ca_file,
        })
    }
}

/// The rules of `[[workload]]`.
pub fn workloads<'de, D: Deserializer<'de>>(value: D) -> Result<Workloads, D::Error> {
    struct Rules;

    impl<'de> Visitor<'de> for Rules {
        type Value = Workloads;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of tables")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Workloads, A::Error> {
            let mut rules: Vec<WorkloadRule> = Vec::new();
            while let Some(rule) = list.next_element::<WorkloadRule>()? {
                if rules.iter().any(|other| other.name == rule.name) {
                    return Err(A::Error::custom(format!("two rules have the name {}", rule.name)));
                }
                rules.push(rule);
                if rules.len() > MOST_RULES {
                    return Err(A::Error::custom(format!("there are more than {MOST_RULES} rules")));
                }
            }
            Ok(Workloads::new(rules))
        }
    }
    value.deserialize_seq(Rules)
}

/// The same with paths that are relative to that folder.
pub fn within(workloads: &Workloads, folder: &Path) -> Workloads {
    let moved = |rule: &WorkloadRule| {
        let mut rule = rule.clone();
        if let KeySource::File(path) = &mut rule.keys {
            *path = folder.join(&*path);
        }
        rule.ca_file = rule.ca_file.map(|path| folder.join(path));
        rule
    };
    Workloads::new(workloads.all().map(|rule| moved(rule)).collect())
}

/// Checks what the rules have to do with each other and with the other tables.
pub fn check(workloads: &Workloads, environments: &Environments, at: Source) -> Result<(), ConfigError> {
    let refuse = |problem: String, hint| Err(ConfigError::Policy { at: at.clone(), problem, hint });
    let rules: Vec<_> = workloads.all().collect();
    for (at, rule) in rules.iter().enumerate() {
        let earlier = rules[..at].iter().find(|other| other.issuer == rule.issuer);
        if let Some(other) = earlier.filter(|other| other.issuer_settings() != rule.issuer_settings()) {
            let problem = format!(
                "the workload rules {} and {} say different things of the issuer {}",
                other.name, rule.name, rule.issuer
            );
            return refuse(problem, "Give both the same jwks-url, jwks-file and ca-file.");
        }
        if let Some(name) = rule.environment.filter(|_| !environments.is_empty())
            && environments.get(name.as_str()).is_none()
        {
            let problem = format!("the workload rule {} names the environment {name}, which is not defined", rule.name);
            return refuse(problem, "Define it as [environments.NAME], or correct the name.");
        }
    }
    Ok(())
}

/// What a member of a rule must be, with an example.
pub fn expected(name: &str) -> Option<&'static str> {
    let member = name.strip_prefix("workload.")?;
    match member.split('.').next().unwrap_or_default() {
        "name" => Some("a name of 1 to 32 of a-z, 0-9 and `-`, such as \"deploy\""),
        "issuer" => Some(
            "the URL of the issuer, as its tokens have it in iss, such as https://token.actions.githubusercontent.com",
        ),
        "provider" => Some("github, gitlab or other"),
        "audience" => Some("what the tokens are issued for, such as the gateway's address \"https://gpu.example.com\""),
        "claims" => Some("a table such as { repository_id = \"123\", ref = \"refs/heads/main\" }"),
        "scopes" => Some("a list of scopes such as [\"inference\", \"models:read\"]"),
        "models" => Some("a list of model patterns such as [\"llama3*\", \"qwen3:*\"]"),
        "environment" => Some("the name of an environment, such as \"ci\""),
        "max-token-lifetime" => Some("a time from 1m to 24h, such as 1h"),
        "max-key-lifetime" => Some("a time from 1m to 24h, such as 15m"),
        "jwks-url" => Some("the URL of the issuer's keys, such as https://id.example.com/keys"),
        "jwks-file" | "ca-file" => Some("the path of a file"),
        _ => None,
    }
}
