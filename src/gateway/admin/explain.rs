//! `gateway policy explain`: asks each rule about a request that nobody makes, in the order of `src/gateway/stack.rs`. Each step calls what
//! decides about real requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::error::AdminError;
use super::explanation::{Explanation, Question};
use super::perform::AdminContext;
use super::policy::tables;
use super::running::RunningGateway;
use crate::address::{BaseUrl, Scheme};
use crate::gateway::caps::{CapSet, WhenExceeded};
use crate::gateway::config::Config;
use crate::gateway::environments::{EnvironmentRules, Environments};
use crate::gateway::limits::{Applicable, BudgetOwner, Exceeded, Limiter, Subject, Used, budgets_of, budgets_of_model};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::roles::{RoleRules, lifetime_text};
use crate::gateway::routes::{Access, Models as Named, Requirement, Route, find};
use crate::gateway::store::{KeyRecord, User};
use crate::keyspec::{AddressRules, CanonicalModel, Limit, Models, Scope, Scopes, phrase, tokens_text};

/// Who makes the request, and what the configuration says of them.
struct Asker<'a> {
    user: Arc<User>,
    key: Option<Arc<KeyRecord>>,
    role: Arc<RoleRules>,
    config: &'a Config,
    /// The environment of the name that the request is sent to.
    entry: Option<PolicyName>,
    from: Option<IpAddr>,
    now: i64,
}

impl AdminContext<'_> {
    /// Asks every rule.
    ///
    /// # Errors
    /// A key, account or route that there is not, and a configuration that is not valid.
    pub(super) async fn explain(&self, question: Question) -> Result<Explanation, AdminError> {
        let failed = |message: String| AdminError::Failed { message, hint: None };
        let matched =
            find(&question.method, &question.path).map_err(|rejection| failed(rejection.message().to_owned()))?;
        let (active, loaded);
        let (config, scheme): (&Config, Scheme) = match self.running {
            Some(gateway) => {
                active = gateway.config.get();
                (&active, active.url.scheme())
            }
            None => {
                loaded = tables(question.configuration.clone().unwrap_or_default())?;
                let own = if loaded.tls().is_some() { Scheme::Https } else { Scheme::Http };
                (&loaded, loaded.public_url.as_ref().map_or(own, BaseUrl::scheme))
            }
        };
        let (user, key) = match (&question.key, &question.user) {
            (Some(id), _) => {
                let found = self.directory.key_by_id(id).await.map_err(|error| self.failed(&error))?;
                let key = found.ok_or_else(|| AdminError::NoKey(id.to_string()))?;
                let user = self.directory.user(key.user).ok_or_else(|| AdminError::NoKey(id.to_string()))?;
                (user, Some(key))
            }
            (None, name) => (self.user(name.as_deref().unwrap_or_default())?, None),
        };
        let role = config.roles.of(&user.role);
        let entry = question.to_host.as_deref().and_then(|host| config.environments.of_host(host, scheme));
        let asker = Asker { user, key, role, config, entry, from: question.from, now: self.now };
        let mut steps = Explanation::default();
        asker.address("[addresses]", &config.addresses, &mut steps);
        asker.credential(&mut steps);
        asker.account(&mut steps);
        asker.addresses(&mut steps);
        let environment = asker.environment(&mut steps);
        match matched.route.access {
            Access::Public(_) => steps.allows("route", "the gateway", "it needs no credential"),
            Access::Account(_, Requirement::ValidCredential) => {
                steps.allows("route", "the gateway", "any valid credential may use it");
            }
            Access::Account(_, Requirement::Scope { scope, or_own_key }) => {
                match or_own_key && asker.key.is_some() {
                    true => steps.allows("route", "the gateway", "an API key may use it for itself"),
                    false => asker.scope(scope, &mut steps),
                }
                asker.second_proof(scope, environment.as_deref(), &mut steps);
            }
            Access::Upstream(scope) => {
                asker.scope(scope, &mut steps);
                asker.second_proof(scope, environment.as_deref(), &mut steps);
                if let Some(maintenance) = self.directory.maintenance(self.now).filter(|message| message.refuses) {
                    let refused = (RefusalCode::Maintenance, maintenance.message.clone());
                    steps.add("maintenance", "the gateway", Err(refused));
                }
                asker.limits(self.running, environment.as_deref(), &mut steps);
                if matched.route.is_counted() {
                    asker.budgets(self.running, environment.as_deref(), question.model.as_deref(), &mut steps);
                }
                asker.models(matched.route, scope, question.model.as_deref(), &mut steps);
                asker.caps(matched.route, question.model.as_deref(), &mut steps);
            }
        }
        Ok(steps)
    }
}

impl Asker<'_> {
    /// Whether the API key is accepted.
    fn credential(&self, steps: &mut Explanation) {
        let Some(key) = &self.key else { return };
        let of = format!("key {}", key.id);
        let ended = match (key.revoked_at, key.is_live(self.now)) {
            (Some(_), _) => Err((RefusalCode::RevokedKey, "it was revoked".to_owned())),
            (None, false) => Err((RefusalCode::ExpiredKey, "it has expired".to_owned())),
            (None, true) => Ok("it was not revoked and has not expired".to_owned()),
        };
        steps.add("validity", &of, ended);
        if let Some(lifetime) = self.role.max_key_lifetime {
            let most = format!("keys live at most {}", lifetime_text(lifetime));
            let is_young = self.role.allows_age(key, self.now);
            steps.add("age", &self.of_role(), if is_young { Ok(most) } else { Err((RefusalCode::KeyAge, most)) });
        }
        self.last_use(&self.of_role(), self.role.max_key_idle, steps);
    }

    /// Whether the API key was used lately enough.
    fn last_use(&self, of: &str, longest: Option<i64>, steps: &mut Explanation) {
        let (Some(key), Some(longest)) = (&self.key, longest) else { return };
        let most = format!("keys may stay unused for {} days", longest / 86_400);
        let is_idle = self.now.saturating_sub(key.last_use()) >= longest;
        steps.add("use", of, if is_idle { Err((RefusalCode::Suspended, most)) } else { Ok(most) });
    }

    /// Whether account and credential are accepted at all.
    fn account(&self, steps: &mut Explanation) {
        let of = format!("account {}", self.user.name);
        let state = match (self.user.disabled, &self.user.suspended) {
            (true, _) => Err((RefusalCode::DisabledAccount, "it is disabled".to_owned())),
            (false, Some(_)) => Err((RefusalCode::Suspended, "it is suspended".to_owned())),
            (false, None) => Ok("it is neither disabled nor suspended".to_owned()),
        };
        steps.add("state", &of, state);
        if let Some(key) = self.key.as_ref().filter(|key| key.suspended.is_some()) {
            steps.add("state", &format!("key {}", key.id), Err((RefusalCode::Suspended, "it is suspended".to_owned())));
        }
        if self.role.base.is_none() {
            let undefined = Err((RefusalCode::UndefinedRole, "it is not defined".to_owned()));
            steps.add("role", &self.of_role(), undefined);
        }
    }

    /// Whether role, account and key are accepted from the address.
    fn addresses(&self, steps: &mut Explanation) {
        self.address(&self.of_role(), &self.role.addresses, steps);
        self.address(&format!("account {}", self.user.name), &self.user.addresses, steps);
        if let Some(key) = &self.key {
            let rules = AddressRules { allow: key.rights.addresses.clone(), ..AddressRules::default() };
            self.address(&format!("key {}", key.id), &rules, steps);
        }
    }

    /// Whether these lists accept it.
    fn address(&self, of: &str, rules: &AddressRules, steps: &mut Explanation) {
        let accepted = format!("requests are accepted {rules}");
        match self.from {
            _ if rules.is_empty() => {}
            None => steps.unknown("address", of, &format!("{accepted}; the address is not given")),
            Some(from) if rules.allows(from) => steps.allows("address", of, &accepted),
            Some(_) => steps.add("address", of, Err((RefusalCode::Address, accepted))),
        }
    }

    /// The environment that the request is in, if it may be in one.
    fn environment(&self, steps: &mut Explanation) -> Option<Arc<EnvironmentRules>> {
        if self.config.environments.is_empty() {
            return None;
        }
        let label = match &self.key {
            Some(key) => key.environment.as_deref(),
            None => self.role.label.as_ref().map(PolicyName::as_str),
        };
        // An address that is not given is none that a list refuses.
        let (open, somewhere) = (self.from.is_none().then(|| self.without_addresses()), IpAddr::from([127, 0, 0, 1]));
        let environments = open.as_ref().unwrap_or(&self.config.environments);
        match environments.admit(self.entry, label, &self.role, self.from.unwrap_or(somewhere)) {
            Err(misplaced) => {
                let refused = (misplaced.code(), misplaced.to_string());
                steps.add("environment", "[environments]", Err(refused));
                None
            }
            Ok(None) => {
                steps.allows("environment", "[environments]", "the request is in none");
                None
            }
            Ok(Some(rules)) => {
                let of = format!("[environments.{}]", rules.name);
                steps.allows("environment", &of, "the request may be in it");
                if let (Some(key), Some(oldest)) = (&self.key, rules.max_key_age) {
                    let most = format!("keys are at most {} days old", oldest / 86_400);
                    let is_young = rules.allows_age(key, self.now);
                    steps.add("age", &of, if is_young { Ok(most) } else { Err((RefusalCode::KeyAge, most)) });
                }
                self.last_use(&of, rules.max_key_idle, steps);
                Some(rules.clone())
            }
        }
    }

    fn without_addresses(&self) -> Environments {
        let open = |rules: &EnvironmentRules| EnvironmentRules { addresses: AddressRules::default(), ..rules.clone() };
        Environments::new(self.config.environments.all().map(open))
    }

    /// Whether key and role have the scope.
    fn scope(&self, scope: Scope, steps: &mut Explanation) {
        let mut check = |of: &str, scopes: Scopes| {
            let checked = match scopes.contains(scope) {
                true => Ok(format!("it has the scope {scope}")),
                false => Err((RefusalCode::Scope, format!("it does not have the scope {scope}"))),
            };
            steps.add("scope", of, checked);
        };
        if let Some(key) = &self.key {
            check(&format!("key {}", key.id), key.rights.scopes);
        }
        // Neither a device nor a token administrates.
        let of_role = match self.key {
            Some(_) => self.role.scopes,
            None => self.role.scopes.without([Scope::Admin].into_iter().collect()),
        };
        check(&self.of_role(), of_role);
    }

    /// Whether one proof is enough.
    fn second_proof(&self, scope: Scope, environment: Option<&EnvironmentRules>, steps: &mut Explanation) {
        let here = environment.map(|rules| (format!("[environments.{}]", rules.name), rules.two_proofs));
        for (of, demanded) in [(self.of_role(), self.role.two_proofs)].into_iter().chain(here) {
            if demanded.contains(scope) {
                let detail = format!("the scope {scope} needs an API key and a device's signature in one request");
                steps.unknown("two proofs", &of, &detail);
            }
        }
    }

    /// How much is used of each limit, which the running gateway knows.
    fn limits(
        &self,
        running: Option<&RunningGateway>,
        environment: Option<&EnvironmentRules>,
        steps: &mut Explanation,
    ) {
        let applicable = Applicable::new(&self.user, &self.role, self.key.as_deref(), environment, self.config);
        let (unused, is_running) = (Limiter::default(), running.is_some());
        let (limiter, now) =
            running.map_or((&unused, Duration::ZERO), |gateway| (&*gateway.limiter, gateway.clock.elapsed()));
        for Used { subject, limits, requests, streams, exceeded } in limiter.used(&applicable, || now) {
            let of = self.of_subject(subject);
            let limits = limits.without_budgets();
            if limits.is_none() {
                continue;
            }
            if !is_running {
                steps.unknown("limits", &of, &format!("{}; a running gateway knows what is used", limits.in_words()));
                continue;
            }
            let requests = requests.map(|used| format!("{used} requests of the burst used"));
            let streams = streams.map(|used| format!("{used} requests now"));
            let used: Vec<String> = requests.into_iter().chain(streams).collect();
            let detail = match used.is_empty() {
                true => limits.in_words(),
                false => format!("{} ({})", limits.in_words(), used.join(", ")),
            };
            let outcome = match exceeded {
                None => Ok(detail),
                Some(Exceeded::Rate(..)) => Err((RefusalCode::Rate, detail)),
                Some(Exceeded::Streams(..)) => Err((RefusalCode::Concurrency, detail)),
            };
            steps.add("limits", &of, outcome);
        }
    }

    fn of_subject(&self, subject: Subject) -> String {
        match subject {
            Subject::Key => self.key.as_ref().map_or_else(String::new, |key| format!("key {}", key.id)),
            Subject::Person => format!("account {}", self.user.name),
            Subject::PersonIn(environment) => format!("account {} in {environment}", self.user.name),
            Subject::Group(name) => format!("[groups.{name}]"),
            Subject::Environment(name) => format!("[environments.{name}]"),
            Subject::Gateway => "[limits]".to_owned(),
        }
    }

    /// How much is used of each budget, which the running gateway knows.
    fn budgets(
        &self,
        running: Option<&RunningGateway>,
        environment: Option<&EnvironmentRules>,
        model: Option<&str>,
        steps: &mut Explanation,
    ) {
        let applicable = Applicable::new(&self.user, &self.role, self.key.as_deref(), environment, self.config);
        let mut budgets = budgets_of(&applicable);
        let models = &self.config.model_limits;
        match model {
            Some(model) => budgets.extend(budgets_of_model(models, model)),
            None if models.is_empty() => {}
            None => steps.unknown("budgets", "[model-limits]", "the model is not given"),
        }
        let of = |owner: &BudgetOwner| match owner {
            BudgetOwner::Subject(subject) => self.of_subject(*subject),
            BudgetOwner::Models(pattern) => format!("[model-limits.\"{pattern}\"]"),
        };
        let Some(gateway) = running else {
            for budget in &budgets {
                for (limit, value) in
                    Limit::BUDGETS.into_iter().filter_map(|limit| Some((limit, budget.limits.get(limit)?)))
                {
                    let detail = format!("{}; a running gateway knows what is used", phrase(limit, value));
                    steps.unknown("budgets", &of(&budget.owner), &detail);
                }
            }
            return;
        };
        for state in gateway.budgets.states(&budgets) {
            let detail = format!("{} ({} used)", phrase(state.budget, state.limit), tokens_text(state.used));
            let outcome = match state.left() {
                0 => Err((RefusalCode::Budget, format!("{detail}, until {}", state.renewal()))),
                _ => Ok(detail),
            };
            steps.add("budgets", &of(&state.owner), outcome);
        }
    }

    /// Whether key and role allow the model.
    fn models(&self, route: &Route, scope: Scope, model: Option<&str>, steps: &mut Explanation) {
        let of_key = self.key.as_ref().map(|key| (format!("key {}", key.id), &key.rights.models));
        let of_role = (self.of_role(), self.role.models(scope));
        for (of, models) in of_key.into_iter().chain([of_role]).filter(|(_, models)| !models.is_all()) {
            let only = format!("only {}", patterns(models));
            match (route.models, model) {
                (Named::Listed(..), _) => steps.allows("models", &of, &format!("the list shows {only}")),
                (Named::None, _) => {
                    let detail = "the request names no model, so no credential for certain models may make it";
                    steps.add("models", &of, Err((RefusalCode::Model, detail.to_owned())));
                }
                (_, None) => steps.unknown("models", &of, &format!("{only}; the model is not given")),
                (_, Some(model)) => {
                    let is_allowed = CanonicalModel::parse(model).is_ok_and(|model| models.allow(&model));
                    steps.add("models", &of, if is_allowed { Ok(only) } else { Err((RefusalCode::Model, only)) });
                }
            }
        }
    }

    /// What the request may ask for at most. What it asks for is not given.
    fn caps(&self, route: &Route, model: Option<&str>, steps: &mut Explanation) {
        let Named::Body(_) = route.models else { return };
        let named = model.map(|model| CanonicalModel::parse(model).ok());
        let rules = self.config.caps.of(&self.user.role);
        let CapSet { keep_alive, num_ctx, num_predict } = match &named {
            Some(model) => rules.of(std::slice::from_ref(model)),
            None => rules.all(),
        };
        let all = [("keep_alive", keep_alive, " s"), ("num_ctx", num_ctx, ""), ("num_predict", num_predict, "")];
        for (name, cap, unit) in all {
            let Some(cap) = cap else { continue };
            let what = match cap.when_exceeded {
                WhenExceeded::Lower => "lowered",
                WhenExceeded::Refuse => "refused",
            };
            steps.unknown("cap", "[[caps]]", &format!("{name} is at most {}{unit}; more is {what}", cap.most));
        }
    }

    fn of_role(&self) -> String {
        match self.user.role.workload() {
            Some(rule) => format!("[[workload]] {rule}"),
            None => format!("[roles.{}]", self.user.role),
        }
    }
}

fn patterns(models: &Models) -> String {
    models.patterns().iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>().join(", ")
}
