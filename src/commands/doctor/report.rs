//! How findings are shown: a list under headings, or JSON.

use serde::Serialize;

use super::finding::{Finding, Level};
use crate::app::App;
use crate::ui::{Check, Checklist};

/// The JSON form. Members are added, never renamed or removed, while `version` stays.
#[derive(Debug, Serialize)]
struct Report<'a> {
    version: u32,
    offline: bool,
    /// How many findings there are of each level.
    counts: Counts,
    findings: &'a [Finding],
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Counts {
    ok: usize,
    note: usize,
    warning: usize,
    error: usize,
}

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let mut counts = Self::default();
        for finding in findings {
            *match finding.level {
                Level::Ok => &mut counts.ok,
                Level::Note => &mut counts.note,
                Level::Warning => &mut counts.warning,
                Level::Error => &mut counts.error,
            } += 1;
        }
        counts
    }

    fn in_words(self) -> String {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        match (self.error, self.warning) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            (0, warnings) => format!("Nothing is broken; {}.", plural(warnings, "warning")),
            (errors, 0) => format!("{}.", plural(errors, "error")),
            (errors, warnings) => format!("{}, {}.", plural(errors, "error"), plural(warnings, "warning")),
        }
    }
}

/// Prints them: on standard output, since they are what was asked for. Quiet leaves out what is fine.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(app: &App, offline: bool, findings: &[Finding]) -> anyhow::Result<()> {
    let counts = Counts::of(findings);
    if app.printer.is_json() {
        app.printer.json(&Report { version: 1, offline, counts, findings })?;
        return Ok(());
    }
    let bad = |finding: &&Finding| matches!(finding.level, Level::Warning | Level::Error);
    let mut list = Checklist::default();
    let mut group = None;
    for finding in findings.iter().filter(|finding| !app.printer.is_quiet() || bad(finding)) {
        if group != Some(finding.group) {
            list.heading(finding.group.title());
            group = Some(finding.group);
        }
        list.item(check(finding.level), &finding.what, finding.why.as_deref(), &finding.remedies);
    }
    app.printer.checklist(&list)?;
    app.printer.note("");
    app.printer.note(&counts.in_words());
    Ok(())
}

fn check(level: Level) -> Check {
    match level {
        Level::Ok => Check::Fine,
        Level::Note => Check::Note,
        Level::Warning => Check::Warning,
        Level::Error => Check::Error,
    }
}
