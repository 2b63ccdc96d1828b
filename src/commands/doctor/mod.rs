//! `doctor`: looks at an installation, says what is wrong with it and how to mend it. It changes nothing. What is looked at is
//! gathered once, with a time limit each (`view/`); the checks (`checks/`, one concern a file) only read that. The JSON is
//! documented in docs/doctor.md.

mod checks;
mod finding;
mod report;
mod view;

use crate::app::App;
use crate::cli::DoctorArgs;
use crate::exit::Exit;
use finding::{Finding, Level};
use view::View;

/// Runs it. An error that was found is exit 8.
pub async fn run(app: &App, args: DoctorArgs) -> anyhow::Result<Exit> {
    let view = View::gather(app, args.offline).await?;
    let mut findings: Vec<Finding> = checks::ALL.iter().flat_map(|check| check(&view)).collect();
    // Stable: within a group, what comes first in the list of checks comes first.
    findings.sort_by_key(|finding| finding.group);
    report::print(app, args.offline, &findings)?;
    Ok(if findings.iter().any(|finding| finding.level == Level::Error) { Exit::Found } else { Exit::Done })
}
