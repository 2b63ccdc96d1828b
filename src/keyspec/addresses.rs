//! From which addresses requests are accepted: networks, lists of them, and rules of what is allowed and what is denied.
//!
//! An IPv4 address that is written or comes as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address, everywhere. So no IPv6 network holds an IPv4
//! address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The bits of an IPv6 address before the IPv4 address that it stands for.
const MAPPED_PREFIX: u8 = 96;

/// One network: `10.0.0.0/8`. A single address is a network, too: `10.0.0.1/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// Why a text is no network, or networks make no list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Holds the text.
    #[error("{0:?} is not a network such as 10.0.0.0/8 or an address")]
    Malformed(String),
    /// An address within the network that is probably meant.
    #[error("{given} has host bits set: use {meant}")]
    HostBits {
        /// The text.
        given: String,
        /// The network.
        meant: Network,
    },
    /// More than a list can hold.
    #[error("there are more than {} networks", AddressList::MOST)]
    TooMany,
    /// `allow` and `deny` leave no address.
    #[error("no address would be accepted: deny holds all that allow does")]
    Nothing,
}

impl FromStr for Network {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let Some((address, prefix)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| malformed())?;
            return Ok(Self(address.to_canonical().into()));
        };
        // `parse` alone would take a plus sign and leading zeros.
        let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let prefix: u8 = prefix.parse().ok().filter(|_| is_number).ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let network = IpNet::new(address, prefix).map_err(|_| malformed())?;
        let meant = canonical(network.trunc());
        match canonical(network) == meant {
            true => Ok(Self(meant)),
            false => Err(AddressError::HostBits { given: text.to_owned(), meant: Self(meant) }),
        }
    }
}

/// A network of mapped addresses as the network of IPv4 that it stands for.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(six) = network else { return network };
    let four = six.addr().to_ipv4_mapped().zip(six.prefix_len().checked_sub(MAPPED_PREFIX));
    let four = four.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    four.map_or(network, IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The networks that a key is accepted from; an empty list is every address. In serde it is a list of texts. Clones share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList(Option<Arc<[IpNet]>>);

impl AddressList {
    /// The most networks of one list.
    pub const MOST: usize = 64;

    /// A list of these, each once.
    ///
    /// # Errors
    /// [`AddressError::TooMany`].
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Result<Self, AddressError> {
        let mut list = Vec::new();
        for Network(network) in networks {
            if !list.contains(&network) {
                list.push(network);
            }
            if list.len() > Self::MOST {
                return Err(AddressError::TooMany);
            }
        }
        Ok(Self((!list.is_empty()).then(|| list.into())))
    }

    /// Whether no network is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many networks are in it.
    pub fn len(&self) -> usize {
        self.networks().len()
    }

    /// Whether a request from that address is accepted.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.is_empty() || self.contains(address)
    }

    /// Whether one of the networks holds that address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.as_ref().is_some_and(|networks| {
            let address = address.to_canonical();
            networks.iter().any(|network| network.contains(&address))
        })
    }

    /// Whether every address that is accepted is accepted by `parent`, too.
    ///
    /// # Errors
    /// What `parent` has, in words.
    pub fn within(&self, parent: &Self) -> Result<(), String> {
        // Two halves of a network hold the whole one.
        let parents = IpNet::aggregate(&parent.networks().to_vec());
        let is_held = |network: &IpNet| parents.iter().any(|parent| parent.contains(network));
        match parent.is_empty() || (!self.is_empty() && self.networks().iter().all(is_held)) {
            true => Ok(()),
            false => Err(parent.to_string()),
        }
    }

    /// This list, or `parent` if it is empty.
    #[must_use]
    pub fn or(self, parent: &Self) -> Self {
        if self.is_empty() { parent.clone() } else { self }
    }

    fn networks(&self) -> &[IpNet] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// With commas and blanks between them; empty for none.
impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.networks().iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            network.fmt(f)?;
        }
        Ok(())
    }
}

/// Separated by commas or blanks.
impl FromStr for AddressList {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        Self::new(words.map(str::parse).collect::<Result<Vec<Network>, _>>()?)
    }
}

impl Serialize for AddressList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.networks().iter().map(IpNet::to_string))
    }
}

impl<'de> Deserialize<'de> for AddressList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let networks: Result<Vec<Network>, _> = texts.iter().map(|text| text.parse()).collect();
        networks.and_then(Self::new).map_err(serde::de::Error::custom)
    }
}

/// From which addresses a gateway, the people with a role, or a person is accepted. What is denied is denied even if it is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddressRules {
    /// The only addresses that are accepted; empty for all.
    pub allow: AddressList,
    /// Addresses that are not accepted.
    pub deny: AddressList,
}

impl AddressRules {
    /// Whether every address is accepted.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// Whether a request from that address is accepted.
    pub fn allows(&self, address: IpAddr) -> bool {
        !self.deny.contains(address) && self.allow.allows(address)
    }

    /// Checks that some address is accepted.
    ///
    /// # Errors
    /// [`AddressError::Nothing`].
    pub fn check(&self) -> Result<(), AddressError> {
        let all = "0.0.0.0/0, ::/0".parse().unwrap_or_default();
        let accepted = self.allow.clone().or(&all);
        match !self.deny.is_empty() && accepted.within(&self.deny).is_ok() {
            true => Err(AddressError::Nothing),
            false => Ok(()),
        }
    }
}

/// `from 10.0.0.0/8, but not from 10.1.0.0/16`; `from every address` without rules.
impl fmt::Display for AddressRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.allow.is_empty() {
            true => f.write_str("from every address")?,
            false => write!(f, "from {}", self.allow)?,
        }
        match self.deny.is_empty() {
            true => Ok(()),
            false => write!(f, ", but not from {}", self.deny),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> AddressList {
        text.parse().unwrap()
    }

    fn rules(allow: &str, deny: &str) -> AddressRules {
        AddressRules { allow: list(allow), deny: list(deny) }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_read_in_one_form() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::FFFF:0a00:0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), read, "{text}");
            assert_eq!(read.parse(), Ok(network));
        }
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.0/8",
            "::/129",
            "fe80::1%eth0",
            "[::1]",
            "10.0.0.1:80",
            "gpu.example.com",
            "10.0.0.0 /8",
            "10.0.0.0/255.0.0.0",
            "::ffff:10.0.0.0/200",
            "*",
        ] {
            assert_eq!(text.parse::<Network>(), Err(AddressError::Malformed(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn an_address_with_a_prefix_names_the_network_that_is_meant() {
        for (text, meant) in [
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("10.0.0.1/31", "10.0.0.0/31"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
            // Wider than all mapped addresses: a network of IPv6.
            ("::ffff:10.0.0.0/64", "::/64"),
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(
                matches!(&error, AddressError::HostBits { meant: network, .. } if network.to_string() == meant),
                "{error}"
            );
            assert!(error.to_string().contains(&format!("{text} has host bits set: use {meant}")), "{error}");
        }
    }

    #[test]
    fn denied_addresses_are_refused_also_where_they_are_allowed() {
        let given = rules("10.0.0.0/8, 2001:db8::/32, 127.0.0.1", "10.1.0.0/16,::ffff:10.2.0.1,2001:db8:1::/48");
        for (text, accepted) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.1.0.1", false),
            ("::ffff:10.1.0.1", false),
            ("10.2.0.1", false),
            ("10.2.0.2", true),
            ("11.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
            ("2001:db9::1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("::1", false),
        ] {
            assert_eq!(given.allows(address(text)), accepted, "{text}");
        }
        let all = ["192.0.2.1", "::1", "::ffff:10.0.0.1"].map(address);
        assert!(all.iter().all(|one| AddressRules::default().allows(*one) && AddressList::default().allows(*one)));
        // Without IPv4 among it, whatever IPv6 a list has.
        assert!(!rules("::/0", "").allows(address("10.0.0.1")) && rules("", "::/0").allows(address("10.0.0.1")));
        assert!(!rules("", "0.0.0.0/0").allows(address("::ffff:10.0.0.1")));
    }

    #[test]
    fn a_list_is_a_part_of_its_parents() {
        let parent = list("10.0.0.0/8, 2001:db8::/32");
        for part in ["10.0.0.0/8", "10.1.2.3", "2001:db8:5::/48,10.255.0.0/16", "::ffff:10.9.0.0/112"] {
            assert_eq!(list(part).within(&parent), Ok(()), "{part}");
            assert_eq!(list(part).or(&parent), list(part));
        }
        for more in ["", "11.0.0.0/8", "10.0.0.0/7", "0.0.0.0/0", "10.1.2.3,192.0.2.1", "2001:db8::/31", "::/0"] {
            assert_eq!(list(more).within(&parent), Err("10.0.0.0/8, 2001:db8::/32".to_owned()), "{more}");
            assert_eq!(list(more).within(&AddressList::default()), Ok(()), "{more}");
        }
        assert_eq!(list("").or(&parent), parent);
        // Two halves.
        assert_eq!(list("10.0.0.0/8").within(&list("10.0.0.0/9 10.128.0.0/9")), Ok(()));
        assert!(list("10.0.0.0/8").within(&list("10.0.0.0/9 10.128.0.0/10")).is_err());
    }

    #[test]
    fn a_list_holds_each_network_once_and_not_too_many() {
        assert_eq!(list("10.0.0.0/8 10.0.0.0/8,::ffff:10.0.0.0/104").to_string(), "10.0.0.0/8");
        let many = |count: usize| (0..count).map(|at| format!("10.0.{at}.0/24")).collect::<Vec<_>>().join(",");
        assert_eq!(list(&many(AddressList::MOST)).len(), AddressList::MOST);
        assert_eq!(many(AddressList::MOST + 1).parse::<AddressList>(), Err(AddressError::TooMany));
        assert_eq!(AddressError::TooMany.to_string(), "there are more than 64 networks");
    }

    #[test]
    fn rules_that_accept_nothing_are_refused() {
        for (allow, deny) in [
            ("", "0.0.0.0/0, ::/0"),
            ("", "0.0.0.0/1, 128.0.0.0/1, ::/0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.0.0/16, 10.2.0.1", "10.0.0.0/8"),
        ] {
            assert_eq!(rules(allow, deny).check(), Err(AddressError::Nothing), "{allow} {deny}");
        }
        for (allow, deny) in
            [("", ""), ("", "0.0.0.0/0"), ("10.0.0.0/8", "10.0.0.0/9"), ("10.0.0.0/8, ::1", "10.0.0.0/8")]
        {
            assert_eq!(rules(allow, deny).check(), Ok(()), "{allow} {deny}");
        }
    }

    #[test]
    fn rules_are_stored_as_lists_of_texts() {
        let text = r#"{"allow":["10.0.0.0/8","::1/128"],"deny":[]}"#;
        let given = rules("10.0.0.0/8, ::1", "");
        assert_eq!(serde_json::to_string(&given).unwrap(), text);
        assert_eq!(serde_json::from_str::<AddressRules>(text).unwrap(), given);
        assert_eq!(serde_json::from_str::<AddressRules>("{}").unwrap(), AddressRules::default());
        for wrong in [r#"{"allow":["10.0.0.1/8"]}"#, r#"{"alow":[]}"#, r#"{"allow":"10.0.0.0/8"}"#, r#"{"deny":[1]}"#] {
            assert!(serde_json::from_str::<AddressRules>(wrong).is_err(), "{wrong}");
        }
        let shown =
            [rules("", ""), given, rules("", "::1"), rules("10.0.0.0/8", "10.1.0.0/16")].map(|one| one.to_string());
        assert_eq!(
            shown,
            [
                "from every address",
                "from 10.0.0.0/8, ::1/128",
                "from every address, but not from ::1/128",
                "from 10.0.0.0/8, but not from 10.1.0.0/16",
            ]
        );
    }
}
