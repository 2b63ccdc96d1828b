//! `GET /admin`: how the gateway is, as `gateway status` shows it.

use http::StatusCode;
use maud::{Markup, html};

use super::{AUDIT, STATUS, page};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::status::{Problem, Section};

/// `GET /admin`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let report = context.pages.administration.status.collect().await;
    let content = html! {
        section.card.wide aria-labelledby="status" {
            div.head {
                div {
                    h1 #status { @if report.well { "The gateway is well" } @else { (verdict(report.problems.len())) } }
                    p.hint { "As of " (display::moment(report.at)) "." }
                }
                a.button.quiet #again href=(context.link(STATUS)) { "Look again" }
            }
            @for problem in &report.problems { (notice(problem)) }
            @for Section { title, facts } in report.sections() {
                h2 { (visible(&title)) }
                dl.facts.aligned { @for (label, value) in facts { dt { (label) } dd { (visible(&value)) } } }
            }
            div.below { a #events href=(context.link(AUDIT)) { "Event log" } }
        }
    };
    Ok(page(&context, &session, StatusCode::OK, "Status", STATUS, content))
}

fn verdict(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

fn notice(problem: &Problem) -> Markup {
    html! {
        div.warning data-code=(problem.code) {
            p { strong { (visible(&display::capitalized(&problem.message))) } }
            @if let Some(hint) = &problem.hint { p { (visible(&display::capitalized(hint))) } }
        }
    }
}

fn visible(text: &str) -> Markup {
    html! { bdi dir="ltr" { (display::visible_text(text)) } }
}
