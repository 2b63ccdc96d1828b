//! `gateway status`: whether the gateways of this machine are well, and what to do where one is not. Its JSON is documented in
//! docs/reference/json.md.

use serde::Serialize;

use super::running::{self, RunningReplies};
use super::{admin, database};
use crate::app::App;
use crate::cli::GatewayStatusArgs;
use crate::exit::Exit;
use crate::gateway::{AdminReply, AdminRequest, StatusProblem, StatusReport, StatusSection};
use crate::ui::{Check, Checklist};

/// The JSON form.
#[derive(Debug, Serialize)]
struct Answer {
    /// Whether there are no problems at all.
    well: bool,
    /// Those that are not one gateway's.
    problems: Vec<StatusProblem>,
    /// Those that replied.
    gateways: Vec<StatusReport>,
}

/// Shows it. A problem is exit 8.
///
/// # Errors
/// No gateway runs here.
pub async fn run(app: &App, args: &GatewayStatusArgs) -> anyhow::Result<Exit> {
    let location = database::configured(app, &args.database)?;
    let RunningReplies { replies, silent } = running::ask_all(app, &location, &AdminRequest::Status).await?;
    let mut gateways = Vec::new();
    let mut problems: Vec<StatusProblem> = silent.into_iter().map(|reason| problem("gateway-silent", reason)).collect();
    for (gateway, reply) in replies {
        match (reply, gateway) {
            (Ok(AdminReply::Status(report)), _) => gateways.push(*report),
            (Ok(_), _) => return Err(admin::unexpected_reply().into()),
            // One of an earlier version, beside others.
            (Err(error), Some(gateway)) => problems.push(problem("gateway-silent", format!("{gateway}: {error}"))),
            (Err(error), None) => return Err(error.into()),
        }
    }
    if gateways.is_empty() && problems.is_empty() {
        return Err(running::not_serving().into());
    }
    problems.extend(different_versions(&gateways));
    let well = problems.is_empty() && gateways.iter().all(|report| report.well);
    let answer = Answer { well, problems, gateways };
    match app.printer.is_json() {
        true => app.printer.json(&answer)?,
        false => app.printer.checklist(&list(&answer))?,
    }
    Ok(if well { Exit::Done } else { Exit::Found })
}

fn problem(code: &str, message: String) -> StatusProblem {
    StatusProblem { code: code.to_owned(), message, hint: None }
}

fn different_versions(gateways: &[StatusReport]) -> Option<StatusProblem> {
    let mut versions: Vec<&str> = gateways.iter().map(|report| report.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    (versions.len() > 1).then(|| StatusProblem {
        code: "different-versions".to_owned(),
        message: format!("the gateways have different versions: {}", versions.join(", ")),
        hint: Some("complete the update: restart those of the earlier version".to_owned()),
    })
}

fn list(answer: &Answer) -> Checklist {
    let mut list = Checklist::default();
    let gateways = if answer.gateways.len() > 1 { "The gateways are well" } else { "The gateway is well" };
    let all = answer.problems.iter().chain(answer.gateways.iter().flat_map(|report| &report.problems)).count();
    let verdict = match all {
        0 => gateways.to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    list.heading(&verdict);
    if all == 0 {
        list.item(Check::Fine, "No problems found", None, &[]);
    }
    for problem in &answer.problems {
        list.item(Check::Error, &problem.message, problem.hint.as_deref(), &[]);
    }
    for report in &answer.gateways {
        let of = match answer.gateways.len() {
            1 => String::new(),
            _ => format!("{}: ", report.replica.as_deref().unwrap_or(&report.listen)),
        };
        for problem in &report.problems {
            list.item(Check::Error, &format!("{of}{}", problem.message), problem.hint.as_deref(), &[]);
        }
    }
    for report in &answer.gateways {
        for StatusSection { title, facts } in report.sections() {
            list.heading(&title);
            list.facts(facts.iter().map(|(label, value)| (label.as_str(), value.clone())));
        }
    }
    list
}
