//! The clock of a test server: the real time plus an offset that the test sets. It fills `Date` and verifies the `ts` of signatures.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

/// Shared by a server and its test; clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// Shifts the server's clock by `seconds` against the real one (positive: the server is ahead).
    pub fn skew(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        Timestamp::now().as_second() + self.0.load(Ordering::SeqCst)
    }

    /// The value of a `Date` header, `offset` seconds from now (RFC 9110).
    pub fn date(&self, offset: i64) -> String {
        let then = Timestamp::from_second(self.now() + offset).expect("a time within jiff's range");
        DateTimePrinter::new().timestamp_to_rfc9110_string(&then).expect("a time that RFC 9110 can write")
    }
}
