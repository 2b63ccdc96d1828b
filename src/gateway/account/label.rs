//! The environment of a new key. A key never makes one that is accepted where it is not accepted itself.

use super::service::own_key;
use crate::gateway::authn::Caller;
use crate::gateway::environments::{EnvironmentRules, Environments};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::KeyRecord;
use crate::keyspec::Rights;

/// The label of a new key, where `asked` is the one that was asked for. A key gives its own one and no other, as soon as an environment is
/// defined: also none that is not defined yet.
///
/// # Errors
/// 403.
pub(super) fn new_label(
    caller: &Caller,
    asked: Option<String>,
    environments: &Environments,
) -> Result<Option<String>, Rejection> {
    // A token has the label of its rule, and so has the key that it becomes.
    if caller.workload().is_some() {
        let own = caller.label(caller.role());
        return match asked.is_none() || asked.as_deref() == own {
            true => Ok(own.map(str::to_owned)),
            false => {
                let own = own.map_or("none".to_owned(), |label| format!("{label:?}"));
                Err(refused(format!("a workload makes keys with the environment of its rule only, which is {own}")))
            }
        };
    }
    if environments.is_empty() {
        return Ok(asked);
    }
    let label = match own_key(caller) {
        None => asked,
        Some(own) if asked.is_none() || asked == own.environment => own.environment.clone(),
        Some(own) => {
            let own = own.environment.as_deref().map_or("none".to_owned(), |label| format!("{label:?}"));
            return Err(refused(format!("an API key makes keys with its own environment only, which is {own}")));
        }
    };
    if let Some(rules) = defined(label.as_deref(), environments)
        && !caller.role().allows_environment(rules.name)
    {
        return Err(refused(format!("your role {} does not allow the environment {}", caller.user().role, rules.name)));
    }
    Ok(label)
}

/// Whether a caller may replace that key: a key only one of its own environment, and one without only one without.
///
/// # Errors
/// 403.
pub(super) fn check_replaced(caller: &Caller, old: &KeyRecord, environments: &Environments) -> Result<(), Rejection> {
    let of = |key: &KeyRecord| defined(key.environment.as_deref(), environments).map(|rules| rules.name);
    let of_old = of(old);
    if let Some(own) = own_key(caller).map(of).filter(|own| *own != of_old) {
        let words =
            |name: Option<PolicyName>| name.map_or("no environment".into(), |name| format!("the environment {name}"));
        let message = format!("the key {} is for {}, and this one is for {}", old.id, words(of_old), words(own));
        return Err(refused(message));
    }
    match of_old {
        Some(name) if !caller.role().allows_environment(name) => {
            Err(refused(format!("your role {} does not allow the environment {name}", caller.user().role)))
        }
        _ => Ok(()),
    }
}

/// How long a key with that label may live, in seconds.
pub(super) fn longest_life(label: Option<&str>, environments: &Environments) -> Option<i64> {
    defined(label, environments)?.max_key_age
}

/// Whether a new key with these rights, made at that Unix second, ends when its environment would refuse it.
///
/// # Errors
/// 403.
pub(super) fn check_life(
    label: Option<&str>,
    rights: &Rights,
    created_at: i64,
    environments: &Environments,
) -> Result<(), Rejection> {
    let Some(rules) = defined(label, environments) else { return Ok(()) };
    let Some(oldest) = rules.max_key_age else { return Ok(()) };
    match rights.expires_at {
        Some(end) if end <= created_at.saturating_add(oldest) => Ok(()),
        _ => {
            let days = oldest / 86_400;
            Err(Rejection::new(403, format!("the environment {} allows keys of at most {days} days", rules.name)))
        }
    }
}

fn defined<'a>(label: Option<&str>, environments: &'a Environments) -> Option<&'a EnvironmentRules> {
    label.and_then(|label| environments.get(label)).map(|rules| &**rules)
}

fn refused(message: String) -> Rejection {
    Rejection::new(403, message).because(RefusalCode::Environment)
}
