//! How often a caller can make the gateway write about them: anything that a request alone causes is recorded at most once a minute for
//! each subject, and so many times in all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

const REPORT_INTERVAL_SECONDS: i64 = 60;
const MAX_SUBJECTS: usize = 1000;

/// When what was reported last, in Unix seconds.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<HashMap<String, i64>>);

impl LogThrottle {
    /// Whether `subject` may be reported now; takes note of it.
    pub fn allow(&self, subject: &str, now: i64) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| (now - *at).abs() < REPORT_INTERVAL_SECONDS);
        let allowed = last.len() < MAX_SUBJECTS && !last.contains_key(subject);
        if allowed {
            last.insert(subject.to_owned(), now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_reported_once_a_minute() {
        let throttle = LogThrottle::default();
        assert!(
            throttle.allow("a", 100)
                && !throttle.allow("a", 159)
                && throttle.allow("b", 159)
                && throttle.allow("a", 160)
        );
    }

    #[test]
    fn reports_beyond_the_limit_are_dropped() {
        let throttle = LogThrottle::default();
        let reported = (0..5000).filter(|n| throttle.allow(&n.to_string(), 100)).count();
        assert_eq!((reported, throttle.0.lock().unwrap().len()), (MAX_SUBJECTS, MAX_SUBJECTS));
        assert!(throttle.allow("5001", 160));
    }
}
