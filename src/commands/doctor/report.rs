//! What a check found (how bad, what, why it matters, how to fix it), and how findings are shown: a list under headings, or JSON.

use serde::Serialize;

use crate::app::App;
use crate::ui::{Check, Checklist};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Fine.
    Ok,
    /// Good to know.
    Note,
    /// Something may fail, or is less safe than it could be.
    Warning,
    /// Something does not work, or a secret is exposed.
    Error,
}

/// What it is about, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Key files of stock Ollama.
    KeyFiles,
    /// The Ollama server on this machine.
    LocalServer,
    /// Our folders and stores.
    Stores,
    /// The profiles and their records.
    Profiles,
    /// Variables that decide which credential is used.
    Environment,
    /// Proxies and certificate authorities.
    Network,
    /// Hosts, their clocks, and what they think of the credentials.
    Hosts,
}

impl Group {
    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::KeyFiles => "Key files of Ollama",
            Self::LocalServer => "The Ollama server on this machine",
            Self::Stores => "Where secrets are stored",
            Self::Profiles => "Profiles",
            Self::Environment => "Environment",
            Self::Network => "Proxies and certificates",
            Self::Hosts => "Hosts and credentials",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A name for scripts, such as `key-file-exposed`.
    pub check: &'static str,
    /// What it is about.
    pub group: Group,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: Option<String>,
    /// What to do: commands that can be pasted, or a sentence.
    pub remedies: Vec<String>,
}

impl Finding {
    /// A finding without a reason and without a remedy.
    pub fn new(level: Level, group: Group, check: &'static str, what: impl Into<String>) -> Self {
        Self { check, group, level, what: what.into(), why: None, remedies: Vec::new() }
    }

    /// Says why it matters.
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Adds what to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }

    /// The same, where there is something to do.
    pub fn remedies(mut self, remedies: impl IntoIterator<Item = String>) -> Self {
        self.remedies.extend(remedies);
        self
    }
}

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
            (0, 0) => "No problems found.".to_owned(),
            (0, warnings) => format!("No errors; {}.", plural(warnings, "warning")),
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
        list.item(list_mark(finding.level), &finding.what, finding.why.as_deref(), &finding.remedies);
    }
    app.printer.checklist(&list)?;
    app.printer.note("");
    app.printer.note(&counts.in_words());
    Ok(())
}

fn list_mark(level: Level) -> Check {
    match level {
        Level::Ok => Check::Fine,
        Level::Note => Check::Note,
        Level::Warning => Check::Warning,
        Level::Error => Check::Error,
    }
}
