//! Which models a list shows to a caller.

use serde_json::Value;
use serde_json::value::RawValue;

use super::json_members::members as members_of;
use crate::gateway::model_access::ModelAccess;
use crate::keyspec::CanonicalModel;

/// Takes what may not be used out of the array `list` of an answer, whose items are named by `members`. `None` when the answer is not such
/// a list: then nothing of it may be shown. No more than an item is built at a time.
pub fn filter(answer: &[u8], list: &str, members: &[&str], models: &ModelAccess) -> Option<Vec<u8>> {
    let answer = members_of(answer).ok()?;
    let filter = models.filter();
    let mut kept = Vec::with_capacity(1024);
    let mut found = false;
    for (name, value) in answer {
        kept.push(if kept.is_empty() { b'{' } else { b',' });
        serde_json::to_writer(&mut kept, &name).ok()?;
        kept.push(b':');
        if name != list {
            kept.extend_from_slice(value.get().as_bytes());
            continue;
        }
        // Twice would be two lists.
        if std::mem::replace(&mut found, true) {
            return None;
        }
        let Some(items) = serde_json::from_str::<Option<Vec<&RawValue>>>(value.get()).ok()? else {
            kept.extend_from_slice(b"null");
            continue;
        };
        let mut before = b'[';
        for item in items {
            let item: Value = serde_json::from_str(item.get()).ok()?;
            if may_see(&item, members, &filter) {
                kept.push(before);
                serde_json::to_writer(&mut kept, &item).ok()?;
                before = b',';
            }
        }
        kept.extend_from_slice(if before == b'[' { b"[]" } else { b"]" });
    }
    kept.push(b'}');
    found.then_some(kept)
}

/// The item that names a model, of the array `list` of an answer. `None` when the answer is not such a list; in it, `None` when the model is
/// not there.
pub fn find(answer: &[u8], list: &str, members: &[&str], wanted: &CanonicalModel) -> Option<Option<Vec<u8>>> {
    let answer = members_of(answer).ok()?;
    let (_, value) = answer.into_iter().find(|(name, _)| name == list)?;
    let items = serde_json::from_str::<Option<Vec<&RawValue>>>(value.get()).ok()?.unwrap_or_default();
    let is_wanted = |item: &&&RawValue| {
        let item: Value = serde_json::from_str(item.get()).unwrap_or_default();
        let mut names = members.iter().filter_map(|member| item.get(*member)?.as_str());
        names.any(|name| CanonicalModel::parse(name).is_ok_and(|name| name == *wanted))
    };
    Some(items.iter().find(is_wanted).map(|item| item.get().as_bytes().to_vec()))
}

fn may_see(item: &Value, members: &[&str], is_allowed: &impl Fn(&CanonicalModel) -> bool) -> bool {
    let mut names = members.iter().filter_map(|member| item.get(*member)).peekable();
    let named = names.peek().is_some();
    named
        && names
            .all(|name| name.as_str().and_then(|name| CanonicalModel::parse(name).ok()).is_some_and(|m| is_allowed(&m)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspec::Models;

    fn filtered(answer: &str) -> Option<String> {
        let models = ["tiny:*".parse().unwrap()].into_iter().collect::<Models>().into();
        filter(answer.as_bytes(), "models", &["model", "name"], &models).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn lists_show_only_allowed_models() {
        let answer = r#"{"models":[{"name":"tiny:8b","model":"tiny:8b","size":1},{"name":"big:latest"},{"size":2},
            {"name":"tiny","model":"big"},{"name":7}],"more":1}"#;
        assert_eq!(filtered(answer).unwrap(), r#"{"models":[{"name":"tiny:8b","model":"tiny:8b","size":1}],"more":1}"#);
        for empty in [r#"{"models":null}"#, r#"{"models":[]}"#, r#"{"more":{"a":1},"models":[]}"#] {
            assert_eq!(filtered(empty).unwrap(), empty);
        }
    }

    #[test]
    fn unreadable_lists_show_nothing() {
        let twice = r#"{"models":[],"models":[{"name":"tiny"}]}"#;
        for answer in ["", "[]", "{}", r#"{"models":{"tiny":1}}"#, r#"{"models":[1,}"#, r#"{"Models":[]}"#, twice] {
            assert_eq!(filtered(answer), None, "{answer}");
        }
    }
}
