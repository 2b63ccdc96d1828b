//! An audit for people and for scripts.

use serde_json::json;

use super::super::findings::FindingKind;
use super::{Audit, Finding};
use crate::app::App;
use crate::exit::Exit;
use crate::ui::sanitize::{clean, clean_text};

/// As JSON.
pub(super) fn json(app: &App, audit: &Audit) -> anyhow::Result<()> {
    let failing = audit.findings.iter().filter(|finding| audit.fails(finding)).count();
    app.printer.json(&json!({
        "profiles": audit.checked,
        "findings": audit.findings,
        "fail_on": audit.fail_on,
        "failing": failing,
        "exit_code": audit.exit() as u8,
    }))?;
    Ok(())
}

/// By kind, the worst first, each with what to do about it.
pub(super) fn text(app: &App, audit: &Audit) -> anyhow::Result<()> {
    for kind in FindingKind::ALL {
        let found: Vec<&Finding> = audit.findings.iter().filter(|finding| finding.kind == kind).collect();
        if !found.is_empty() {
            app.printer.data(&group(kind, &found))?;
        }
    }
    let keys: usize = audit.checked.iter().filter_map(|checked| checked.keys).sum();
    let looked = format!("{} and {}", count(audit.checked.len(), "profile"), count(keys, "key"));
    let failing = audit.findings.iter().filter(|finding| audit.fails(finding)).count();
    match (audit.findings.len(), failing) {
        (0, _) => app.printer.success(&format!("Nothing was found: {looked}")),
        (all, 0) if audit.exit() != Exit::Done => {
            app.printer.warn(&format!("{looked}; {}; not everything could be looked at", count(all, "finding")));
        }
        (all, 0) => app.printer.note(&format!("{looked}; {}, none that fails the audit.", count(all, "finding"))),
        (all, some) => {
            app.printer.warn(&format!("{looked}; {}, {some} of which fail the audit", count(all, "finding")));
        }
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Its messages and remedies hold the words of hosts.
fn group(kind: FindingKind, found: &[&Finding]) -> String {
    let mut text = format!("{} ({}): {}\n", kind.name(), found.len(), kind.meaning());
    for finding in found {
        text += &format!("  - {}\n", clean(&finding.message));
        for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
            text += &format!("      {}\n", clean_text(line));
        }
    }
    text
}
