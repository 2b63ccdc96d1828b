//! The tables of addresses: `[addresses]` of the gateway as a whole, and the member of that name of each role.

use serde::de::{Deserialize, Deserializer, Error as _};

use super::value::{Parsed, read_list};
use crate::keyspec::{AddressError, AddressList, AddressRules, Network};

/// A table as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct Table {
    #[serde(deserialize_with = "allowed")]
    allow: AddressList,
    #[serde(deserialize_with = "list")]
    deny: AddressList,
}

/// A table of addresses.
pub fn rules<'de, D: Deserializer<'de>>(value: D) -> Result<AddressRules, D::Error> {
    let Table { allow, deny } = Table::deserialize(value)?;
    let rules = AddressRules { allow, deny };
    rules.check().map_err(D::Error::custom)?;
    Ok(rules)
}

/// Networks and addresses.
fn list<'de, D: Deserializer<'de>>(value: D) -> Result<AddressList, D::Error> {
    AddressList::new(read_list(value, parse)?).map_err(D::Error::custom)
}

/// The same, and not none: that would be every address, which nobody means who writes an empty list.
fn allowed<'de, D: Deserializer<'de>>(value: D) -> Result<AddressList, D::Error> {
    let list = list(value)?;
    if list.is_empty() {
        return Err(D::Error::custom("no address would be accepted; for all addresses, leave it out"));
    }
    Ok(list)
}

fn parse(text: &str) -> Parsed<Network> {
    text.parse().map_err(|error| match error {
        // The value is shown anyway.
        AddressError::Malformed(_) => String::new(),
        error => error.to_string(),
    })
}

/// What a member of such a table must be, with an example.
pub fn expected(member: &str) -> Option<&'static str> {
    match member {
        "allow" | "deny" => Some("a list of networks and addresses such as [\"10.0.0.0/8\", \"2001:db8::1\"]"),
        "addresses" => Some("a table with any of allow and deny, each a list of networks"),
        _ => None,
    }
}
