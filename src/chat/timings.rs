//! How long an answer took, as the final object of a stream says it, and the block that `--verbose` prints of it.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt::Write as _;

/// The measurements in the final object of `/api/generate` and `/api/chat`, under the names they have there. Durations are in
/// nanoseconds. What is missing, negative or no number is `None`: a measurement must not spoil an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timings {
    /// From the request's arrival to the end of the answer, in nanoseconds.
    #[serde(rename = "total_duration", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub total_duration_ns: Option<u64>,
    /// To load the model, in nanoseconds.
    #[serde(rename = "load_duration", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub load_duration_ns: Option<u64>,
    /// Tokens in the prompt.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub prompt_eval_count: Option<u64>,
    /// To read the prompt, in nanoseconds.
    #[serde(rename = "prompt_eval_duration", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub prompt_eval_duration_ns: Option<u64>,
    /// Tokens in the answer.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub eval_count: Option<u64>,
    /// To write the answer, in nanoseconds.
    #[serde(rename = "eval_duration", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub eval_duration_ns: Option<u64>,
}

fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(serde_json::Value::deserialize(deserializer)?.as_u64())
}

impl Timings {
    /// The block that stock's `--verbose` prints on stderr: a line a measurement that is there and not zero, each with a newline.
    pub fn report(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, value: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{label:<21} {value}");
        };
        let some = |value: Option<u64>| value.filter(|&n| n > 0);
        let rate =
            |count: Option<u64>, ns: u64| format!("{:.2} tokens/s", count.unwrap_or(0) as f64 / (ns as f64 / 1e9));
        if let Some(ns) = some(self.total_duration_ns) {
            line("total duration:", duration(ns));
        }
        if let Some(ns) = some(self.load_duration_ns) {
            line("load duration:", duration(ns));
        }
        if let Some(count) = some(self.prompt_eval_count) {
            line("prompt eval count:", format!("{count} token(s)"));
        }
        if let Some(ns) = some(self.prompt_eval_duration_ns) {
            line("prompt eval duration:", duration(ns));
            line("prompt eval rate:", rate(self.prompt_eval_count, ns));
        }
        if let Some(count) = some(self.eval_count) {
            line("eval count:", format!("{count} token(s)"));
        }
        if let Some(ns) = some(self.eval_duration_ns) {
            line("eval duration:", duration(ns));
            line("eval rate:", rate(self.eval_count, ns));
        }
        text
    }
}

/// A duration in the notation of Go's `time.Duration`: `52.352175ms`, `1m2.5s`, `14.81ms`.
fn duration(ns: u64) -> String {
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(ns, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(ns, 1_000_000)),
        _ => {
            let minutes = ns / 60_000_000_000;
            let seconds = decimal(ns % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `ns / unit` with as many decimals as it takes; `unit` is a power of ten.
fn decimal(ns: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", ns / unit, ns % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (52_352_175, "52.352175ms"),
            (14_810_000, "14.81ms"),
            (2_000_000_000, "2s"),
            (62_500_000_000, "1m2.5s"),
            (60_000_000_000, "1m0s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
            (100_000_000_000_000, "27h46m40s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn reports_what_a_final_object_says() {
        // The numbers of a recorded session.
        let timings: Timings = serde_json::from_str(
            r#"{"done":true,"total_duration":52352175,"load_duration":2375498,"prompt_eval_count":221,
                "prompt_eval_duration":14810000,"eval_count":32,"eval_duration":27590000}"#,
        )
        .unwrap();
        assert_eq!(
            timings.report(),
            "total duration:       52.352175ms\nload duration:        2.375498ms\nprompt eval count:    221 token(s)\n\
             prompt eval duration: 14.81ms\nprompt eval rate:     14922.35 tokens/s\neval count:           32 token(s)\n\
             eval duration:        27.59ms\neval rate:            1159.84 tokens/s\n"
        );
    }

    #[test]
    fn odd_measurements_are_left_out() {
        let timings: Timings =
            serde_json::from_str(r#"{"total_duration":-1,"eval_count":"many","load_duration":null,"eval_duration":0}"#)
                .unwrap();
        assert_eq!(timings, Timings { eval_duration_ns: Some(0), ..Timings::default() });
        assert_eq!(timings.report(), "");
    }
}
