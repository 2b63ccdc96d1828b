//! What a host has told in its answers: whether it is a gateway of ours, and by how much to correct the time of signatures.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use http::header::HeaderMap;
use percent_encoding::percent_decode;

use super::clock::clock_offset;

/// The response header in which a gateway of ours names itself and its version.
pub(super) const GATEWAY_HEADER: &str = "x-ollama-auth-gateway";

/// The response header with the id of the request in the host's log, and the longest one, in characters.
const REQUEST_HEADER: &str = "x-request-id";
const LONGEST_REQUEST: usize = 64;

/// The id of the request in the host's log, if it says one that can be shown.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_HEADER)?.to_str().ok()?;
    let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'));
    (is_plain && (1..=LONGEST_REQUEST).contains(&id.len())).then_some(id)
}

/// The response header with what a gateway's administrator tells everyone, percent-encoded.
const NOTICE_HEADER: &str = "x-ollama-auth-notice";
/// The longest notice that is shown, in characters.
const LONGEST_NOTICE: usize = 200;

/// Seconds by which a clock may be off uncorrected: a `Date` has whole seconds, and a request takes time.
const TOLERANCE: u64 = 10;
/// Seconds by which it may be off unreported, where the signature was accepted.
const UNREPORTED: u64 = 30;
/// A host could have signatures made for a time at which it uses them again, so there is a limit, in seconds.
const MAX_CORRECTION: u64 = 600;

/// What a difference between this machine's clock and a gateway's leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClockRule {
    /// Nothing: the caller compares the clocks.
    #[default]
    Ignore,
    /// A warning.
    Report,
    /// A warning, and signatures with the gateway's time where it refuses ours.
    Correct,
}

/// Of one host, for all sessions of this process.
#[derive(Debug, Default)]
pub(super) struct HostFacts {
    is_gateway: AtomicBool,
    /// What to add to the time of this machine, in seconds.
    correction: AtomicI64,
    is_offset_reported: AtomicBool,
    /// The notice that was shown last.
    notice: Mutex<Option<String>>,
    /// The API key whose end was told last.
    ending_key: Mutex<Option<String>>,
}

impl HostFacts {
    /// Takes note of an answer's headers. Once a gateway, always one: an error page of a proxy in between does not change it.
    pub fn learn(&self, headers: &HeaderMap) {
        if headers.contains_key(GATEWAY_HEADER) {
            self.set_gateway();
        }
    }

    /// What a gateway's administrator tells everyone, if this answer is the first that says so. Untrusted text.
    pub fn new_notice(&self, status: StatusCode, headers: &HeaderMap) -> Option<String> {
        // The error says it, too.
        if status == StatusCode::SERVICE_UNAVAILABLE || !headers.contains_key(GATEWAY_HEADER) {
            return None;
        }
        let text = percent_decode(headers.get(NOTICE_HEADER)?.as_bytes()).decode_utf8_lossy();
        let text: String = text.trim().chars().take(LONGEST_NOTICE).collect();
        let mut shown = self.notice.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() || shown.as_ref() == Some(&text) {
            return None;
        }
        shown.replace(text.clone());
        Some(text)
    }

    /// `true` the first time for a key.
    pub fn tells_end_of(&self, key: &str) -> bool {
        let mut told = self.ending_key.lock().unwrap_or_else(PoisonError::into_inner);
        told.replace(key.to_owned()).is_none_or(|before| before != key)
    }

    /// It named itself a gateway, now or at the sign-in.
    pub fn set_gateway(&self) {
        self.is_gateway.store(true, Ordering::Relaxed);
    }

    pub fn is_gateway(&self) -> bool {
        self.is_gateway.load(Ordering::Relaxed)
    }

    /// What to add to this machine's time when signing, in seconds.
    pub fn correction(&self) -> i64 {
        self.correction.load(Ordering::Relaxed)
    }

    /// Signs with the host's time from now on, if it is a gateway that refused a signature whose time differs from its own. Gives the
    /// seconds by which `now`, the time of this machine, is ahead of it; `None` if nothing changes, and then the request is not repeated.
    pub fn correct(&self, status: StatusCode, headers: &HeaderMap, now: i64) -> Option<i64> {
        if status != StatusCode::UNAUTHORIZED || !headers.contains_key(GATEWAY_HEADER) {
            return None;
        }
        let ahead = clock_offset(headers, now)?;
        if ahead.saturating_add(self.correction()).unsigned_abs() <= TOLERANCE {
            return None;
        }
        let is_correctable = ahead.unsigned_abs() <= MAX_CORRECTION;
        // In a long run this machine's clock may have been set since the last correction.
        let correction = if is_correctable && ahead.unsigned_abs() > TOLERANCE { -ahead } else { 0 };
        self.correction.store(correction, Ordering::Relaxed);
        is_correctable.then_some(ahead)
    }

    /// The seconds by which `now` is ahead of a gateway's time, if that is worth a word.
    pub fn reportable_offset(headers: &HeaderMap, now: i64) -> Option<i64> {
        let ahead = clock_offset(headers, now).filter(|_| headers.contains_key(GATEWAY_HEADER))?;
        (ahead.unsigned_abs() > UNREPORTED).then_some(ahead)
    }

    /// `true` the first time.
    pub fn report_once(&self) -> bool {
        !self.is_offset_reported.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of Fri, 20 Nov 2026 21:52:52 GMT.
    const DATE: i64 = 1_795_211_572;

    fn headers(gateway: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("date", "Fri, 20 Nov 2026 21:52:52 GMT".parse().unwrap());
        if gateway {
            headers.insert(GATEWAY_HEADER, "0.1.0".parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_notice_of_a_gateway_is_told_once() {
        let facts = HostFacts::default();
        let told = |status: u16, gateway: bool, text: &[u8]| {
            let mut headers = headers(gateway);
            headers.insert(NOTICE_HEADER, http::HeaderValue::from_bytes(text).unwrap());
            facts.new_notice(StatusCode::from_u16(status).unwrap(), &headers)
        };
        assert_eq!(told(200, false, b"not a gateway"), None);
        assert_eq!(told(503, true, b"the error says it"), None);
        assert_eq!(told(200, true, b"50%25 %C3%BC%FF %zz"), Some("50% \u{fc}\u{fffd} %zz".to_owned()));
        assert_eq!(told(403, true, b"50%25 %C3%BC%FF %zz"), None);
        assert_eq!(told(200, true, b" "), None);
        assert_eq!(told(200, true, &[b'x'; 4000]).map(|text| text.len()), Some(LONGEST_NOTICE));
    }

    #[test]
    fn the_time_of_a_gateway_is_taken_within_ten_minutes() {
        for (ahead, taken) in
            [(0, false), (10, false), (11, true), (-11, true), (600, true), (-600, true), (601, false)]
        {
            let facts = HostFacts::default();
            let correct = || facts.correct(StatusCode::UNAUTHORIZED, &headers(true), DATE + ahead);
            assert_eq!(correct(), taken.then_some(ahead));
            assert_eq!(facts.correction(), if taken { -ahead } else { 0 });
            // What is refused again with the host's time is refused for another reason.
            assert_eq!(correct(), None);
        }
        let facts = HostFacts::default();
        assert_eq!(facts.correct(StatusCode::UNAUTHORIZED, &headers(false), DATE + 60), None);
        assert_eq!(facts.correct(StatusCode::FORBIDDEN, &headers(true), DATE + 60), None);
        assert_eq!(facts.correct(StatusCode::UNAUTHORIZED, &HeaderMap::new(), DATE + 60), None);
        assert_eq!(facts.correction(), 0);
    }

    #[test]
    fn a_clock_that_is_set_in_a_long_run_is_compared_again() {
        let facts = HostFacts::default();
        let correct = |ahead| facts.correct(StatusCode::UNAUTHORIZED, &headers(true), DATE + ahead);
        assert_eq!((correct(300), facts.correction()), (Some(300), -300));
        assert_eq!((correct(0), facts.correction()), (Some(0), 0));
        assert_eq!((correct(-90), facts.correction()), (Some(-90), 90));
        assert_eq!((correct(7200), facts.correction()), (None, 0));
    }

    #[test]
    fn an_offset_is_reported_once_and_beyond_thirty_seconds() {
        let offset = |gateway, ahead| HostFacts::reportable_offset(&headers(gateway), DATE + ahead);
        assert_eq!([30, 31, -31, 7200].map(|ahead| offset(true, ahead)), [None, Some(31), Some(-31), Some(7200)]);
        assert_eq!(offset(false, 45), None);
        let facts = HostFacts::default();
        assert_eq!([facts.report_once(), facts.report_once()], [true, false]);
    }

    #[test]
    fn a_gateway_is_what_has_named_itself_so() {
        let facts = HostFacts::default();
        facts.learn(&headers(false));
        assert!(!facts.is_gateway());
        facts.learn(&headers(true));
        facts.learn(&headers(false));
        assert!(facts.is_gateway());
    }
}
