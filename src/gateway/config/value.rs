//! Reads values as people write them in the file, in a variable or in a flag: addresses, sizes, times, lists.
//!
//! Each function is a serde `deserialize_with`. An empty error means that there is no more to say than what the setting
//! expects.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::address::{BaseUrl, OriginPattern, OriginPatternError};
use crate::gateway::store::{DatabaseLocation, PostgresAddress};
use crate::gateway::telemetry::{AccessLogFormat, AccessLogTarget};
use crate::keyspec::{LimitError, MOST_TOKENS, ModelPattern, Models, parse_size, parse_tokens};

/// The longest value that an error repeats, in characters.
const MAX_SHOWN_LENGTH: usize = 60;

/// Model patterns of a role or a rule, and their bytes together: as of a new key, which can get them.
const MOST_PATTERNS: usize = 64;
const LONGEST_PATTERNS: usize = 4096;

/// The pages that Ollama allows without `OLLAMA_ORIGINS` (`AllowedOrigins` in its `envconfig`).
const OLLAMA_ORIGINS: [&str; 11] = [
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
];

/// A value as it is written; variables and flags give text.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Boolean(bool),
    Number(u64),
    Text(String),
    List(Vec<String>),
}

pub(super) type Parsed<T> = Result<T, String>;

/// Reads a value of any kind and parses it.
fn read<'de, D: Deserializer<'de>, T>(value: D, parse: impl FnOnce(Value) -> Parsed<T>) -> Result<T, D::Error> {
    let parsed = Value::deserialize(value).map_err(|_| String::new()).and_then(parse);
    parsed.map_err(D::Error::custom)
}

/// Reads text, without the spaces around it, and parses it.
fn read_text<'de, D: Deserializer<'de>, T>(value: D, parse: impl FnOnce(&str) -> Parsed<T>) -> Result<T, D::Error> {
    read(value, |value| match value {
        Value::Text(text) => parse(text.trim()),
        _ => Err(String::new()),
    })
}

/// Reads the items of an array, or of a text with commas.
pub(super) fn read_list<'de, D: Deserializer<'de>, T>(
    value: D,
    parse: fn(&str) -> Parsed<T>,
) -> Result<Vec<T>, D::Error> {
    read(value, |value| match value {
        Value::List(items) => items.iter().map(|item| parse(item.trim())).collect(),
        Value::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(parse).collect(),
        _ => Err(String::new()),
    })
}

/// `true` or `false`; as text also `1` and `0`.
pub fn boolean<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    read(value, |value| match value {
        Value::Boolean(flag) => Ok(flag),
        Value::Text(text) => match text.trim() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(String::new()),
        },
        _ => Err(String::new()),
    })
}

/// A whole number within the range.
pub fn number<'de, D: Deserializer<'de>, const MIN: usize, const MAX: usize>(value: D) -> Result<usize, D::Error> {
    read(value, |value| {
        let number = match value {
            Value::Number(number) => usize::try_from(number).ok(),
            Value::Text(text) => digits(text.trim()).and_then(|number| usize::try_from(number).ok()),
            _ => None,
        };
        number.filter(|number| (MIN..=MAX).contains(number)).ok_or_else(String::new)
    })
}

/// Bytes within the range: a number, `100MB`, `16MiB`; `none` is 0.
pub fn size<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(value: D) -> Result<u64, D::Error> {
    read(value, |value| {
        let bytes = match value {
            Value::Number(number) => Some(number),
            Value::Text(text) if text.trim().eq_ignore_ascii_case("none") => Some(0),
            Value::Text(text) => parse_size(text.trim()),
            _ => None,
        };
        bytes.filter(|bytes| (MIN..=MAX).contains(bytes)).ok_or_else(String::new)
    })
}

/// A limit in numbers. 0 has words of its own: elsewhere it means that there is no limit.
pub fn limit_number<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    read(value, |value| match value {
        Value::Number(0) => Err(LimitError::Zero.to_string()),
        Value::Number(number @ ..=1_000_000) => Ok(Some(number)),
        _ => Err(String::new()),
    })
}

/// A number of tokens.
pub fn cap_number<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    read(value, |value| match value {
        Value::Number(0) => Err(LimitError::Zero.to_string()),
        Value::Number(number @ ..=1_000_000_000) => Ok(Some(number)),
        _ => Err(String::new()),
    })
}

/// A limit in bytes.
pub fn limit_size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    read(value, |value| {
        let bytes = match value {
            Value::Number(number) => Some(number),
            Value::Text(text) => parse_size(text.trim()),
            _ => None,
        };
        match bytes {
            Some(0) => Err(LimitError::Zero.to_string()),
            other => other.map(Some).ok_or_else(String::new),
        }
    })
}

/// A budget in tokens.
pub fn limit_tokens<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    read(value, |value| {
        let tokens = match value {
            Value::Number(number) => Some(number),
            Value::Text(text) => parse_tokens(text.trim()),
            _ => None,
        };
        match tokens {
            Some(0) => Err(LimitError::Zero.to_string()),
            other => other.filter(|number| *number <= MOST_TOKENS).map(Some).ok_or_else(String::new),
        }
    })
}

/// Bytes, 1 MiB or more; `none` is nothing.
pub fn log_size<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let bytes = size::<_, 0, { i64::MAX as u64 }>(value)?;
    match bytes {
        0 => Ok(None),
        bytes if bytes < 1 << 20 => Err(D::Error::custom("")),
        bytes => Ok(Some(bytes)),
    }
}

/// A time such as `30s`, `2m` or `1m30s`, within the range in seconds.
pub fn time<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(value: D) -> Result<Duration, D::Error> {
    read_text(value, |text| {
        let seconds = parse_seconds(text).filter(|seconds| (MIN..=MAX).contains(seconds));
        seconds.map(Duration::from_secs).ok_or_else(String::new)
    })
}

/// Days from `1d` to `3650d`; `none` is nothing.
pub fn retention<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    read_text(value, |text| {
        if text.eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        let days = text.strip_suffix('d').and_then(digits).filter(|days| (1..=3650).contains(days));
        days.map(|days| Some(Duration::from_secs(days * 86_400))).ok_or_else(String::new)
    })
}

/// A name of the IANA time zone database.
pub fn time_zone<'de, D: Deserializer<'de>>(value: D) -> Result<TimeZone, D::Error> {
    read_text(value, |text| TimeZone::get(text).map_err(|_| String::new()))
}

/// `ADDRESS:PORT`; `localhost` is 127.0.0.1.
pub fn address<'de, D: Deserializer<'de>>(value: D) -> Result<SocketAddr, D::Error> {
    read_text(value, parse_socket_address)
}

/// Where to listen, or nothing.
pub fn optional_address<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    read_text(value, |text| if text.is_empty() { Ok(None) } else { parse_socket_address(text).map(Some) })
}

/// Where the access log goes: `stdout`, a path, or nothing.
pub fn access_log<'de, D: Deserializer<'de>>(value: D) -> Result<Option<AccessLogTarget>, D::Error> {
    read_text(value, |text| match text {
        "" => Ok(None),
        "stdout" => Ok(Some(AccessLogTarget::Stdout)),
        path => Ok(Some(AccessLogTarget::File(path.into()))),
    })
}

/// `logfmt` or `json`.
pub fn access_log_format<'de, D: Deserializer<'de>>(value: D) -> Result<AccessLogFormat, D::Error> {
    read_text(value, |text| match text {
        "logfmt" => Ok(AccessLogFormat::Logfmt),
        "json" => Ok(AccessLogFormat::Json),
        _ => Err(String::new()),
    })
}

/// Several of them.
pub fn socket_addresses<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<SocketAddr>, D::Error> {
    read_list(value, parse_socket_address)
}

/// The address of a server.
pub fn url<'de, D: Deserializer<'de>>(value: D) -> Result<BaseUrl, D::Error> {
    read_text(value, parse_url)
}

/// A URL with its scheme, or nothing: without a scheme it would be plain http at port 11434.
pub fn optional_url<'de, D: Deserializer<'de>>(value: D) -> Result<Option<BaseUrl>, D::Error> {
    read_text(value, |text| match text {
        "" => Ok(None),
        text if !text.contains("://") => Err(String::new()),
        text => parse_url(text).map(Some),
    })
}

/// A path, or nothing.
pub fn path<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PathBuf>, D::Error> {
    read_text(value, |text| Ok((!text.is_empty()).then(|| PathBuf::from(text))))
}

/// 1 to 64 letters, digits, `.`, `_` and `-`, or nothing.
pub fn label<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    read_text(value, |text| match text.len() <= 64 && text.bytes().all(fits) {
        true => Ok((!text.is_empty()).then(|| text.to_owned())),
        false => Err(String::new()),
    })
}

/// The path of a database as `sqlite:PATH` or alone, the address of a PostgreSQL database, or nothing.
pub fn database<'de, D: Deserializer<'de>>(value: D) -> Result<Option<DatabaseLocation>, D::Error> {
    read_text(value, |text| {
        if PostgresAddress::is_meant(text) {
            let address = PostgresAddress::parse(text).map_err(|error| error.to_string())?;
            return Ok(Some(DatabaseLocation::Postgres(Box::new(address))));
        }
        let path = match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sqlite") => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() || path.starts_with(':') || path.contains(['?', '#']) {
                    return Err(String::new());
                }
                path
            }
            _ if text.contains("://") || text.contains('\0') => return Err(String::new()),
            _ => text,
        };
        Ok((!path.is_empty()).then(|| DatabaseLocation::File(PathBuf::from(path))))
    })
}

/// Names as written in a `Host` header, in lower case.
pub fn host_names<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    read_list(value, |text| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
        let is_name = !text.is_empty() && text.chars().all(fits);
        if is_name { Ok(text.to_ascii_lowercase()) } else { Err(String::new()) }
    })
}

/// The origins of pages. The word `ollama` stands for [those of Ollama](OLLAMA_ORIGINS).
pub fn origins<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<OriginPattern>, D::Error> {
    let lists = read_list(value, |text| match text {
        "ollama" => OLLAMA_ORIGINS.iter().map(|origin| parse_origin(origin)).collect(),
        text => parse_origin(text).map(|origin| vec![origin]),
    })?;
    Ok(lists.concat())
}

/// Model patterns: at least one, and no more than a key may have.
pub fn patterns<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Models>, D::Error> {
    let list = read_list(value, |text| text.parse::<ModelPattern>().map_err(|error| error.to_string()))?;
    let length: usize = list.iter().map(|pattern| pattern.as_str().len()).sum();
    if list.is_empty() {
        return Err(D::Error::custom("no model would match; for all models, leave it out"));
    }
    if list.len() > MOST_PATTERNS || length > LONGEST_PATTERNS {
        let message = format!("there are more than {MOST_PATTERNS} patterns, or more than {LONGEST_PATTERNS} bytes");
        return Err(D::Error::custom(message));
    }
    // A lone star is every model, as a key without patterns has it.
    let is_all = list.iter().any(|pattern| pattern.as_str() == "**");
    Ok(Some(if is_all { Models::all() } else { list.into_iter().collect() }))
}

/// Networks such as `10.0.0.0/8`, and addresses.
pub fn networks<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<IpNet>, D::Error> {
    read_list(value, parse_network)
}

fn parse_socket_address(text: &str) -> Parsed<SocketAddr> {
    match text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        Some(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().map_err(|_| String::new()),
    }
}

/// A part of the URL that would be replaced by a default is an error.
fn parse_url(text: &str) -> Parsed<BaseUrl> {
    if text.is_empty() {
        return Err(String::new());
    }
    let parsed = BaseUrl::parse(text).map_err(|error| error.to_string())?;
    match parsed.warning {
        Some(_) => Err(format!("the port in {} is not a number from 1 to 65535", shown(&format!("{text:?}")))),
        None => Ok(parsed.url),
    }
}

fn parse_origin(text: &str) -> Parsed<OriginPattern> {
    text.parse().map_err(|error| match error {
        OriginPatternError::EveryPage(_) => error.to_string(),
        OriginPatternError::Malformed(_) => String::new(),
    })
}

/// With a network of all addresses any caller could choose the address that the gateway takes it for.
fn parse_network(text: &str) -> Parsed<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| String::new())?,
    };
    if network.prefix_len() == 0 {
        return Err(format!("{network} is every address, so any caller could claim any address"));
    }
    Ok(network.trunc())
}

fn parse_seconds(text: &str) -> Option<u64> {
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

/// A value for an error: cut where it is long, without what may be a credential and without control characters.
pub fn shown(text: &str) -> String {
    if text.contains('@') {
        return "the given value".to_owned();
    }
    let visible = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    let text: String = text.chars().map(visible).collect();
    match text.char_indices().nth(MAX_SHOWN_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
