//! Who an account is, as a host tells it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who an account is, as `/api/me` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    /// A UUID.
    #[serde(default)]
    pub id: String,
    /// The user name; empty means signed out.
    #[serde(default)]
    pub name: String,
    /// The e-mail address.
    #[serde(default)]
    pub email: String,
    /// The subscription, such as `free`.
    #[serde(default)]
    pub plan: String,
}

impl Account {
    /// Reads the object without regard to the case of its member names (of equal names the last wins): ollama.com has been seen to send `ID`, `Name`, `Plan`.
    pub fn from_object(object: &Map<String, Value>) -> Self {
        let text = |name: &str| {
            let found = object.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
        };
        Self { id: text("id"), name: text("name"), email: text("email"), plan: text("plan") }
    }

    /// Whether the host named no account: an empty name means signed out, whatever the id is
    /// (`docs/explanation/protocol.md`, "Account endpoints").
    pub fn is_nobody(&self) -> bool {
        self.name.is_empty()
    }

    /// What to call the account: its name, else its address, else its id.
    pub fn label(&self) -> &str {
        [&self.name, &self.email, &self.id].into_iter().find(|text| !text.is_empty()).map_or("an account", |text| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_capitalised_member_names_too() {
        let read = |text: &str| Account::from_object(&serde_json::from_str(text).unwrap());
        let account = read(r#"{"ID":"1","Name":"ada","Email":null,"Plan":"pro"}"#);
        assert_eq!(account, Account { id: "1".into(), name: "ada".into(), email: String::new(), plan: "pro".into() });
        assert_eq!(account.label(), "ada");
        assert_eq!(read("{}").label(), "an account");
    }
}
