//! Answers that list models show only those that a caller may use.

use serde_json::Value;

use crate::keyspec::{CanonicalModel, Models};

/// Takes what may not be used out of the array `list` of an answer, whose items are named by `members`. `None` when the answer is not such
/// a list: then nothing of it may be shown.
pub fn filter(answer: &[u8], list: &str, members: &[&str], models: &Models) -> Option<Vec<u8>> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    match answer.as_object_mut()?.get_mut(list)? {
        Value::Array(items) => items.retain(|item| may_see(item, members, models)),
        Value::Null => {}
        _ => return None,
    }
    serde_json::to_vec(&answer).ok()
}

fn may_see(item: &Value, members: &[&str], models: &Models) -> bool {
    let mut names = members.iter().filter_map(|member| item.get(*member)).peekable();
    let named = names.peek().is_some();
    named
        && names.all(|name| {
            name.as_str().and_then(|name| CanonicalModel::parse(name).ok()).is_some_and(|m| models.allow(&m))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(answer: &str) -> Option<String> {
        let models = ["tiny:*".parse().unwrap()].into_iter().collect();
        filter(answer.as_bytes(), "models", &["model", "name"], &models).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_what_may_be_used_is_shown() {
        let answer = r#"{"models":[{"name":"tiny:8b","model":"tiny:8b","size":1},{"name":"big:latest"},{"size":2},
            {"name":"tiny","model":"big"},{"name":7}],"more":1}"#;
        assert_eq!(filtered(answer).unwrap(), r#"{"models":[{"name":"tiny:8b","model":"tiny:8b","size":1}],"more":1}"#);
        assert_eq!(filtered(r#"{"models":null}"#).unwrap(), r#"{"models":null}"#);
    }

    #[test]
    fn what_is_no_list_shows_nothing() {
        for answer in ["", "[]", "{}", r#"{"models":{"tiny":1}}"#, r#"{"Models":[]}"#] {
            assert_eq!(filtered(answer), None, "{answer}");
        }
    }
}
