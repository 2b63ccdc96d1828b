//! Which events are wanted, and the pages in which they come.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::RecordedEvent;

/// Which events are wanted. What is `None` is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// Those with a lower number.
    pub before: Option<i64>,
    /// Those with a higher number: then a page has the ones that come next.
    #[serde(default)]
    pub after: Option<i64>,
    /// Those that concern the account of this name or id.
    pub account: Option<String>,
    /// Those of this action (`key.created`) or group of actions (`key`).
    pub action: Option<String>,
    /// Those whose subject is this, and those of the actor `key:`, `device:`, `user:` or `workload:` and this, or just this.
    pub subject: Option<String>,
    /// Those from this address.
    pub address: Option<String>,
    /// Those that were refused with this code.
    #[serde(default)]
    pub code: Option<String>,
    /// Those of this request.
    #[serde(default)]
    pub request: Option<String>,
    /// Those of this actor, as it is shown: `user:NAME`, `key:ID`, `admin`.
    #[serde(default)]
    pub actor: Option<String>,
    /// Those about or by the API key with this id.
    #[serde(default)]
    pub key: Option<String>,
    /// Those that happened last at this Unix second or later.
    pub since: Option<i64>,
    /// Those that happened first at this Unix second or earlier.
    pub until: Option<i64>,
    /// Those that a person may see without being an auditor. No request from elsewhere can ask for it.
    #[serde(skip)]
    pub own: Option<OwnEvents>,
}

/// The events of one person: those that concern the account, and those that the person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEvents {
    /// The account. It alone decides: a name or a key can have been another person's.
    pub account: Uuid,
    /// The actors as which the person can have done something of another account.
    pub actors: Vec<String>,
}

impl OwnEvents {
    /// Whether an event is one of them.
    pub fn has(&self, event: &RecordedEvent) -> bool {
        event.account_id == Some(self.account) || event.actor_account == Some(self.account)
    }
}

/// Some events, the newest first: the last ones that are wanted, or with [`EventFilter::after`] the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// The number to continue before, or after, if there may be more. It can be there although nothing was found: of many events, some are
    /// looked at for one page.
    pub next: Option<i64>,
}

/// Some stored lines, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinePage {
    /// The lines, as they are stored.
    pub lines: Vec<String>,
    /// The number to continue after, if there may be more.
    pub next: Option<i64>,
}
