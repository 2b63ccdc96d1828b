//! Both formats are valid for the tools of Prometheus, and the reference lists exactly the metrics that there are.

use std::collections::BTreeSet;

use super::{Given, documented, names_in};
use crate::harness::cmd::Sandbox;
use crate::harness::prometheus::{promtool, python};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0";
/// Prints the name of each sample, by the strict parser of Prometheus' library for Python.
const PARSE: &str = "import sys\n\
    from prometheus_client.openmetrics.parser import text_string_to_metric_families\n\
    for family in text_string_to_metric_families(sys.stdin.read()):\n\
    \x20   assert family.documentation, family.name\n\
    \x20   for sample in family.samples: print(sample.name)\n";

#[test]
fn both_formats_are_valid_and_have_the_documented_metrics() {
    let given = Given::start();
    given.make_requests();
    let (plain, open) = (given.metrics("text/plain"), given.metrics(OPEN_METRICS));
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));

    let sandbox = Sandbox::new();
    let checked = promtool(&sandbox, &["check", "metrics"]).stdin(plain.text()).run();
    assert_eq!((checked.code(), checked.stdout(), checked.stderr()), (0, "", ""), "{}", plain.text());

    let parsed = python(&sandbox, PARSE).stdin(open.text()).run();
    assert_eq!(parsed.code(), 0, "{}\n{}", parsed.stderr(), open.text());
    // Samples alone, without what is a comment in the older format.
    let samples: String =
        plain.text().lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let of_plain: BTreeSet<String> = names_in(&samples);
    assert_eq!(names_in(parsed.stdout()), of_plain);
    assert_eq!(
        of_plain,
        documented(),
        "the gateway reports the left names, docs/reference/metrics.md has the right ones"
    );
}
