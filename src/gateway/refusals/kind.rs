//! What is counted together. The more kinds there are, the less of a refusal tells them apart.

use std::net::IpAddr;

use uuid::Uuid;

use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::store::{Actor, Event};
use crate::http::server::network;

/// What stands for a subject that is one of many.
const SEVERAL: &str = "(several)";

/// Refusals that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    group: Group,
    actor: Actor,
    subject: String,
    /// `None` where those from several networks are counted together.
    network: Option<IpAddr>,
}

/// Kinds that share a number of places.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    account: Option<Uuid>,
    action: &'static str,
    code: Option<RefusalCode>,
}

/// By what refusals are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Credential, subject and network.
    Everything,
    /// Credential and subject, from anywhere.
    Subject,
    /// The credential, if it is one of an account. Strangers are all the same.
    Credential,
}

impl Kind {
    /// Of which kind a refusal is, by that much of it.
    pub fn of(event: &Event, detail: Detail) -> Self {
        let account = event.account.as_ref().map(|account| account.id);
        let group = Group { account, action: event.action, code: event.code };
        let network = event.origin.map(|origin| network(origin.address)).filter(|_| detail == Detail::Everything);
        let (actor, subject) = match detail {
            Detail::Everything | Detail::Subject => (event.actor.clone(), event.subject.clone()),
            Detail::Credential => credential(event),
        };
        Self { group, actor, subject, network }
    }

    /// The kinds that it shares places with.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// What is told of a refusal of this kind: nothing that does not hold for the others.
    pub fn shown(&self, event: Event, detail: Detail) -> Event {
        match detail {
            Detail::Everything => event,
            Detail::Subject | Detail::Credential => Event {
                actor: self.actor.clone(),
                subject: self.subject.clone(),
                origin: None,
                details: Default::default(),
                ..event
            },
        }
    }
}

impl Group {
    /// Whether its callers have no account.
    pub fn is_of_strangers(&self) -> bool {
        self.account.is_none()
    }
}

/// Actor and subject as far as they name a credential of an account. Where the gateway itself is the actor, the subject is the credential;
/// where a credential is, the caller may choose the subject.
fn credential(event: &Event) -> (Actor, String) {
    let several = SEVERAL.to_owned();
    match &event.actor {
        _ if event.account.is_none() => (Actor::Gateway, several),
        actor @ (Actor::Gateway | Actor::Admin | Actor::Other) => (actor.clone(), event.subject.clone()),
        Actor::Workload { account, rule, .. } => {
            let (account, rule) = (*account, rule.clone());
            (Actor::Workload { account, rule, subject: several.clone(), run: None }, several)
        }
        actor => (actor.clone(), several),
    }
}
