//! How often a caller can make the gateway write about them: anything that a request alone causes is recorded at most once a minute for
//! each subject, and so many times in all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const EVERY: i64 = 60;
const MOST: usize = 1000;

/// When what was reported last, in Unix seconds.
#[derive(Debug, Default)]
pub struct Reports(Mutex<HashMap<String, i64>>);

impl Reports {
    /// Whether `subject` may be reported now; takes note of it.
    pub fn may(&self, subject: &str, now: i64) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| (now - *at).abs() < EVERY);
        let may = last.len() < MOST && !last.contains_key(subject);
        if may {
            last.insert(subject.to_owned(), now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_each() {
        let reports = Reports::default();
        assert!(reports.may("a", 100) && !reports.may("a", 159) && reports.may("b", 159) && reports.may("a", 160));
    }
}
