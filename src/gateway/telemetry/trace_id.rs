//! The trace that a request belongs to: the header `traceparent` of W3C Trace Context (<https://www.w3.org/TR/trace-context/>).

use std::fmt;

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `00-`, the trace id, `-`, the parent id, `-`, the flags.
const LENGTH: usize = 55;

/// A trace id: 32 lower-case hexadecimal digits, not all of them zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// That of a request; `None` without a valid one.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let hex = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let (version, rest) = value.split_at_checked(2)?;
        // Later versions may add parts behind the flags.
        let is_length = match version {
            b"00" => value.len() == LENGTH,
            b"ff" => false,
            _ => value.len() == LENGTH || value.get(LENGTH) == Some(&b'-'),
        };
        if !is_length || !hex(version) {
            return None;
        }
        let (trace, parent, flags) = (&rest[1..33], &rest[34..50], &rest[51..53]);
        let dashes = [rest[0], rest[33], rest[50]] == [b'-'; 3];
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
        let is_valid = dashes && hex(trace) && hex(parent) && hex(flags) && !is_zero(trace) && !is_zero(parent);
        is_valid.then(|| Self(trace.try_into().unwrap_or([b'0'; 32])))
    }

    /// Its digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_header_names_its_trace_and_others_none() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parse = |text: &str| TraceId::parse(text.as_bytes()).map(|trace| trace.to_string());
        for valid in [
            format!("00-{trace}-00f067aa0ba902b7-01"),
            format!("cc-{trace}-00f067aa0ba902b7-01"),
            format!("cc-{trace}-00f067aa0ba902b7-01-what-the-future-will-be"),
        ] {
            assert_eq!(parse(&valid).as_deref(), Some(trace), "{valid}");
        }
        for other in [
            "".to_owned(),
            "00".to_owned(),
            format!("00-{trace}-00f067aa0ba902b7"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{trace}-00f067aa0ba902b7-01 "),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("0x-{trace}-00f067aa0ba902b7-01"),
            format!("cc-{trace}-00f067aa0ba902b7-01.more"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-0000000000000000-01"),
            format!("00_{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-0\n"),
        ] {
            assert_eq!(parse(&other), None, "{other:?}");
        }
    }

    #[test]
    fn of_several_headers_none_counts() {
        let value = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        let mut headers = HeaderMap::from_iter([(TRACEPARENT, value)]);
        assert!(TraceId::of(&headers).is_some());
        let second = headers[TRACEPARENT].clone();
        headers.append(TRACEPARENT, second);
        assert_eq!(TraceId::of(&headers), None);
    }
}
