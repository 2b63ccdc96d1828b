//! How callers are told of a maintenance message: in a response header, and where the gateway refuses requests meanwhile, in the error.

use axum::http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::refusal_code::RefusalCode;
use super::rejection::Rejection;
use super::store::Maintenance;
use crate::relative_time;

/// The header of every answer to a caller whose credential was accepted.
pub const NOTICE: HeaderName = HeaderName::from_static("x-ollama-auth-notice");

/// What is percent-encoded in it besides everything that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The value of the header: the message in UTF-8, percent-encoded where it is not printable ASCII.
pub fn notice(maintenance: &Maintenance) -> Option<HeaderValue> {
    HeaderValue::from_str(&utf8_percent_encode(&maintenance.message, ENCODED).to_string()).ok()
}

/// The refusal of a request that would be forwarded.
pub fn refusal(maintenance: &Maintenance, now: i64) -> Rejection {
    let message = format!("this gateway is under maintenance: {}", maintenance.message);
    // Repeating it at once, as some libraries do, helps nobody.
    let refusal =
        |message| Rejection::new(503, message).because(RefusalCode::Maintenance).header("x-should-retry", "false");
    match maintenance.until {
        Some(until) => {
            let seconds = until.saturating_sub(now).max(1);
            let message = format!("{message}; try again {}", relative_time::until(until, now));
            refusal(message).header("retry-after", &seconds.to_string())
        }
        None => refusal(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maintenance(message: &str, until: Option<i64>) -> Maintenance {
        Maintenance { message: message.into(), refuses: true, since: 0, until }
    }

    #[test]
    fn the_header_holds_any_message_in_ascii() {
        let value = |message| notice(&maintenance(message, None)).unwrap();
        assert_eq!(value("new GPU, 14:00 \"UTC\""), "new GPU, 14:00 \"UTC\"");
        assert_eq!(value("50% \u{fc}"), "50%25 %C3%BC");
        assert_eq!(value("a\u{202e}\u{9b}b"), "a%E2%80%AE%C2%9Bb");
        let longest = "\u{1f5a5}".repeat(Maintenance::LONGEST);
        assert_eq!(value(&longest).len(), Maintenance::LONGEST * 12);
    }

    #[test]
    fn a_refusal_says_when_it_is_over_if_that_is_known() {
        let refused = refusal(&maintenance("new GPU", Some(7300)), 100).into_response();
        assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &HeaderValue::from(7200)));
        assert_eq!(
            refusal(&maintenance("x", Some(7300)), 100).message(),
            "this gateway is under maintenance: x; try again in 2 hours"
        );
        let open = refusal(&maintenance("x", None), 100);
        assert_eq!(open.message(), "this gateway is under maintenance: x");
        assert!(!open.into_response().headers().contains_key("retry-after"));
    }
}
