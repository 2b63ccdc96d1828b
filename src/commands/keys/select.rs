//! Which keys a list shows, and in which order. Pure.

use std::cmp::Ordering;

use super::findings::{FindingKind, KeyProblem};
use crate::api::KeyEntry;
use crate::cli::{KeyField, KeyFilter, KeySort};

/// A key with what was found out about it.
#[derive(Debug)]
pub(super) struct AssessedKey<'a> {
    pub entry: &'a KeyEntry,
    /// `valid`, `expired` or `revoked`.
    pub state: &'static str,
    /// The most urgent first.
    pub problems: Vec<KeyProblem>,
}

impl AssessedKey<'_> {
    /// Whether every filter holds.
    pub(super) fn fits(&self, filters: &[KeyFilter]) -> bool {
        filters.iter().all(|filter| self.fits_one(filter))
    }

    fn fits_one(&self, filter: &KeyFilter) -> bool {
        let (entry, pattern) = (self.entry, filter.pattern.as_str());
        let any = |texts: &[String]| match texts {
            [] => pattern.is_empty(),
            some => some.iter().any(|text| fits(pattern, text)),
        };
        match filter.field {
            KeyField::Name => fits(pattern, &entry.name),
            KeyField::Id => fits(pattern, &entry.id),
            KeyField::Environment => fits(pattern, entry.environment.as_deref().unwrap_or_default()),
            KeyField::Scope => any(&entry.scopes),
            KeyField::Model => any(&entry.models),
            KeyField::State => fits(pattern, self.state),
            KeyField::Problem if self.problems.is_empty() => pattern.is_empty(),
            KeyField::Problem => self.problems.iter().any(|problem| fits(pattern, problem.kind.name())),
        }
    }

    fn urgency(&self) -> (bool, Option<FindingKind>) {
        let worst = self.problems.first().map(|problem| problem.kind);
        (worst.is_none(), worst)
    }
}

/// Puts keys in order. Those of which nothing is known come last; equals are told apart by name and id.
pub(super) fn sort(keys: &mut [AssessedKey<'_>], by: KeySort) {
    let last = |time: Option<jiff::Timestamp>| (time.is_none(), time);
    keys.sort_by(|a, b| {
        let (left, right) = (a.entry, b.entry);
        let first = match by {
            KeySort::Attention => a.urgency().cmp(&b.urgency()),
            KeySort::Name => Ordering::Equal,
            KeySort::Age => last(left.created_at).cmp(&last(right.created_at)),
            // Never is longest ago.
            KeySort::LastUsed => left.last_used_at.cmp(&right.last_used_at),
            KeySort::Expires => last(left.expires_at).cmp(&last(right.expires_at)),
        };
        first.then_with(|| left.name.cmp(&right.name)).then_with(|| left.id.cmp(&right.id))
    });
}

/// Whether a text is as a pattern says; `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(end) = parts.next_back() else {
        return rest.is_empty();
    };
    // The first place where a part fits leaves the most for the others.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in [
            ("ci", "ci"),
            ("", ""),
            ("*", ""),
            ("nightly*", "nightly report"),
            ("*a*b", "xaxbxb"),
            ("a**", "a"),
            ("*é*", "café!"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("ci", "cid"), ("ci", "aci"), ("", "x"), ("a*a", "a"), ("*a*b", "ba"), ("C*", "ci")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        // No pattern takes more than a pass over the text for each of its parts.
        assert!(!fits(&"*a".repeat(50), &"a".repeat(49)));
    }
}
