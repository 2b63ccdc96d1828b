//! The service account of a workload rule.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{Role, User};
use crate::keyspec::RequestLimits;

/// What the ids of service accounts are made from, with the name of the rule.
const SEED: &str = "ollama-auth service account of the workload rule ";

/// The id of a rule's account: the same at every gateway and after the rule was away.
pub fn account_id(rule: PolicyName) -> Uuid {
    let digest = Sha256::new().chain_update(SEED).chain_update(rule.as_str()).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// The account itself, made at that Unix second. It has no password.
pub fn new_account(rule: PolicyName, now: i64) -> User {
    let role = Role::of_workload(rule);
    User {
        id: account_id(rule),
        name: role.name().to_owned(),
        email: String::new(),
        role,
        disabled: false,
        created_at: now,
        suspended: None,
        groups: Vec::new(),
        limits: RequestLimits::default(),
        addresses: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_rule_is_always_the_same() {
        let (one, other) = (account_id("ci".parse().unwrap()), account_id("deploy".parse().unwrap()));
        assert_eq!(one.to_string(), "e8d7a429-4a50-835f-b2f4-48f44bc78cc8");
        assert!(one != other && one.get_version_num() == 8);
        let account = new_account("ci".parse().unwrap(), 5);
        assert!(account.name == "workload:ci" && !User::is_name(&account.name));
    }
}
