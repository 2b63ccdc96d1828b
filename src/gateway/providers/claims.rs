//! What a provider says about a person, and what that gives the person here.

use serde_json::{Map, Value};

use super::settings::ProviderSettings;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{Role, User};

/// The longest name of an account that is made of a claim, in bytes: there is room for a number behind it.
const LONGEST_NAME: usize = 58;
/// For a claim that has nothing to make a name of.
const NAMELESS: &str = "user";

/// The claim whose address `email_verified` speaks of.
const VERIFIABLE: &str = "email";

/// The claims about a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(pub Map<String, Value>);

/// What rules give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The role; `None` if the person is not allowed.
    pub role: Option<Role>,
    /// The groups, each once.
    pub groups: Vec<PolicyName>,
}

/// Why a person gets no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// Accounts are not made at the first sign-in.
    NoAccounts,
    /// There is no e-mail address, or the provider has not verified it.
    UnverifiedEmail,
    /// The e-mail address is of a domain that is not allowed.
    Domain,
    /// No rule gives a role.
    NoRole,
}

impl NotAllowed {
    /// For the event log.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoAccounts => "create-accounts is false",
            Self::UnverifiedEmail => "the e-mail address is not verified",
            Self::Domain => "the domain of the e-mail address is not allowed",
            Self::NoRole => "no rule gives a role",
        }
    }
}

impl Claims {
    /// The claim of that name. One with dots is looked for in objects too, if there is none of the whole name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
            if let Some(value) = object.get(name) {
                return Some(value);
            }
            let dots = name.char_indices().filter(|(_, c)| *c == '.');
            dots.map(|(at, _)| at).find_map(|at| find(object.get(&name[..at])?.as_object()?, &name[at + 1..]))
        }
        find(&self.0, name).filter(|value| !value.is_null())
    }

    /// The text of a claim.
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// Whether a claim is that value, or a list with it. Numbers and truth values are compared as their text.
    fn has(&self, name: &str, wanted: &str) -> bool {
        let is = |value: &Value| match value {
            Value::String(text) => text == wanted,
            Value::Number(number) => number.to_string() == wanted,
            Value::Bool(flag) => flag.to_string() == wanted,
            _ => false,
        };
        match self.get(name) {
            Some(Value::Array(items)) => items.iter().any(is),
            Some(value) => is(value),
            None => false,
        }
    }

    /// Adds the claims of another document that are not here.
    pub fn add(&mut self, more: Map<String, Value>) {
        for (name, value) in more {
            self.0.entry(name).or_insert(value);
        }
    }

    /// Whether a claim is missing that these settings look at.
    pub fn lacks_any_of(&self, provider: &ProviderSettings) -> bool {
        let own = [&provider.name_claim, &provider.email_claim];
        let mut names = own.into_iter().chain(provider.rules.iter().map(|rule| &rule.claim));
        names.any(|name| self.get(name).is_none())
    }

    /// What the rules give: the role of the first that has one, and all groups.
    pub fn granted(&self, provider: &ProviderSettings) -> Granted {
        let mut granted = Granted { role: None, groups: Vec::new() };
        // People can often write any address into their profile.
        let counts = |claim: &str| {
            let is_address = claim == VERIFIABLE || claim == provider.email_claim;
            !is_address || !provider.require_verified_email || self.has_verified(claim)
        };
        let matching = provider.rules.iter().filter(|rule| counts(&rule.claim) && self.has(&rule.claim, &rule.value));
        for rule in matching {
            granted.role = granted.role.or_else(|| rule.role.clone());
            for group in &rule.groups {
                if !granted.groups.contains(group) {
                    granted.groups.push(*group);
                }
            }
        }
        granted.role = granted.role.or_else(|| provider.default_role.clone());
        granted
    }

    /// The e-mail address for the account; empty without one that an account may have.
    pub fn email(&self, provider: &ProviderSettings) -> String {
        let email = self.text(&provider.email_claim).unwrap_or_default();
        if User::is_email(email) { email.to_owned() } else { String::new() }
    }

    /// The same, if it is verified where that is required.
    pub fn known_email(&self, provider: &ProviderSettings) -> String {
        let counts = !provider.require_verified_email || self.has_verified(&provider.email_claim);
        if counts { self.email(provider) } else { String::new() }
    }

    /// Whether the address in a claim is verified: providers say so of the claim `email` alone (OpenID Connect Core 1.0, section 5.1). Some
    /// write the truth value as text.
    fn has_verified(&self, claim: &str) -> bool {
        if claim != VERIFIABLE {
            return false;
        }
        match self.get("email_verified") {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true",
            _ => false,
        }
    }

    /// Whether the person may have an account.
    ///
    /// # Errors
    /// Why not.
    pub fn check_new(&self, provider: &ProviderSettings) -> Result<(), NotAllowed> {
        if !provider.create_accounts {
            return Err(NotAllowed::NoAccounts);
        }
        let email = self.email(provider);
        if provider.require_verified_email && (email.is_empty() || !self.has_verified(&provider.email_claim)) {
            return Err(NotAllowed::UnverifiedEmail);
        }
        if !provider.allowed_domains.is_empty() {
            // Exactly one @: what is before a second one would be a part of the name in quotes.
            let domain = email.split_once('@').map(|(_, domain)| domain.to_ascii_lowercase()).unwrap_or_default();
            if !provider.allowed_domains.contains(&domain) {
                return Err(NotAllowed::Domain);
            }
        }
        Ok(())
    }

    /// A name for a new account: the claim, made to fit. It may be taken.
    pub fn account_name(&self, provider: &ProviderSettings) -> String {
        let claim = self.text(&provider.name_claim).or_else(|| self.text(&provider.email_claim));
        let claim = claim.unwrap_or_default();
        // Of an e-mail address, what is before the @.
        let claim = claim.split('@').next().unwrap_or_default();
        let mut name = String::new();
        for c in claim.chars().flat_map(char::to_lowercase) {
            let fits = c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
            match fits {
                true => name.push(c),
                false if !name.ends_with('-') => name.push('-'),
                false => {}
            }
            if name.len() >= LONGEST_NAME {
                break;
            }
        }
        let name = name.trim_matches(|c| matches!(c, '-' | '.' | '_'));
        // A text that looks like an API key is not accepted as a name.
        if User::is_name(name) { name.to_owned() } else { NAMELESS.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::providers::settings::ClaimRule;

    fn provider() -> ProviderSettings {
        let rule = |claim: &str, value: &str, role: Option<Role>, groups: &[&str]| ClaimRule {
            claim: claim.into(),
            value: value.into(),
            role,
            groups: groups.iter().map(|name| name.parse().unwrap()).collect(),
        };
        ProviderSettings {
            name: "company".parse().unwrap(),
            issuer: "https://login.example".parse().unwrap(),
            client_id: "gateway".into(),
            client_secret_file: None,
            title: "Company".into(),
            scopes: vec!["openid".into()],
            name_claim: "preferred_username".into(),
            email_claim: "email".into(),
            create_accounts: true,
            allowed_domains: vec!["example.com".into()],
            require_verified_email: true,
            default_role: None,
            rules: vec![
                rule("groups", "lab", None, &["lab", "all"]),
                rule("groups", "admins", Some(Role::Admin), &["all"]),
                rule("realm_access.roles", "user", Some(Role::Member), &[]),
                rule("level", "3", Some(Role::Viewer), &[]),
                rule("email", "boss@example.com", Some(Role::Maintainer), &[]),
            ],
            trust_sign_in_time: false,
            recheck: None,
            ca_file: None,
        }
    }

    fn claims(value: Value) -> Claims {
        Claims(value.as_object().unwrap().clone())
    }

    #[test]
    fn the_first_rule_with_a_role_and_the_groups_of_all_rules_count() {
        let granted = |value| {
            let Granted { role, groups } = claims(value).granted(&provider());
            (role, groups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(granted(json!({ "groups": ["admins", "lab"] })), (Some(Role::Admin), "lab all".into()));
        assert_eq!(granted(json!({ "groups": "lab" })), (None, "lab all".into()));
        let nested = json!({ "realm_access": { "roles": ["user"] }, "groups": ["admins"] });
        assert_eq!(granted(nested), (Some(Role::Admin), "all".into()));
        assert_eq!(granted(json!({ "realm_access": { "roles": ["user"] } })).0, Some(Role::Member));
        assert_eq!(granted(json!({ "realm_access.roles": ["user"] })).0, Some(Role::Member));
        assert_eq!(granted(json!({ "level": 3 })).0, Some(Role::Viewer));
        let boss = |verified: bool| json!({ "email": "boss@example.com", "email_verified": verified });
        assert_eq!((granted(boss(true)).0, granted(boss(false)).0), (Some(Role::Maintainer), None));
        for nothing in [
            json!({ "groups": ["Admins", "admins ", "my-admins", ["admins"], { "a": "admins" }] }),
            json!({ "groups": { "admins": true } }),
            json!({ "groups": null, "level": 30, "realm_access": "user" }),
            json!({}),
        ] {
            assert_eq!(granted(nothing.clone()), (None, String::new()), "{nothing}");
        }
    }

    #[test]
    fn an_account_needs_a_verified_address_of_an_allowed_domain() {
        let check = |value| claims(value).check_new(&provider());
        assert_eq!(check(json!({ "email": "a@EXAMPLE.com", "email_verified": true })), Ok(()));
        assert_eq!(check(json!({ "email": "a@example.com", "email_verified": "true" })), Ok(()));
        for unverified in [json!(false), json!("false"), json!(1), json!(null), json!(["true"])] {
            let value = json!({ "email": "a@example.com", "email_verified": unverified });
            assert_eq!(check(value), Err(NotAllowed::UnverifiedEmail), "{unverified}");
        }
        assert_eq!(check(json!({ "email_verified": true })), Err(NotAllowed::UnverifiedEmail));
        for other in [
            "a@example.com.evil.example",
            "a@evil.example",
            "a@sub.example.com",
            "a@evil.example@example.com",
            "example.com",
            "a@example.com@evil.example",
            "a@example.co\u{43c}",
        ] {
            let value = json!({ "email": other, "email_verified": true });
            assert_eq!(check(value), Err(NotAllowed::Domain), "{other}");
        }
        let open = ProviderSettings { allowed_domains: Vec::new(), require_verified_email: false, ..provider() };
        assert_eq!(claims(json!({})).check_new(&open), Ok(()));
        let closed = ProviderSettings { create_accounts: false, ..open };
        assert_eq!(claims(json!({})).check_new(&closed), Err(NotAllowed::NoAccounts));
    }

    #[test]
    fn that_an_address_is_verified_is_said_of_the_claim_email_only() {
        let rule = |claim: &str| ClaimRule {
            claim: claim.into(),
            value: "boss@example.com".into(),
            role: Some(Role::Maintainer),
            groups: Vec::new(),
        };
        for claim in ["mail", "upn", "profile.email"] {
            let other =
                ProviderSettings { email_claim: claim.into(), rules: vec![rule(claim), rule("email")], ..provider() };
            let own = json!({ "email": "eve@elsewhere.example", "email_verified": true, claim: "boss@example.com" });
            let own = claims(own);
            assert_eq!(own.check_new(&other), Err(NotAllowed::UnverifiedEmail), "{claim}");
            assert_eq!((own.granted(&other).role, own.known_email(&other)), (None, String::new()), "{claim}");
            let unverified = claims(json!({ "email": "boss@example.com", claim: "eve@example.com" }));
            assert_eq!(unverified.granted(&other).role, None, "{claim}");
        }
    }

    #[test]
    fn names_are_made_to_fit() {
        let name = |value| claims(value).account_name(&provider());
        for (claim, made) in [
            ("ada", "ada"),
            ("Ada.Lovelace@example.com", "ada.lovelace"),
            ("Ada  Lovelace", "ada-lovelace"),
            ("workload:deploy", "workload-deploy"),
            ("../../etc/passwd", "etc-passwd"),
            ("\u{5b57}", "user"),
            ("J\u{f6}rg", "j-rg"),
            ("--", "user"),
            ("olauth_0123456789ABCDEFGHIJKLMNOPQRSTUV38eMnq", "user"),
            (&"x".repeat(300), &"x".repeat(58)),
        ] {
            let made_of_it = name(json!({ "preferred_username": claim }));
            assert_eq!(made_of_it, made);
            assert!(User::is_name(&made_of_it));
        }
        assert_eq!(name(json!({ "email": "bob@example.com" })), "bob");
        assert_eq!(name(json!({ "preferred_username": 5 })), "user");
    }

    #[test]
    fn a_claim_that_is_there_is_not_replaced() {
        let mut one = claims(json!({ "email": "a@example.com" }));
        assert!(one.lacks_any_of(&provider()));
        one.add(claims(json!({ "email": "b@example.com", "sub": "2" })).0);
        assert_eq!((one.get("email"), one.get("sub")), (Some(&json!("a@example.com")), Some(&json!("2"))));
    }
}
