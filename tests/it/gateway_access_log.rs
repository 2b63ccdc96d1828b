//! The access log: one line for each request, however it ends, whole and without secrets; and nothing waits for it.

mod delivery;
mod requests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway};
use crate::harness::poll;

/// The fields of a line.
type Line = BTreeMap<String, Value>;

/// A gateway with an access log in a folder of its own.
struct Logged {
    kept: Sandbox,
    config: PathBuf,
    gateway: Gateway,
}

impl Logged {
    fn start(upstream: &str, config: &str) -> Self {
        Self::within(upstream, config, |_| "true".to_owned())
    }

    /// After a line of shell that is made for the folder.
    fn within(upstream: &str, config: &str, line: impl Fn(&Path) -> String) -> Self {
        let kept = Sandbox::new();
        let path = kept.write("gateway.toml", config);
        let args = ["--config", path.to_str().unwrap()];
        let gateway = Gateway::start_with_within(upstream, &args, &line(kept.root()));
        Self { kept, config: path, gateway }
    }

    fn path(&self) -> PathBuf {
        self.kept.path("access.log")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// The line of the request with that answer, once it is there.
    fn line_of(&self, answer: &Answer) -> Line {
        let id = answer.header("x-request-id").expect("an id");
        self.line(|line| line["request"] == id)
    }

    /// The only line for which that is so.
    fn line(&self, is_it: impl Fn(&Line) -> bool) -> Line {
        let mut found = poll("a line of the access log", || {
            let lines: Vec<_> = read(&self.text()).into_iter().filter(&is_it).collect();
            (!lines.is_empty()).then_some(lines)
        });
        assert_eq!(found.len(), 1, "{found:?}");
        found.pop().unwrap()
    }
}

/// Lines of either format. Each is whole, and has what every line has.
#[track_caller]
fn read(text: &str) -> Vec<Line> {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let lines: Vec<Line> = text[..whole].lines().map(read_line).collect();
    for line in &lines {
        for name in ["time", "request", "address", "method", "route", "status", "total_ms", "bytes"] {
            assert!(line.contains_key(name), "{name}: {line:?}");
        }
    }
    lines
}

#[track_caller]
fn read_line(line: &str) -> Line {
    if line.starts_with('{') {
        return serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
    let field = |field: &str| {
        let (name, value) = field.split_once('=').unwrap_or_else(|| panic!("{line:?}"));
        let is_text = matches!(
            name,
            "time"
                | "request"
                | "address"
                | "user"
                | "credential"
                | "method"
                | "route"
                | "model"
                | "code"
                | "outcome"
                | "trace"
        );
        let value = if is_text { Value::from(value) } else { serde_json::from_str(value).unwrap() };
        (name.to_owned(), value)
    };
    // No value of these tests has a space in it.
    line.split(' ').map(field).collect()
}

fn text<'a>(line: &'a Line, name: &str) -> Option<&'a str> {
    line.get(name).and_then(Value::as_str)
}

fn number(line: &Line, name: &str) -> Option<u64> {
    line.get(name).and_then(Value::as_u64)
}
