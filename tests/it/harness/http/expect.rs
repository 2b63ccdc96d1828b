//! Requests that a test expects; the server checks at drop that they came.

use std::ops::{Bound, RangeBounds};

use super::{Reply, Request};

type Answer = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// One announced kind of request: by method and path (without query), how often it may come and what is answered.
pub struct Expectation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) seen: usize,
    pub(super) answer: Option<std::sync::Arc<Answer>>,
}

impl Expectation {
    /// Expected exactly once, unless [`times`](Self::times) says otherwise.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), least: 1, most: 1, seen: 0, answer: None }
    }

    /// How often it may come: `2..=2`, `1..`, `..=3`; `..=0` forbids it.
    pub fn times(mut self, range: impl RangeBounds<usize>) -> Self {
        self.least = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n + 1,
            Bound::Unbounded => 0,
        };
        self.most = match range.end_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_sub(1),
            Bound::Unbounded => usize::MAX,
        };
        self
    }

    /// What is answered; without it the server's own handler answers.
    pub fn reply(mut self, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        self.answer = Some(std::sync::Arc::new(Box::new(answer)));
        self
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        self.method == request.method && self.path == request.path()
    }

    pub(super) fn unmet(&self) -> Option<String> {
        (self.seen < self.least).then(|| {
            format!(
                "{} {} was expected {} times or more and came {} times",
                self.method, self.path, self.least, self.seen
            )
        })
    }
}
