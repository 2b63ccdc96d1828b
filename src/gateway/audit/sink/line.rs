//! A record as sinks get it: `{"log":"ORIGIN","index":N,"record":LINE}`, where LINE is the stored line, byte for byte.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

/// How every line of a sink begins.
pub const BEGINNING: &str = "{\"log\":\"";

/// A record of the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkRecord {
    /// The origin of its log.
    pub origin: Arc<str>,
    /// Its index in that log.
    pub index: u64,
    /// When it happened, in Unix seconds.
    pub at: i64,
    /// The stored line. `None` only in a damaged database.
    pub line: Option<String>,
}

impl SinkRecord {
    /// The line of a sink, without its end.
    pub fn to_line(&self) -> String {
        let record = match &self.line {
            None => Cow::Borrowed("null"),
            Some(line) if is_object_on_one_line(line) => Cow::Borrowed(line.as_str()),
            // It was changed in the database, and must not break the line that it is in.
            Some(line) => Cow::Owned(in_quotes(line)),
        };
        format!("{},\"record\":{record}}}", self.head())
    }

    /// The same in so many bytes or a few more: the record is cut, and the line says so.
    pub fn to_cut_line(&self, length: usize) -> String {
        let line = self.line.as_deref().unwrap_or_default();
        let mut end = line.len().min(length);
        loop {
            end = line.floor_char_boundary(end);
            let cut = format!("{},\"cut\":true,\"record\":{}}}", self.head(), in_quotes(&line[..end]));
            if cut.len() <= length || end == 0 {
                return cut;
            }
            end = (end * length / cut.len()).min(end - 1);
        }
    }

    fn head(&self) -> String {
        format!("{{\"log\":{},\"index\":{}", in_quotes(&self.origin), self.index)
    }
}

fn is_object_on_one_line(line: &str) -> bool {
    line.starts_with('{')
        && line.ends_with('}')
        && !line.contains(['\n', '\r'])
        && serde_json::from_str::<&RawValue>(line).is_ok()
}

fn in_quotes(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn record(line: &str) -> SinkRecord {
        SinkRecord { origin: "gateway/1".into(), index: 7, at: 5, line: Some(line.to_owned()) }
    }

    #[test]
    fn the_stored_line_is_in_it_byte_for_byte() {
        let stored = r#"{"format":1, "details":{"name":"a\n\u00e9 \" }"}}"#;
        let line = record(stored).to_line();
        assert_eq!(line, format!(r#"{{"log":"gateway/1","index":7,"record":{stored}}}"#));
        assert!(line.starts_with(BEGINNING));
        let (_, rest) = line.split_once(r#""record":"#).unwrap();
        assert_eq!(rest.strip_suffix('}'), Some(stored));
    }

    #[test]
    fn what_no_gateway_has_stored_breaks_no_line() {
        for stored in ["", "{", "{}\n{}", "{\"a\":\r1}", "[]", "1}", " {}", "{\"a\":1}}"] {
            let line = record(stored).to_line();
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((read["record"].as_str(), line.lines().count()), (Some(stored), 1), "{stored:?}");
        }
        let none = SinkRecord { line: None, ..record("") }.to_line();
        assert_eq!(serde_json::from_str::<Value>(&none).unwrap()["record"], Value::Null);
    }

    #[test]
    fn a_cut_line_says_so_and_is_as_long_as_it_may_be() {
        let stored = format!("{{\"name\":\"{}\"}}", "\\\"ä\u{1}".repeat(1000));
        for length in [0, 60, 100, 1000, 2049] {
            let line = record(&stored).to_cut_line(length);
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["cut"], true);
            assert!(stored.starts_with(read["record"].as_str().unwrap()));
            assert!(line.len() <= length.max(60), "{length}: {}", line.len());
            assert!(length < 100 || line.len() > length / 2, "{length}: {}", line.len());
        }
    }
}
