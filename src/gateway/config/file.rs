//! Reads `gateway.toml` into settings, each with its line and column.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::settings::Given;
use super::value::Value;

/// A configuration file that was read.
#[derive(Clone)]
pub struct ConfigFile {
    /// Where it lies: for messages, and for the paths in it.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The settings in the order of the file.
///
/// # Errors
/// Bytes that are no text, text that is no TOML, a doubled name, a group.
pub fn read(file: &ConfigFile) -> Result<Vec<(String, Given)>, ConfigError> {
    let text = std::str::from_utf8(&file.bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&file.bytes[..error.valid_up_to()]).into_owned();
        ConfigError::NotUtf8(place(&file.path, &before, before.len()))
    })?;
    let table = DeTable::parse(text).map_err(|error| syntax(&file.path, text, &error))?.into_inner();
    let mut found = Vec::with_capacity(table.len());
    for (name, value) in table {
        let (at, place) = (name.span().start, place(&file.path, text, value.span().start));
        let name_place = self::place(&file.path, text, at);
        let name = name.into_inner().into_owned();
        if let DeValue::Table(_) = value.get_ref() {
            return Err(ConfigError::Group { place: name_place, name });
        }
        if super::settings::find(&name).is_none() {
            return Err(ConfigError::Unknown { place: name_place, name });
        }
        found.push((at, name, Given { value: read_value(value.into_inner()), place }));
    }
    found.sort_by_key(|(at, ..)| *at);
    Ok(found.into_iter().map(|(_, name, given)| (name, given)).collect())
}

fn read_value(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number as large as that"),
        },
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item: Spanned<DeValue<'_>>| match item.into_inner() {
                DeValue::String(text) => Some(text.into_owned()),
                _ => None,
            });
            items.collect::<Option<Vec<_>>>().map_or(Value::Other("an array of something else than texts"), Value::List)
        }
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date or time of day"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let Range { start, end } = error.span().unwrap_or(text.len()..text.len());
    let place = place(path, text, start);
    let line = text[..floor(text, start)].rsplit('\n').next().unwrap_or_default().len();
    let line = text[floor(text, start) - line..].lines().next().unwrap_or_default().trim();
    if error.message().contains("duplicate key") {
        let name = text.get(start..end).unwrap_or_default().trim().to_owned();
        let earlier = text.lines().position(|line| line.split('=').next().is_some_and(|key| key.trim() == name));
        let first = Place::File { path: path.to_owned(), line: earlier.unwrap_or_default() + 1, column: 1 };
        return ConfigError::Twice { place, name, first };
    }
    ConfigError::Syntax { place, reason: reason(error.message(), line), text: without_credential(line) }
}

/// What the parser says, and what people usually meant.
fn reason(said: &str, line: &str) -> String {
    let said = said.lines().next().unwrap_or_default();
    let bare = line.split_once('=').map(|(_, value)| value.trim_start());
    let texts = |c: char| c.is_alphanumeric() || "./:".contains(c);
    match bare {
        None if !line.starts_with('[') && !line.is_empty() => format!("a setting is NAME = VALUE ({said})"),
        Some(value) if value.starts_with(texts) => format!("a text stands in quotes ({said})"),
        _ => said.to_owned(),
    }
}

/// A line for an error: a value that may hold a password is cut off.
fn without_credential(line: &str) -> String {
    let shown = if line.contains('@') { line.split('=').next().unwrap_or_default().trim_end() } else { line };
    shown.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Line and column of a byte of the text.
fn place(path: &Path, text: &str, at: usize) -> Place {
    let before = &text[..floor(text, at)];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place::File { path: path.to_owned(), line, column }
}

/// The parser may point into the middle of a character, or behind the end.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}
