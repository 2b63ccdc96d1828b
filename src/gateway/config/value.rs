//! Values as people write them in the file, in a variable or in a flag: addresses, sizes, times, lists.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::address::BaseUrl;

/// The longest value that an error repeats, in characters.
const SHOWN: usize = 60;

/// A value before its setting has read it. Variables and flags give text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array of texts.
    List(Vec<String>),
    /// What no setting takes, by its name.
    Other(&'static str),
}

/// The value does not fit. Holds the reason if there is more to say than what the setting expects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrong(pub Option<String>);

/// Shows it for an error; a text that may hold a credential is left out.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::List(items) => {
                write!(f, "[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
            }
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// In quotes, without control characters, cut where it is long.
pub fn quoted(text: &str) -> String {
    if text.contains('@') {
        return "what was given".to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

impl Value {
    /// Text without the spaces around it.
    pub fn text(&self) -> Result<&str, Wrong> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            _ => Err(Wrong::default()),
        }
    }

    /// `true` or `false`; as text also `1` and `0`.
    pub fn flag(&self) -> Result<bool, Wrong> {
        match self {
            Self::Boolean(flag) => Ok(*flag),
            Self::Text(text) => match text.trim() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(Wrong::default()),
            },
            _ => Err(Wrong::default()),
        }
    }

    /// A whole number within the range.
    pub fn number(&self, least: u64, most: u64) -> Result<u64, Wrong> {
        let number = match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(text) => digits(text.trim()),
            _ => None,
        };
        number.filter(|number| (least..=most).contains(number)).ok_or_default()
    }

    /// Bytes: a number, `100MB`, `16MiB`; `none` is 0.
    pub fn size(&self) -> Result<u64, Wrong> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(text) => size(text.trim()),
            _ => None,
        }
        .ok_or_default()
    }

    /// A time such as `30s`, `2m` or `1m30s`, within the range in seconds.
    pub fn time(&self, least: u64, most: u64) -> Result<Duration, Wrong> {
        let seconds = seconds(self.text()?).filter(|seconds| (least..=most).contains(seconds));
        seconds.map(Duration::from_secs).ok_or_default()
    }

    /// The items of an array, or of a text with commas.
    pub fn list(&self) -> Result<Vec<&str>, Wrong> {
        match self {
            Self::List(items) => Ok(items.iter().map(|item| item.trim()).collect()),
            Self::Text(text) => Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
            _ => Err(Wrong::default()),
        }
    }

    /// `ADDRESS:PORT`; `localhost` is 127.0.0.1.
    pub fn address(&self) -> Result<SocketAddr, Wrong> {
        let text = self.text()?;
        match text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            Some(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            None => text.parse().map_err(|_| Wrong::default()),
        }
    }

    /// The address of a server. A part that would be replaced by a default is an error.
    pub fn url(&self) -> Result<BaseUrl, Wrong> {
        let text = self.text()?;
        if text.is_empty() {
            return Err(Wrong::default());
        }
        let parsed = BaseUrl::parse(text).map_err(|error| Wrong(Some(error.to_string())))?;
        match parsed.warning {
            Some(_) => Err(Wrong(Some(format!("the port in {} is no number from 1 to 65535", quoted(text))))),
            None => Ok(parsed.url),
        }
    }
}

/// A network such as `10.0.0.0/8`, or one address. Everybody is no network: any caller could then choose its address.
pub fn network(text: &str) -> Result<IpNet, Wrong> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| Wrong::default())?,
    };
    if network.prefix_len() == 0 {
        return Err(Wrong(Some(format!("{network} is everybody, so any caller could claim any address"))));
    }
    Ok(network.trunc())
}

/// A name as it stands in a `Host` header, in lower case.
pub fn host_name(text: &str) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err(Wrong::default());
    }
    Ok(text.to_ascii_lowercase())
}

/// The shortest form that reads back as the same size.
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 {
        return "none".to_owned();
    }
    let unit = SIZES.iter().rev().find(|(name, factor)| !name.is_empty() && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(name, factor)| format!("{}{name}", bytes / factor))
}

const SIZES: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

fn size(text: &str) -> Option<u64> {
    if text.eq_ignore_ascii_case("none") {
        return Some(0);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (digits(&text[..end])?, text[end..].trim_start());
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

fn seconds(text: &str) -> Option<u64> {
    let (mut rest, mut total) = (text, 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number = digits(&rest[..end])?;
        let factor = match rest.as_bytes()[end] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[end + 1..];
    }
    Some(total)
}

/// `parse` alone would take a plus sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

trait OkOrDefault<T> {
    fn ok_or_default(self) -> Result<T, Wrong>;
}

impl<T> OkOrDefault<T> for Option<T> {
    fn ok_or_default(self) -> Result<T, Wrong> {
        self.ok_or_else(Wrong::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (written, bytes) in [
            ("100MB", 100_000_000),
            ("16MiB", 16 << 20),
            ("16 mib", 16 << 20),
            ("1024", 1024),
            ("7B", 7),
            ("2GiB", 2 << 30),
            ("none", 0),
            ("0", 0),
        ] {
            assert_eq!(text(written).size(), Ok(bytes), "{written}");
        }
        for written in ["", "MB", "-1", "+1", "1.5MB", "1TB", "1MBB", "20000000000GiB", "１MB"] {
            assert_eq!(text(written).size(), Err(Wrong::default()), "{written}");
        }
        assert_eq!(Value::Integer(5).size(), Ok(5));
        assert_eq!(Value::Integer(-5).size(), Err(Wrong::default()));
        assert_eq!(Value::Boolean(true).size(), Err(Wrong::default()));
        for bytes in [0, 1, 1000, 1024, 1 << 20, 100 << 20, 100_000_000, 12_345] {
            assert_eq!(text(&show_size(bytes)).size(), Ok(bytes), "{}", show_size(bytes));
        }
    }

    #[test]
    fn times_need_a_unit_and_keep_to_their_range() {
        for (written, seconds) in [("30s", 30), ("2m", 120), ("1m30s", 90), ("1h", 3600), ("0s", 0)] {
            assert_eq!(text(written).time(0, 3600), Ok(Duration::from_secs(seconds)), "{written}");
        }
        for written in ["", "30", "s", "3601s", "2h", "-1s", "1 s", "1d", "1s€", "99999999999999999999s"] {
            assert_eq!(text(written).time(0, 3600), Err(Wrong::default()), "{written}");
        }
        assert_eq!(Value::Integer(30).time(0, 3600), Err(Wrong::default()));
    }

    #[test]
    fn a_network_may_be_one_address_but_not_everybody() {
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert!(network("::/0").unwrap_err().0.unwrap().contains("everybody"));
        assert_eq!(network("proxy.example.com"), Err(Wrong::default()));
    }

    #[test]
    fn no_error_shows_a_credential_or_a_control_character() {
        assert_eq!(text("postgres://u:secret@h/db").to_string(), "what was given");
        assert_eq!(text("a\u{1b}b").to_string(), r#""a\u{1b}b""#);
        assert!(text(&"x".repeat(1000)).to_string().len() < 100);
    }
}
