//! The policy that a configuration defines, as people and programs read it: in the notation of the file, with the built-in roles and every
//! default.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::caps::{CapRule, CapSet, WhenExceeded};
use super::config::Config;
use super::environments::EnvironmentRules;
use super::groups::GroupRules;
use super::oidc::KeySource;
use super::policy_name::PolicyName;
use super::roles::{RoleRules, SCOPES_WITH_MODELS};
use super::store::Role;
use super::workload::WorkloadRule;
use crate::keyspec::{AddressRules, Limit, RequestLimits, size_text, tokens_text};

/// In JSON: one member for each table of the file, and of a role also its scopes. As text: TOML.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Definitions(Map<String, Value>);

impl Definitions {
    /// Those of a configuration.
    pub fn new(config: &Config) -> Self {
        let roles = config.roles.all().filter(|(role, _)| role.workload().is_none());
        let roles = roles.map(|(role, rules)| (role.to_string(), role_table(role, rules)));
        let caps = config.caps.rules().iter().map(cap_rule).collect();
        let groups = config.groups.all().map(|(name, rules)| (name.to_string(), group_table(rules))).collect();
        let environments = config.environments.all().map(|rules| (rules.name.to_string(), environment_table(rules)));
        let of_models = config.model_limits.all().map(|(pattern, of_model)| (pattern.to_string(), limits(of_model)));
        let tables = [
            ("limits", limits(config.limits)),
            ("addresses", addresses(&config.addresses)),
            ("roles", roles.collect()),
            ("groups", groups),
            ("model-limits", of_models.collect()),
            ("environments", environments.collect()),
            ("caps", caps),
            ("workload", config.workloads.all().map(|rule| workload_rule(rule)).collect()),
        ];
        Self(tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect())
    }

    /// The workload rules.
    pub fn workloads(&self) -> &[Value] {
        self.0["workload"].as_array().map_or(&[], Vec::as_slice)
    }

    /// How much there is, in words.
    pub fn summary(&self) -> String {
        let own = |name: &String| !Role::BUILT_IN.iter().any(|role| role.name() == name);
        let members = |table: &str| self.0[table].as_object().into_iter().flat_map(Map::keys);
        let counts = [
            (
                members("roles").filter(|name| own(name)).count(),
                "role besides the built-in ones",
                "roles besides the built-in ones",
            ),
            (members("groups").count(), "group", "groups"),
            (members("environments").count(), "environment", "environments"),
            (members("model-limits").count(), "budget of models", "budgets of models"),
            (self.0["caps"].as_array().map_or(0, Vec::len), "rule of caps", "rules of caps"),
            (self.0["workload"].as_array().map_or(0, Vec::len), "workload rule", "workload rules"),
        ];
        let words = counts.into_iter().filter(|(number, ..)| *number > 0).map(|(number, one, many)| {
            let what = if number == 1 { one } else { many };
            format!("{number} {what}")
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() { "the built-in roles alone".to_owned() } else { words.join(", ") }
    }
}

/// TOML that the gateway would read as the same policy. The scopes, which no file can set, are in a comment.
impl fmt::Display for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables = self.0.clone();
        f.write_str("# Scopes:\n")?;
        for (name, role) in tables.get_mut("roles").and_then(Value::as_object_mut).into_iter().flatten() {
            let Some(role) = role.as_object_mut() else { continue };
            let scopes = role.remove("scopes");
            let scopes: Vec<_> =
                scopes.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
            let audit = if role.contains_key("audit") { "; and the event log" } else { "" };
            writeln!(f, "#   {name}: {}{audit}", scopes.join(", "))?;
            let base = role.get("base").and_then(Value::as_str).unwrap_or(name);
            if Role::from_name(base).is_some_and(|base| base.audits()) {
                role.remove("audit");
            }
        }
        if let Some(roles) = tables.get_mut("roles").and_then(Value::as_object_mut) {
            // Those that are as they are built in.
            roles.retain(|_, role| *role != json!({}));
        }
        tables.retain(|name, table| {
            !is_empty(table) || (matches!(&**name, "groups" | "environments") && *table != json!({}))
        });
        write!(f, "\n{}", toml::to_string(&tables).map_err(|_| fmt::Error)?.trim_end())
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn role_table(role: &Role, rules: &RoleRules) -> Value {
    let mut table = Map::new();
    let mut set = |name: &str, value: Value| table.insert(name.to_owned(), value);
    if let Some(base) = rules.base.as_ref().filter(|base| *base != role) {
        set("base", base.name().into());
    }
    set("scopes", rules.scopes.iter().map(|scope| scope.to_string()).collect());
    let models: Vec<_> = SCOPES_WITH_MODELS
        .into_iter()
        .filter(|scope| rules.scopes.contains(*scope))
        .map(|scope| (scope, rules.models(scope)))
        .collect();
    match models.as_slice() {
        [(_, first), rest @ ..] if rest.iter().all(|(_, models)| models == first) => {
            if !first.is_all() {
                set("models", json!(first));
            }
        }
        several => {
            let limited = several.iter().filter(|(_, models)| !models.is_all());
            set("models-by-scope", limited.map(|(scope, models)| (scope.to_string(), json!(models))).collect());
        }
    }
    for (name, longest) in [("max-key-lifetime", rules.max_key_lifetime), ("max-key-idle", rules.max_key_idle)] {
        if let Some(seconds) = longest {
            set(name, days(seconds));
        }
    }
    set("limits", limits(rules.limits));
    set("two-proofs", rules.two_proofs.iter().map(|scope| scope.to_string()).collect());
    let environments =
        rules.environments.as_ref().map(|names| names.iter().map(PolicyName::as_str).collect::<Vec<_>>());
    set("addresses", addresses(&rules.addresses));
    if rules.audit {
        set("audit", true.into());
    }
    table.retain(|_, value| !is_empty(value));
    // An empty list is none of them.
    table.extend(environments.map(|names| ("environments".to_owned(), json!(names))));
    table.into()
}

fn environment_table(rules: &EnvironmentRules) -> Value {
    let EnvironmentRules {
        hosts,
        listen,
        addresses,
        role_limits,
        max_key_age,
        max_key_idle,
        two_proofs,
        allow_unlabelled,
        ..
    } = rules;
    let of_roles = role_limits.iter().map(|(role, of_role)| (role.to_string(), limits(*of_role)));
    let members = [
        ("hosts", json!(hosts)),
        ("listen", listen.iter().map(ToString::to_string).collect()),
        ("addresses", json!(addresses)),
        ("limits", limits(rules.limits)),
        ("role-limits", of_roles.collect()),
        ("max-key-age", max_key_age.map_or(json!([]), days)),
        ("max-key-idle", max_key_idle.map_or(json!([]), days)),
        ("two-proofs", two_proofs.iter().map(|scope| scope.to_string()).collect()),
        ("allow-unlabelled", (*allow_unlabelled).into()),
    ];
    members.into_iter().filter(|(_, value)| !is_empty(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn days(seconds: i64) -> Value {
    format!("{}d", seconds / 86_400).into()
}

/// A group without limits stays, since people can be in it.
fn group_table(rules: &GroupRules) -> Value {
    let within = rules.within.map(|outer| ("within".to_owned(), outer.as_str().into()));
    within.into_iter().chain([("limits".to_owned(), limits(rules.limits))]).collect()
}

fn cap_rule(rule: &CapRule) -> Value {
    let CapRule { roles, models, caps } = rule;
    let CapSet { keep_alive, num_ctx, num_predict } = *caps;
    let all = [keep_alive, num_ctx, num_predict];
    let refuses = all.into_iter().flatten().any(|cap| cap.when_exceeded == WhenExceeded::Refuse);
    let [keep_alive, num_ctx, num_predict] = all.map(|cap| cap.map(|cap| cap.most));
    let members = [
        ("roles", Some(roles.iter().map(Role::name).collect())),
        ("models", Some(json!(models))),
        ("keep-alive", keep_alive.map(|seconds| format!("{seconds}s").into())),
        ("num-ctx", num_ctx.map(Value::from)),
        ("num-predict", num_predict.map(Value::from)),
        ("when-exceeded", Some(if refuses { "refuse" } else { "lower" }.into())),
    ];
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.filter(|(_, value)| !is_empty(value)).collect()
}

fn workload_rule(rule: &WorkloadRule) -> Value {
    let (jwks_url, jwks_file) = match &rule.keys {
        KeySource::Discovery => (None, None),
        KeySource::Url(url) => (Some(url), None),
        KeySource::File(path) => (None, Some(path)),
    };
    let members = [
        ("name", Some(rule.name.as_str().into())),
        ("issuer", Some(json!(rule.issuer))),
        ("provider", Some(json!(rule.provider))),
        ("audience", Some(rule.audience.as_str().into())),
        ("scopes", Some(rule.scopes.iter().map(|scope| scope.to_string()).collect())),
        ("models", Some(json!(rule.models))),
        ("environment", rule.environment.map(|name| name.as_str().into())),
        ("max-token-lifetime", Some(format!("{}s", rule.max_token_lifetime).into())),
        ("max-key-lifetime", Some(format!("{}s", rule.max_key_lifetime).into())),
        ("jwks-url", jwks_url.map(|url| json!(url))),
        ("jwks-file", jwks_file.map(|path| path.display().to_string().into())),
        ("ca-file", rule.ca_file.as_ref().map(|path| path.display().to_string().into())),
        ("limits", Some(limits(rule.limits))),
        // Tables of a table come last in TOML.
        ("claims", Some(rule.claims.to_json())),
    ];
    let given = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.filter(|(_, value)| !is_empty(value)).collect()
}

/// Without a list that is empty: no file can have an empty `allow`.
fn addresses(rules: &AddressRules) -> Value {
    let lists = [("allow", &rules.allow), ("deny", &rules.deny)];
    lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| (name.to_owned(), json!(list))).collect()
}

fn limits(limits: RequestLimits) -> Value {
    let name = |limit: Limit| match limit {
        Limit::RequestsPerMinute => "requests-per-minute",
        Limit::Burst => "burst",
        Limit::Streams => "streams",
        Limit::RequestSize => "request-size",
        Limit::TokensPerHour | Limit::TokensPerDay | Limit::TokensPerMonth => limit.name(),
    };
    let value = |limit, value: u64| -> Value {
        match limit {
            Limit::RequestSize => size_text(value).replace(" bytes", "").replace(' ', "").into(),
            _ if limit.is_budget() => tokens_text(value).into(),
            _ => value.into(),
        }
    };
    let on_exceed = limits.cuts_streams.then(|| ("on-exceed".to_owned(), "cut".into()));
    Limit::ALL
        .into_iter()
        .filter_map(|limit| Some((name(limit).to_owned(), value(limit, limits.get(limit)?))))
        .chain(on_exceed)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::config::{ConfigFile, Inputs, load};

    fn config(text: &str) -> Config {
        let file = Some(ConfigFile { path: "gateway.toml".into(), bytes: text.as_bytes().to_vec() });
        load(&Inputs { file, ..Inputs::default() }).unwrap()
    }

    #[test]
    fn what_is_shown_is_a_file_of_the_same_policy() {
        for text in [
            "",
            "[limits]\nrequests-per-minute = 600\nrequest-size = \"10MiB\"\n",
            "[limits]\ntokens-per-day = \"20M\"\ntokens-per-hour = 1234567\non-exceed = \"cut\"\n\
             [model-limits.\"llama3*\"]\ntokens-per-month = \"1G\"\n[model-limits.tiny]\ntokens-per-hour = 5\n",
            "[roles.research]\nbase = \"maintainer\"\nmodels = [\"llama3*\"]\nmax-key-lifetime = \"90d\"\nmax-key-idle = \"30d\"\n\
             models-by-scope = { \"models:write\" = [\"me/*\"] }\n[roles.research.limits]\nrequest-size = 1000\nburst = 2\n\
             requests-per-minute = 60\n[roles.member.limits]\nstreams = 2\n",
            "[[caps]]\nnum-ctx = 8192\n[[caps]]\nroles = [\"member\"]\nmodels = [\"q*\"]\nkeep-alive = \"10m\"\n\
             num-predict = 5\nwhen-exceeded = \"refuse\"\n",
            "[roles.viewer]\nmodels = [\"a\", \"b:*\"]\ntwo-proofs = [\"models:read\", \"keys\"]\n",
            "[groups.lab]\n[groups.ml]\nwithin = \"lab\"\nlimits = { streams = 1 }\n",
            "[groups.lab]\n",
            "[environments.a]\n[roles.member]\nenvironments = [\"a\"]\n[roles.viewer]\nenvironments = []\n",
            "[environments.a]\nhosts = [\"x.example\"]\nlisten = [\"127.0.0.1:5\"]\nmax-key-age = \"3d\"\nmax-key-idle = \"2d\"\ntwo-proofs = [\"keys\"]\nallow-unlabelled = true\n\
             limits = { streams = 1 }\naddresses = { deny = [\"10.0.0.0/8\"] }\nrole-limits.member = { streams = 1 }\n",
            "[[workload]]\nname = \"a\"\nissuer = \"https://id.example\"\naudience = \"x\"\nscopes = [\"inference\"]\n\
             claims = { sub = [\"a\", \"b*\"], n = 1, \"kubernetes.io\".namespace = \"ci\" }\n[[workload]]\nname = \"b\"\nprovider = \"gitlab\"\n\
             issuer = \"https://lab.example\"\naudience = \"x\"\nscopes = [\"models:read\"]\nclaims.project_id = \"5\"\nmodels = [\"q*\"]\n\
             jwks-file = \"/k\"\nmax-key-lifetime = \"90s\"\nlimits.streams = 1\nenvironment = \"ci\"\n",
            "[roles.maintainer]\naudit = true\n[roles.lead]\nbase = \"member\"\naudit = true\n[roles.chief]\nbase = \"auditor\"\n",
            "[addresses]\ndeny = [\"10.9.0.0/16\", \"::1\"]\n[roles.admin.addresses]\nallow = [\"10.0.0.0/8\"]\n",
        ] {
            let config = config(text);
            let shown = Definitions::new(&config).to_string();
            let again = self::config(&shown);
            assert_eq!((again.roles, again.limits, again.caps), (config.roles, config.limits, config.caps), "{shown}");
            assert_eq!((again.groups, again.environments), (config.groups, config.environments), "{shown}");
            assert_eq!((again.addresses, again.workloads), (config.addresses, config.workloads), "{shown}");
        }
    }

    #[test]
    fn every_role_has_its_scopes() {
        let shown = Definitions::new(&config("[roles.a]\nbase = \"viewer\"\n"));
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["roles"]["a"], json!({ "base": "viewer", "scopes": ["models:read", "usage:read", "keys"] }));
        assert_eq!(json["limits"], json!({}));
        let text = shown.to_string();
        let first = "# Scopes:\n#   viewer: models:read, usage:read, keys\n#   auditor: models:read, usage:read, keys; and the event log\n";
        assert!(text.starts_with(first) && !text.contains("audit = "), "{text}");
        assert_eq!(
            (&json["roles"]["auditor"]["audit"], &json["roles"]["member"]["audit"]),
            (&json!(true), &json!(null))
        );
        assert!(text.contains("\n#   a: models:read, usage:read, keys\n"), "{text}");
        assert_eq!(shown.summary(), "1 role besides the built-in ones");
        let several = "[groups.lab]\n[[caps]]\nnum-ctx = 1\n[[caps]]\nnum-ctx = 2\n";
        assert_eq!(Definitions::new(&config(several)).summary(), "1 group, 2 rules of caps");
    }
}
