//! What a browser reads of the gateway's pages and sends back, without a browser.

use super::gateway::Answer;

/// The header of a form.
pub const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

/// What stands between two texts.
pub fn between(text: &str, from: &str, to: &str) -> String {
    let found = text.split_once(from).and_then(|(_, rest)| rest.split_once(to));
    found.unwrap_or_else(|| panic!("no {from} in {text}")).0.to_owned()
}

/// The `Cookie` header with the one of that kind, `session` or `visitor`, that an answer sets.
pub fn cookie(answer: &Answer, kind: &str) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
    let value = set.filter(|value| value.contains(kind)).map(|value| value.split(';').next().unwrap()).next();
    format!("Cookie: {}", value.unwrap())
}
