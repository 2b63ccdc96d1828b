//! The fields of a line, in their order. What is not known is left out.

use axum::http::Method;

use super::line::LineWriter;
use crate::gateway::telemetry::summary::{InferenceSummary, RequestSummary};

/// Writes them. `time` is the end of the request.
pub fn write_fields(line: &mut LineWriter<'_>, time: &str, request: &RequestSummary) {
    let RequestSummary { origin, method, route, trace, caller, status, code, total, bytes, inference } = request;
    // First, because it is how a line of ours is recognised.
    line.word("time", time);
    line.word("request", origin.request);
    line.word("address", origin.address);
    if let Some(caller) = caller {
        line.text("user", &caller.user().name);
        line.text("credential", &caller.name());
    }
    line.text("method", known_method(method));
    line.text("route", route);
    if let Some(InferenceSummary { model, .. }) = inference
        && !model.is_empty()
    {
        line.text("model", model);
    }
    line.number("status", (*status).into());
    if let Some(code) = code {
        line.text("code", code.name());
    }
    if let Some(inference) = inference {
        write_inference(line, inference);
    }
    line.number("total_ms", milliseconds(*total));
    line.number("bytes", *bytes);
    if let Some(trace) = trace {
        line.word("trace", trace.as_str());
    }
}

fn write_inference(line: &mut LineWriter<'_>, inference: &InferenceSummary) {
    let InferenceSummary { model: _, status, tokens, first_token } = inference;
    line.text("outcome", status.name());
    if let Some(first_token) = first_token {
        line.number("first_token_ms", milliseconds(*first_token));
    }
    line.number("input_tokens", tokens.input);
    line.number("output_tokens", tokens.output);
    if tokens.is_estimate {
        line.flag("estimated");
    }
}

fn milliseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A method that HTTP knows. Another one is the caller's own word: it can be long, and a secret.
fn known_method(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::HEAD,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::CONNECT,
        Method::TRACE,
    ];
    if KNOWN.contains(method) { method.as_str() } else { "other" }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::gateway::authn::Caller;
    use crate::gateway::origin::Origin;
    use crate::gateway::refusal_code::RefusalCode;
    use crate::gateway::store::{TokenCount, UsageStatus};
    use crate::gateway::telemetry::access_log::settings::AccessLogFormat;

    const NAMES: [&str; 18] = [
        "time",
        "request",
        "address",
        "user",
        "credential",
        "method",
        "route",
        "model",
        "status",
        "code",
        "outcome",
        "first_token_ms",
        "input_tokens",
        "output_tokens",
        "estimated",
        "total_ms",
        "bytes",
        "trace",
    ];

    fn request(route: &'static str) -> RequestSummary {
        RequestSummary {
            origin: Origin::new([192, 0, 2, 7].into()),
            method: Method::GET,
            route,
            trace: None,
            caller: None,
            status: 200,
            code: None,
            total: Duration::from_micros(1999),
            bytes: 5,
            inference: None,
        }
    }

    fn line(format: AccessLogFormat, request: &RequestSummary) -> String {
        let mut out = Vec::new();
        let mut line = LineWriter::begin(&mut out, format);
        write_fields(&mut line, "2027-01-31T12:00:00Z", request);
        line.end();
        String::from_utf8(out).unwrap()
    }

    /// Reads a line as a reader of logfmt does.
    fn read_logfmt(line: &str) -> Vec<(String, String)> {
        let mut rest = line.strip_suffix('\n').unwrap();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').unwrap();
            let (value, after) = if after.starts_with('"') {
                let mut values = serde_json::Deserializer::from_str(after).into_iter::<String>();
                let value = values.next().unwrap().unwrap();
                (value, &after[values.byte_offset()..])
            } else {
                let end = after.find(' ').unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            };
            fields.push((name.to_owned(), value));
            assert!(after.is_empty() || after.starts_with(' '), "{line}");
            rest = after.strip_prefix(' ').unwrap_or(after);
        }
        fields
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let summary = request("/api/version");
        let id = summary.origin.request;
        assert_eq!(
            line(AccessLogFormat::Logfmt, &summary),
            format!(
                "time=2027-01-31T12:00:00Z request={id} address=192.0.2.7 method=GET route=/api/version status=200 total_ms=1 bytes=5\n"
            )
        );
        assert_eq!(
            line(AccessLogFormat::Json, &summary),
            format!(
                "{{\"time\":\"2027-01-31T12:00:00Z\",\"request\":\"{id}\",\"address\":\"192.0.2.7\",\"method\":\"GET\",\
                 \"route\":\"/api/version\",\"status\":200,\"total_ms\":1,\"bytes\":5}}\n"
            )
        );
        // What the caller has made up itself is not repeated.
        for (method, shown) in [("get", "other"), ("OLAUTH_SECRET", "other"), ("PATCH", "PATCH")] {
            let summary = RequestSummary { method: method.parse().unwrap(), ..request("other") };
            let fields = read_logfmt(&line(AccessLogFormat::Logfmt, &summary));
            assert_eq!(fields.into_iter().find(|(name, _)| name == "method").unwrap().1, shown);
        }
    }

    #[test]
    fn no_text_breaks_the_line_or_makes_up_a_field() {
        for text in [
            "plain",
            "",
            " ",
            "a b",
            "x status=200",
            "x\" status=200 y=\"",
            "\",\"status\":200,\"x\":\"",
            "\\",
            "\\\"",
            "a\nb",
            "a\r\nrequest=1",
            "a\u{2028}b\u{2029}c\u{85}d",
            "\u{0}\u{1b}]0;x\u{7}",
            "\u{202e}zoë🦀",
        ] {
            let summary = RequestSummary {
                trace: None,
                caller: Some(Caller::for_tests(text)),
                code: Some(RefusalCode::Budget),
                inference: Some(InferenceSummary {
                    model: format!("m{text}"),
                    status: UsageStatus::Cut,
                    tokens: TokenCount { input: 1, output: u64::MAX, is_estimate: true },
                    first_token: Some(Duration::from_millis(25)),
                }),
                ..request(text.to_owned().leak())
            };
            let json = line(AccessLogFormat::Json, &summary);
            let logfmt = line(AccessLogFormat::Logfmt, &summary);
            for line in [&json, &logfmt] {
                let end = line.find(|char: char| char.is_control() || ('\u{2028}'..='\u{202e}').contains(&char));
                assert_eq!(end, Some(line.len() - 1), "{line:?}");
            }
            let read: BTreeMap<String, Value> = serde_json::from_str(&json).unwrap();
            let fields = read_logfmt(&logfmt);
            assert_eq!(
                fields.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
                NAMES[..NAMES.len() - 1],
                "{logfmt}"
            );
            assert_eq!(read.len(), fields.len(), "{json}");
            for (name, value) in fields {
                let same = match &read[&name] {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                assert_eq!(value, same, "{name}");
            }
            assert_eq!((&read["user"], &read["route"]), (&text.into(), &text.into()));
            assert_eq!(read["credential"], format!("user:{text}"));
            assert_eq!(read["model"], format!("m{text}"));
            assert_eq!((&read["output_tokens"], &read["estimated"]), (&u64::MAX.into(), &true.into()));
        }
    }
}
