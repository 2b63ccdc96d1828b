//! Events: what happened, to which account, from where, with structured details.
//!
//! Names that people chose are values of [`Details`], never parts of a sentence: shown, they are in quotes, so that a device's name
//! cannot imitate the gateway's own words.

mod actor;
mod columns;
mod filter;
mod stored;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use actor::Actor;
pub use columns::differing_columns;
pub use filter::{EventFilter, EventPage, LinePage, OwnEvents};
pub use stored::{read, write, write_old};

use super::User;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;

/// Something that happened, for the event log. Holds no secret.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Unix seconds.
    pub at: i64,
    /// Who did it.
    pub actor: Actor,
    /// What was done, such as `key.created`.
    pub action: &'static str,
    /// To what: the fingerprint, key id or user name.
    pub subject: String,
    /// The account that it concerns, such as the owner of a key.
    pub account: Option<EventAccount>,
    /// Why it was refused, if it was.
    pub code: Option<RefusalCode>,
    /// What else is worth knowing.
    pub details: Details,
    /// The request, if it came over the network. `None` also where those from several addresses are counted together.
    pub origin: Option<Origin>,
    /// The account whose budget of changes it takes from. Nobody's: what the gateway or a command on its machine does, and what takes
    /// rights away, which must always be possible.
    pub charged_to: Option<Uuid>,
    /// Of refusals that are counted after the first.
    pub repeats: Option<Repeats>,
    /// Another event of the same change, which is stored with it.
    pub also: Option<Box<Self>>,
    /// A name that no other event has, if it is recorded again where it is not known whether it was: it is stored once.
    pub sequence: Option<String>,
}

/// Refusals that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// The number of the event of the first, which is not counted.
    pub first: i64,
    /// How many there were after it.
    pub count: u32,
    /// Unix seconds of the last one.
    pub until: i64,
}

/// An account, as it was when the event happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAccount {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

impl Event {
    /// At that Unix second, without an account or an address. Of a workload the details say which run it is.
    pub fn new(at: i64, actor: Actor, action: &'static str, subject: impl Into<String>) -> Self {
        let run_of = match &actor {
            Actor::Workload { subject, run, .. } => Some((subject.clone(), run.clone())),
            _ => None,
        };
        let event = Self { at, actor, action, subject: subject.into(), ..Self::default() };
        match run_of {
            Some((subject, run)) => event.with("workload_subject", subject).with("run", run),
            None => event,
        }
    }

    /// That another event log was begun. Which one, and where the one before ended, is added by the store.
    pub fn log_begun(at: i64, reason: &str) -> Self {
        Self::new(at, Actor::Admin, "audit.log_begun", "").with("reason", reason)
    }

    /// Concerning that account.
    pub fn of_account(mut self, user: &User) -> Self {
        self.account = Some(EventAccount { id: user.id, name: user.name.clone() });
        self
    }

    /// Asked for by that request.
    pub fn from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Refused for that reason.
    pub fn refused(mut self, code: RefusalCode) -> Self {
        self.code = Some(code);
        self
    }

    /// Taken from that account's budget of changes.
    pub fn charged_to(mut self, account: Uuid) -> Self {
        self.charged_to = Some(account);
        self
    }

    /// With another event of the same change.
    pub fn and(mut self, also: Self) -> Self {
        self.also = Some(also.into());
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

    /// Lets every text in it that others may have chosen be replaced.
    pub fn replace_texts(&mut self, replace: &mut impl FnMut(&mut String)) {
        replace(&mut self.subject);
        match &mut self.actor {
            Actor::User { name, .. } => replace(name),
            Actor::Workload { subject, run, .. } => {
                replace(subject);
                run.iter_mut().for_each(&mut *replace);
            }
            Actor::Device { .. } | Actor::Key { .. } | Actor::Gateway | Actor::Admin | Actor::Other => {}
        }
        self.account.iter_mut().for_each(|account| replace(&mut account.name));
        self.details.0.values_mut().for_each(|value| replace_in(value, replace));
        if let Some(also) = &mut self.also {
            also.replace_texts(replace);
        }
    }

    /// From where.
    pub fn address(&self) -> Option<String> {
        self.origin.map(|origin| origin.address.to_string())
    }

    /// The id of the request.
    pub fn request(&self) -> Option<String> {
        self.origin.map(|origin| origin.request.to_string())
    }
}

/// Named values. Shown as `name="laptop" count=2`, with every text in quotes and escaped as in Rust.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Details(Map<String, Value>);

impl Details {
    /// Those whose name is wanted.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let some = self.0.iter().filter(|(name, _)| wanted(name));
        Self(some.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

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

fn replace_in(value: &mut Value, replace: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => replace(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_in(item, replace)),
        Value::Object(members) => members.values_mut().for_each(|member| replace_in(member, replace)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
    /// The number of the log that it is in, which is an RFC 6962 tree.
    #[serde(default)]
    pub log: Option<i64>,
    /// Where it is in that log, counted from 0.
    #[serde(default)]
    pub index: Option<i64>,
    /// Unix seconds; of the first time if it counts several.
    pub at: i64,
    /// Unix seconds of the last time.
    #[serde(default)]
    pub last_at: Option<i64>,
    /// How often it happened.
    #[serde(default = "once")]
    pub count: u32,
    /// The number of the event whose repetitions it counts.
    #[serde(default)]
    pub first: Option<i64>,
    /// Who did it.
    pub actor: String,
    /// The id of the actor's account.
    #[serde(default)]
    pub actor_account: Option<Uuid>,
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
    /// Why it was refused: the name of a [`RefusalCode`]. Those of later versions may be others.
    #[serde(default)]
    pub code: Option<String>,
    /// What else, as one text: that of `details`, or the sentence that version 0.1.0 wrote.
    pub detail: String,
    /// What else, by name. Events of version 0.1.0 have none.
    #[serde(default)]
    pub details: Option<Details>,
    /// From where.
    pub address: String,
    /// The id of the request.
    #[serde(default)]
    pub request: Option<String>,
    /// The name of the gateway that recorded it.
    #[serde(default)]
    pub replica: Option<String>,
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

fn once() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn untrusted_text_is_quoted_so_that_it_cannot_imitate_details() {
        let event = Event::new(1, Actor::Gateway, "device.approved", "SHA256:x")
            .with("name", "x\" for=\"ada\"\u{202e}\n")
            .with("scopes", ["inference", "a\",\"admin"])
            .with("count", 3)
            .with("environment", None::<String>);
        let shown = r#"name="x\" for=\"ada\"\u{202e}\n" scopes=["inference","a\",\"admin"] count=3"#;
        assert_eq!(event.details.to_string(), shown);
        assert_eq!(Event::new(1, Actor::Gateway, "b", "c").with("models", [""; 0]).details.to_string(), "models=[]");
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
