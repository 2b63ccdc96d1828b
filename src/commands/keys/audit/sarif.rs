//! An audit as SARIF 2.1.0 (OASIS), which code scanning services read. A key lies at its host, so that is its location; a file
//! has its own. Fingerprints stay the same from run to run, as long as the finding is the same.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Audit, Finding};
use crate::commands::keys::findings::{FindingKind, Severity};
use crate::exit::Exit;

/// Where the format is described.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole log.
pub(super) fn log(audit: &Audit) -> Value {
    let unchecked = audit.findings.iter().filter(|finding| finding.kind == FindingKind::Unchecked);
    let notifications: Vec<Value> =
        unchecked.map(|finding| json!({ "level": "error", "message": { "text": finding.message } })).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": env!("CARGO_PKG_NAME"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": FindingKind::ALL.map(rule),
            } },
            "invocations": [{
                "executionSuccessful": notifications.is_empty(),
                "exitCode": audit.exit() as u8,
                "toolExecutionNotifications": notifications,
            }],
            "columnKind": "unicodeCodePoints",
            "results": audit.findings.iter().map(|finding| result(audit, finding)).collect::<Vec<_>>(),
        }],
    })
}

fn rule(kind: FindingKind) -> Value {
    json!({
        "id": kind.name(),
        "shortDescription": { "text": kind.meaning() },
        "defaultConfiguration": { "level": level(kind.level()) },
    })
}

fn level(level: Severity) -> &'static str {
    match level {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn result(audit: &Audit, finding: &Finding) -> Value {
    let text = match &finding.remedy {
        Some(remedy) => format!("{}. What to do:\n{remedy}", finding.message),
        None => finding.message.clone(),
    };
    json!({
        "ruleId": finding.kind.name(),
        "ruleIndex": FindingKind::ALL.iter().position(|kind| *kind == finding.kind),
        "level": level(finding.level),
        "message": { "text": text },
        "locations": [location(finding)],
        "partialFingerprints": { "finding/v1": fingerprint(finding) },
        "properties": {
            "profile": finding.profile,
            "environment": finding.environment,
            "failsAudit": audit.fails(finding),
            "exitCode": (finding.exit != Exit::Done).then_some(finding.exit as u8),
        },
    })
}

fn location(finding: &Finding) -> Value {
    let file = finding.file.as_ref().and_then(|path| url::Url::from_file_path(path).ok());
    let uri = file.map(String::from).or_else(|| finding.host.clone()).unwrap_or_else(|| "about:blank".to_owned());
    let mut location = json!({ "physicalLocation": { "artifactLocation": { "uri": uri } } });
    if let Some(id) = &finding.id {
        let name = finding.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(id);
        let whole = format!("{}/{id}", finding.host.as_deref().unwrap_or_default());
        location["logicalLocations"] = json!([{ "name": name, "fullyQualifiedName": whole, "kind": "resource" }]);
    }
    location
}

fn fingerprint(finding: &Finding) -> String {
    let file = finding.file.as_ref().map(|path| path.display().to_string());
    let parts = [Some(finding.kind.name()), finding.host.as_deref(), finding.id.as_deref(), file.as_deref()];
    let profile = finding.profile.as_deref().filter(|_| finding.id.is_none() || finding.kind == FindingKind::Duplicate);
    let mut hash = Sha256::new();
    for part in parts.into_iter().chain([profile]) {
        hash.update(part.unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
