//! Which values the claims of a token must have.
//!
//! A `*` in a value stands for any characters but `/` and `:`, which divide the names of repositories, branches and subjects: so
//! `repo:acme/*` cannot be met by a name that reaches into the next part.

use std::fmt;

use serde_json::{Map, Value, json};

/// Which claims a token must have. All of them count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClaimRules(Vec<ClaimRule>);

/// What one claim must be.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRule {
    /// Its name; several lead into objects.
    pub path: Vec<String>,
    /// One of these.
    pub values: Vec<ClaimPattern>,
}

/// A value, perhaps with stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPattern(String);

impl ClaimRules {
    /// These.
    pub fn new(rules: Vec<ClaimRule>) -> Self {
        Self(rules)
    }

    /// The one of that claim, which is not in an object.
    pub fn of(&self, claim: &str) -> Option<&ClaimRule> {
        self.0.iter().find(|rule| rule.path.len() == 1 && rule.path[0] == claim)
    }

    /// The claims of a token that are not what they must be.
    pub fn unmet<'a>(&'a self, claims: &'a Map<String, Value>) -> impl Iterator<Item = &'a ClaimRule> {
        self.0.iter().filter(|rule| !rule.is_met(claims))
    }

    /// As the configuration has them.
    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        for ClaimRule { path, values } in &self.0 {
            let mut values: Vec<Value> = values.iter().map(|value| value.as_str().into()).collect();
            let value = if values.len() == 1 { values.remove(0) } else { values.into() };
            insert(&mut all, path, value);
        }
        all.into()
    }
}

fn insert(table: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            if let Some(inner) = table.entry(name).or_insert_with(|| json!({})).as_object_mut() {
                insert(inner, rest, value);
            }
        }
    }
}

impl ClaimRule {
    /// Whether a token with these claims meets it. Of a list one element is enough.
    fn is_met(&self, claims: &Map<String, Value>) -> bool {
        let Some((first, rest)) = self.path.split_first() else { return false };
        let found = rest.iter().try_fold(claims.get(first), |value, name| Some(value?.as_object()?.get(name)));
        match found.flatten() {
            Some(Value::Array(items)) => items.iter().any(|item| self.allows(item)),
            Some(value) => self.allows(value),
            None => false,
        }
    }

    /// Numbers and truth values are compared as they are written.
    fn allows(&self, value: &Value) -> bool {
        let matches = |text: &str| self.values.iter().any(|pattern| pattern.matches(text));
        match value {
            Value::String(text) => matches(text),
            Value::Number(number) => matches(&number.to_string()),
            Value::Bool(truth) => matches(if *truth { "true" } else { "false" }),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// Whether it excludes anything: a value of stars alone does not say who is meant.
    pub fn is_specific(&self) -> bool {
        self.values.iter().all(ClaimPattern::is_specific)
    }

    /// Whether it allows nothing but ids: digits alone.
    pub fn is_id(&self) -> bool {
        let is_id = |value: &ClaimPattern| value.0.bytes().all(|byte| byte.is_ascii_digit());
        self.values.iter().all(is_id)
    }

    /// Whether each value says which kind of reference of Git it is for: branches, tags, or pull requests.
    pub fn is_ref(&self) -> bool {
        let kinds = ["refs/heads/", "refs/tags/", "refs/pull/"];
        self.values.iter().all(|value| kinds.iter().any(|kind| value.0.starts_with(kind)))
    }

    /// Whether one of its values is this one, without a star.
    pub fn names(&self, value: &str) -> bool {
        self.values.iter().any(|pattern| pattern.0 == value)
    }
}

impl ClaimPattern {
    /// In bytes.
    const LONGEST: usize = 512;

    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: String) -> Result<Self, &'static str> {
        match text.len() {
            0 => Err("a value is empty"),
            length if length > Self::LONGEST => Err("a value is longer than 512 bytes"),
            _ => Ok(Self(text)),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_specific(&self) -> bool {
        self.0.chars().any(|c| !matches!(c, '*' | '/' | ':'))
    }

    /// Whether it stands for that text.
    pub fn matches(&self, text: &str) -> bool {
        if !self.0.contains('*') {
            return self.0 == text;
        }
        // A star stays within its part, so both must have the same parts between the same dividers.
        let (mut patterns, mut texts) = (parts(&self.0), parts(text));
        loop {
            match (patterns.next(), texts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(text)) if matches_part(pattern, text) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for ClaimPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text cut behind each divider, which is the end of its part.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(['/', ':']).chain(text.ends_with(['/', ':']).then_some(""))
}

/// Whether a part with stars stands for a part of a text. A star may stand for nothing, but not a whole part.
fn matches_part(pattern: &str, text: &str) -> bool {
    if !pattern.contains('*') {
        return pattern == text;
    }
    let divider = |part: &str| part.chars().next_back().filter(|c| matches!(c, '/' | ':'));
    if divider(pattern) != divider(text) || text.trim_end_matches(['/', ':']).is_empty() {
        return false;
    }
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(path: &[&str], values: &[&str], claims: &Value) -> bool {
        let values = values.iter().map(|value| ClaimPattern::new((*value).to_owned()).unwrap()).collect();
        let rule = ClaimRule { path: path.iter().map(|name| (*name).to_owned()).collect(), values };
        rule.is_met(claims.as_object().unwrap())
    }

    #[test]
    fn a_star_stays_within_its_part() {
        let matches = |pattern: &str, text: &str| ClaimPattern::new(pattern.to_owned()).unwrap().matches(text);
        for (pattern, text) in [
            ("refs/heads/main", "refs/heads/main"),
            ("refs/heads/*", "refs/heads/main"),
            ("refs/heads/release-*", "refs/heads/release-"),
            ("refs/heads/release-*", "refs/heads/release-1.2"),
            ("refs/*/main", "refs/heads/main"),
            ("repo:acme/*:ref:refs/heads/*", "repo:acme/app:ref:refs/heads/main"),
            ("*", "main"),
            ("*a*b*", "xaxbx"),
            ("*a*b*", "ab"),
            ("a*a", "aa"),
            ("*é*", "né"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("refs/heads/main", "refs/heads/Main"),
            ("refs/heads/main", "refs/heads/main/"),
            ("refs/heads/*", "refs/heads/a/b"),
            ("refs/heads/*", "refs/heads/"),
            ("refs/heads/*", "refs/heads/a:b"),
            ("refs/heads/release-*", "refs/heads/release"),
            ("refs/*", "refs/heads/main"),
            ("*", "a/b"),
            ("*", "a:"),
            ("*", "/"),
            ("*", ""),
            ("*/*", "a:b"),
            ("a*a", "a"),
            ("*:", "a/"),
            ("repo:acme/*", "repo:acme/app:ref:refs/heads/main"),
            ("repo:*", "repo:acme/app"),
            ("refs/heads/release-*", "refs/heads/release-/../main"),
            ("*b", "abc"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn claims_of_every_kind_are_compared_as_text() {
        let claims = json!({
            "id": "123", "number": 42, "big": 18_446_744_073_709_551_615_u64, "part": 1.5, "truth": true, "nothing": null,
            "groups": ["a", "b/c", 7, null, ["d"]], "kubernetes.io": { "namespace": "ci", "pod": { "name": "p-1" } },
            "empty": [],
        });
        for (path, value) in [
            (&["id"][..], "123"),
            (&["number"], "42"),
            (&["big"], "18446744073709551615"),
            (&["part"], "1.5"),
            (&["truth"], "true"),
            (&["groups"], "a"),
            (&["groups"], "b/*"),
            (&["groups"], "7"),
            (&["kubernetes.io", "namespace"], "ci"),
            (&["kubernetes.io", "pod", "name"], "p-*"),
        ] {
            assert!(is_met(path, &["other", value], &claims), "{path:?} {value}");
        }
        for (path, value) in [
            (&["id"][..], "1*4"),
            (&["number"], "42.0"),
            (&["truth"], "True"),
            (&["nothing"], "null"),
            (&["nothing"], "*"),
            (&["groups"], "d"),
            (&["groups"], "c"),
            (&["empty"], "*"),
            (&["kubernetes.io"], "*"),
            (&["kubernetes.io.namespace"], "ci"),
            (&["kubernetes", "io", "namespace"], "ci"),
            (&["id", "x"], "*"),
            (&["missing"], "*"),
            (&["ID"], "123"),
        ] {
            assert!(!is_met(path, &[value], &claims), "{path:?} {value}");
        }
    }
}
