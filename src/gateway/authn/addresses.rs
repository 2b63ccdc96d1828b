//! From which addresses callers are accepted: the lists of the gateway as a whole, of a role, of a person and of an API key. All of them
//! must accept the address. Those who are refused are not told what is in the lists.

use std::net::IpAddr;

use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::roles::RoleRules;
use crate::gateway::store::{KeyRecord, User};

/// What does not accept an address.
pub struct NotAccepting {
    /// In words: `this API key`.
    what: String,
    /// The id of the key, or the name of the account.
    subject: String,
}

impl NotAccepting {
    /// What does not accept requests of that account from that address, with its API key if it is one that asks.
    pub fn of(user: &User, role: &RoleRules, key: Option<&KeyRecord>, address: IpAddr) -> Option<Self> {
        let account = |what: String| Some(Self { what, subject: user.name.clone() });
        if !role.addresses.allows(address) {
            return account(format!("the role {} of this account", user.role));
        }
        if !user.addresses.allows(address) {
            return account("this account".to_owned());
        }
        let key = key.filter(|key| !key.rights.addresses.allows(address))?;
        Some(Self { what: "this API key".to_owned(), subject: key.id.to_string() })
    }

    /// The subject of the event about it.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// For the caller and the event log.
    pub fn reason(&self, address: IpAddr) -> String {
        format!("{} is not accepted from {address}", self.what)
    }

    /// 403 for the caller.
    pub fn rejection(&self, address: IpAddr) -> Rejection {
        Rejection::new(403, self.reason(address)).because(RefusalCode::Address)
    }
}

/// 403 for an address that a gateway as a whole does not accept.
pub fn refused_address(address: IpAddr) -> Rejection {
    Rejection::new(403, format!("this gateway accepts no requests from {address}")).because(RefusalCode::Address)
}
