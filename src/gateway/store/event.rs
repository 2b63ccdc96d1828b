//! Events: what happened, to which account, from where, with structured details.
//!
//! Names that people chose are values of [`Details`], never parts of a sentence: shown, they are in quotes, so that a device's name
//! cannot imitate the gateway's own words.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::User;

/// Something that happened, for the event log. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Unix seconds.
    pub at: i64,
    /// Who did it: `user:NAME`, `device:FINGERPRINT`, `key:ID`, `admin` (a command on the machine), `gateway`.
    pub actor: String,
    /// What was done, such as `key.created`.
    pub action: &'static str,
    /// To what: the fingerprint, key id or user name.
    pub subject: String,
    /// The account that it concerns, such as the owner of a key.
    pub account: Option<EventAccount>,
    /// What else is worth knowing.
    pub details: Details,
    /// From where, if it came over the network.
    pub address: String,
    /// The account whose budget of changes it takes from. Nobody's: what the gateway or a command on its machine does, and what takes
    /// rights away, which must always be possible.
    pub charged_to: Option<Uuid>,
    /// How often it happened besides the first time.
    pub repeats: u32,
    /// Whether it is counted with an earlier one of the same actor, action, subject, account and address instead of written again.
    pub is_collapsible: bool,
}

/// An account, as it was when the event happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventAccount {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

impl Event {
    /// At that Unix second, without an account, details or an address.
    pub fn new(at: i64, actor: impl Into<String>, action: &'static str, subject: impl Into<String>) -> Self {
        Self { at, actor: actor.into(), action, subject: subject.into(), ..Self::default() }
    }

    /// Concerning that account.
    pub fn of_account(mut self, user: &User) -> Self {
        self.account = Some(EventAccount { id: user.id, name: user.name.clone() });
        self
    }

    /// Requested from that address.
    pub fn at_address(mut self, address: IpAddr) -> Self {
        self.address = address.to_string();
        self
    }

    /// Taken from that account's budget of changes.
    pub fn charged_to(mut self, account: Uuid) -> Self {
        self.charged_to = Some(account);
        self
    }

    /// Counted with an earlier one that differs in details only, which become those of this one.
    pub fn collapsible(mut self) -> Self {
        self.is_collapsible = true;
        self
    }

    /// Happened that often. 0 counts as once.
    pub fn times(mut self, count: u32) -> Self {
        self.repeats = count.saturating_sub(1);
        self
    }

    /// With one more detail. The value may be untrusted text; a value of null is left out.
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Value::Null) | Err(_) => {}
            Ok(value) => {
                self.details.0.insert(name.to_owned(), value);
            }
        }
        self
    }
}

/// Named values. Shown as `name="laptop" count=2`, with every text in quotes and escaped as in Rust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(Map<String, Value>);

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " " })?;
            write!(f, "{name}=")?;
            show(value, f)?;
        }
        Ok(())
    }
}

fn show(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::String(text) => write!(f, "{text:?}"),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                f.write_str(if number == 0 { "[" } else { "," })?;
                show(item, f)?;
            }
            f.write_str(if items.is_empty() { "[]" } else { "]" })
        }
        other => write!(f, "{other}"),
    }
}

/// An event as it was read back. Members that version 0.1.0 did not have may be missing on the admin socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// Its number: later events have higher ones. 0 from a gateway of version 0.1.0.
    #[serde(default)]
    pub id: i64,
    /// Unix seconds; of the first time if it happened several times.
    pub at: i64,
    /// Unix seconds of the last time.
    #[serde(default)]
    pub last_at: Option<i64>,
    /// How often it happened.
    #[serde(default = "once")]
    pub count: u32,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The name that the account concerned had then.
    #[serde(default)]
    pub account: Option<String>,
    /// The id of that account.
    #[serde(default)]
    pub account_id: Option<Uuid>,
    /// What else, as one text: that of `details`, or the sentence that version 0.1.0 wrote.
    pub detail: String,
    /// What else, by name. Events of version 0.1.0 have none.
    #[serde(default)]
    pub details: Option<Details>,
    /// From where.
    pub address: String,
}

impl RecordedEvent {
    /// What else, for people: untrusted text is in quotes.
    pub fn shown_detail(&self) -> String {
        match &self.details {
            Some(details) => details.to_string(),
            // It may hold a name that imitates details.
            None if self.detail.is_empty() => String::new(),
            None => format!("{:?}", self.detail),
        }
    }
}

/// Which events are wanted. What is `None` is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// Those with a lower number.
    pub before: Option<i64>,
    /// Those that concern the account of this name or id.
    pub account: Option<String>,
    /// Those of this action (`key.created`) or group of actions (`key`).
    pub action: Option<String>,
    /// Those whose subject is this, and those of the actor `key:`, `device:` or `user:` and this, or just this.
    pub subject: Option<String>,
    /// Those from this address.
    pub address: Option<String>,
    /// Those that happened last at this Unix second or later.
    pub since: Option<i64>,
    /// Those that happened first at this Unix second or earlier.
    pub until: Option<i64>,
}

fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn untrusted_text_is_quoted_so_that_it_cannot_imitate_details() {
        let event = Event::new(1, "user:eve", "device.approved", "SHA256:x")
            .with("name", "x\" for=\"ada\"\u{202e}\n")
            .with("scopes", ["inference", "a\",\"admin"])
            .with("count", 3)
            .with("environment", None::<String>);
        let shown = r#"name="x\" for=\"ada\"\u{202e}\n" scopes=["inference","a\",\"admin"] count=3"#;
        assert_eq!(event.details.to_string(), shown);
        assert_eq!(Event::new(1, "a", "b", "c").with("models", [""; 0]).details.to_string(), "models=[]");
    }

    #[test]
    fn the_sentence_of_an_older_event_is_quoted_as_a_whole() {
        let from_the_past = json!({
            "at": 1, "actor": "user:eve", "action": "device.approved", "subject": "SHA256:x",
            "detail": "name=\"laptop\"", "address": "192.0.2.1",
        });
        let event: RecordedEvent = serde_json::from_value(from_the_past).unwrap();
        assert_eq!((event.id, event.count, event.account.as_deref()), (0, 1, None));
        assert_eq!(event.shown_detail(), r#""name=\"laptop\"""#);
    }
}
