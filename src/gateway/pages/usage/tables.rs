//! The numbers in words: by time beside the plots, and by person, model and key.

use std::collections::HashMap;

use maud::{Markup, html};

use super::ADMIN_USAGE;
use crate::gateway::pages::display;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::store::{UsagePeriod, UsageTotals};
use crate::gateway::usage::{UsageBy, UsageReportRow};

/// Rows of a list at most.
const MOST: usize = 100;
/// The columns by time.
const NUMBERS: [&str; 8] = ["Requests", "Input", "Output", "Estimated", "Failed", "Cut off", "Cancelled", "Refused"];

/// The text alternative of the plots: only times in which something was used.
pub fn by_time(period: UsagePeriod, totals: &HashMap<i64, UsageTotals>, label: impl Fn(i64) -> String) -> Markup {
    let mut rows: Vec<_> = totals.iter().collect();
    rows.sort_by_key(|(period, _)| std::cmp::Reverse(**period));
    let time = if period == UsagePeriod::Hour { "Hour" } else { "Day" };
    html! {
        details.filters {
            summary { "The same as a table" }
            table.keys.numbers role="table" aria-label="Usage by time" {
                (head(&[&[time][..], &NUMBERS].concat()))
                tbody role="rowgroup" {
                    @for (period, totals) in rows {
                        @let UsageTotals { requests, input, output, estimated, failed, cut, cancelled, refused, .. } = *totals;
                        tr role="row" {
                            th scope="row" role="rowheader" { span.name { (label(*period)) } }
                            @for (title, number) in NUMBERS.iter().zip([requests, input, output, estimated, failed, cut, cancelled, refused]) {
                                td role="cell" data-label=(title) { span { (number) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The roles are explicit: browsers drop those of a table that is laid out as cards.
pub fn head(titles: &[&str]) -> Markup {
    html! {
        thead role="rowgroup" { tr role="row" { @for title in titles { th scope="col" role="columnheader" { (title) } } } }
    }
}

/// A list, the most used first.
pub fn list(context: &PageContext, title: &str, by: UsageBy, rows: &[UsageReportRow]) -> Markup {
    let most = rows.iter().map(|row| row.total_tokens).max().unwrap_or(0).max(1);
    let more = rows.len().saturating_sub(MOST);
    html! {
        @let id = title.replace(' ', "-").to_lowercase();
        h2 #(id) { (title) }
        table.keys.numbers role="table" aria-labelledby=(id) {
            (head(&["Name", "Tokens", "Input", "Output", "Requests", "Not complete", "Refused", "Busy"]))
            tbody role="rowgroup" {
                @for row in &rows[..rows.len().min(MOST)] {
                    tr role="row" {
                        th scope="row" role="rowheader" { (name(context, by, row)) }
                        td role="cell" data-label="Tokens" {
                            span { @if row.estimated_tokens > 0 { span title="Includes estimates" { "~" } } (row.total_tokens) }
                            meter.share min="0" max=(most) value=(row.total_tokens) aria-hidden="true" {}
                        }
                        td role="cell" data-label="Input" { span { (row.input_tokens) } }
                        td role="cell" data-label="Output" { span { (row.output_tokens) } }
                        td role="cell" data-label="Requests" { span { (row.requests) } }
                        td role="cell" data-label="Not complete" { span { (row.failed + row.cut_off + row.cancelled) } }
                        td role="cell" data-label="Refused" { span { (row.refused) } }
                        td role="cell" data-label="Busy" { span { (hours(row.busy_ms)) } }
                    }
                }
            }
        }
        @if more > 0 { p.hint { "And " (more) " more: see " code { "ollama-auth gateway usage" } "." } }
    }
}

fn name(context: &PageContext, by: UsageBy, row: &UsageReportRow) -> Markup {
    let text = |text: &str| html! { span.name { bdi dir="ltr" { (display::visible_text(text)) } } };
    match by {
        UsageBy::Person => match &row.person {
            Some(person) => {
                let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("user", person).finish();
                html! { a href=(context.link(&format!("{ADMIN_USAGE}?{query}"))) { (text(person)) } }
            }
            None => text(&format!("removed account {}", row.person_id.as_deref().unwrap_or_default())),
        },
        UsageBy::Model => match row.model.as_deref().unwrap_or_default() {
            "" => text("no model"),
            model => text(model),
        },
        _ => {
            let credential = row.credential.as_deref().unwrap_or_default();
            let hint = |text: &str| html! { span.hint { bdi dir="ltr" { (display::visible_text(text)) } } };
            html! {
                @match row.credential_name.as_deref().unwrap_or_default() {
                    "" => (text(credential)),
                    name => { (text(name)) (hint(credential)) },
                }
                @if let Some(person) = &row.person { (hint(person)) }
            }
        }
    }
}

/// `12 h 5 min`, `3 min`, `40 s`.
pub fn hours(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000);
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
