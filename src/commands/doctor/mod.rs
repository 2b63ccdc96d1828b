//! `doctor`: examines an installation, says what is wrong with it and how to fix it. It changes nothing. [`snapshot`] gathers
//! everything once, with time limits; the checks only read it. The JSON is documented in docs/reference/doctor.md.

mod environment;
mod files;
mod hosts;
mod key_files;
mod local_server;
mod profiles;
mod report;
mod snapshot;
mod stores;

use crate::app::App;
use crate::cli::DoctorArgs;
use crate::exit::Exit;
use report::{Finding, Level};
use snapshot::Snapshot;

/// A check: its findings, good ones included.
type Check = fn(&Snapshot<'_>) -> Vec<Finding>;

/// All checks, in the order in which their findings are shown within a group.
const CHECKS: &[Check] = &[
    key_files::check_key_files,
    local_server::check_local_server,
    files::check_permissions,
    stores::check_stores,
    stores::check_secrets,
    profiles::check_leftovers,
    profiles::check_rotations,
    profiles::check_profiles,
    environment::check_variables,
    environment::check_proxies,
    environment::check_authorities,
    hosts::check_reachability,
    hosts::check_clocks,
    hosts::check_credentials,
];

/// Runs it. An error that was found is exit 8.
pub async fn run(app: &App, args: DoctorArgs) -> anyhow::Result<Exit> {
    let snapshot = Snapshot::gather(app, args.offline).await?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&snapshot)).collect();
    // Stable: within a group, the order of the checks stays.
    findings.sort_by_key(|finding| finding.group);
    report::print(app, args.offline, &findings)?;
    Ok(if findings.iter().any(|finding| finding.level == Level::Error) { Exit::Found } else { Exit::Done })
}
