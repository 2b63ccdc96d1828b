//! `/usage`: what the person who is signed in used. `/admin/usage`: what all used, for administrators and people whose role has `audit`.

mod budgets;
mod plot;
mod tables;

use std::collections::HashMap;
use std::ops::Range;

use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use uuid::Uuid;

use super::administration;
use super::display;
use super::error_page::{ErrorPage, PageResult};
use super::layout;
use super::page_context::{BrowserSession, PageContext};
use crate::gateway::limits::{BudgetState, Subject};
use crate::gateway::local_day::day_of;
use crate::gateway::store::{UsageGroup, UsagePeriod, UsageQuery, UsageTotals};
use crate::gateway::usage::{UsageBy, UsageReportRow, groups, report, sums};
use plot::{Bar, Plot, short};

/// The page of a person.
pub const USAGE: &str = "/usage";
/// That of administrators.
pub const ADMIN_USAGE: &str = administration::USAGE;
/// In seconds.
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// How far back a page looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    /// The parameter.
    name: &'static str,
    /// The words for it.
    title: &'static str,
    period: UsagePeriod,
    /// So many hours or days, this one among them.
    count: i64,
}

/// The first is what a page shows without a choice.
const REACHES: [Reach; 4] = [
    Reach { name: "31d", title: "31 days", period: UsagePeriod::Day, count: 31 },
    Reach { name: "24h", title: "24 hours", period: UsagePeriod::Hour, count: 24 },
    Reach { name: "7d", title: "7 days", period: UsagePeriod::Day, count: 7 },
    Reach { name: "400d", title: "400 days", period: UsagePeriod::Day, count: 400 },
];

/// What a page shows.
struct Wanted {
    reach: Reach,
    periods: Range<i64>,
    /// Whose; all if it is `None`.
    account: Option<Uuid>,
    /// The name of the person, on the page of administrators.
    user: String,
}

impl Wanted {
    fn new(context: &PageContext, account: Option<Uuid>, user: String) -> Self {
        let asked = context.parameter("range");
        let reach = REACHES.into_iter().find(|reach| reach.name == asked).unwrap_or(REACHES[0]);
        let last = match reach.period {
            UsagePeriod::Hour => context.now.div_euclid(HOUR),
            UsagePeriod::Day => day_of(context.now, &context.pages.config.get().time_zone),
        };
        Self { reach, periods: last + 1 - reach.count..last + 1, account, user }
    }

    fn query(&self, group: UsageGroup) -> UsageQuery {
        let (period, periods, account) = (self.reach.period, self.periods.clone(), self.account);
        UsageQuery { period, periods, account, group, ..UsageQuery::default() }
    }

    /// A link to the same page with another time.
    fn link(&self, context: &PageContext, page: &str, reach: Reach) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("range", reach.name);
        if !self.user.is_empty() {
            query.append_pair("user", &self.user);
        }
        context.link(&format!("{page}?{}", query.finish()))
    }
}

/// What is shown.
struct Found {
    by_period: HashMap<i64, UsageTotals>,
    budgets: Vec<BudgetState>,
    lists: Vec<(&'static str, UsageBy, Vec<UsageReportRow>)>,
}

/// `GET /usage?range=31d`.
pub async fn own(context: PageContext) -> PageResult {
    let session = context.require_session()?;
    let wanted = Wanted::new(&context, Some(session.user().id), String::new());
    let lists = [("By model", UsageBy::Model), ("By key and device", UsageBy::Key)];
    let budgets = budgets::of_person(&context, session.user());
    let found = find(&context, &session, &wanted, &lists, budgets).await?;
    // It may have ended meanwhile.
    context.require_session()?;
    let content = content(&context, USAGE, "Your usage", &wanted, &found);
    Ok(layout::page(&context, StatusCode::OK, "Your usage", Some(&session), content))
}

/// `GET /admin/usage?range=31d&user=NAME`.
pub async fn all(context: PageContext) -> PageResult {
    let session = context.require_auditor()?;
    let name = context.parameter("user");
    let user = context.pages.directory.user_by_name(&name);
    if !name.is_empty() && user.is_none() {
        return Err(context.page_not_found());
    }
    let wanted = Wanted::new(&context, user.as_ref().map(|user| user.id), name);
    let lists = [("By person", UsageBy::Person), ("By model", UsageBy::Model), ("By key and device", UsageBy::Key)];
    let lists = if wanted.account.is_some() { &lists[1..] } else { &lists[..] };
    let budgets = user.map_or_else(|| budgets::of_all(&context), |user| budgets::of_person(&context, &user));
    let found = find(&context, &session, &wanted, lists, budgets).await?;
    // The roles may have changed meanwhile.
    context.require_auditor()?;
    Ok(shown_to_auditor(&context, &session, &wanted, &found))
}

fn shown_to_auditor(context: &PageContext, session: &BrowserSession, wanted: &Wanted, found: &Found) -> Response {
    let title = if wanted.user.is_empty() { "Usage".to_owned() } else { format!("Usage of {}", wanted.user) };
    let content = content(context, ADMIN_USAGE, &title, wanted, found);
    administration::page(context, session, StatusCode::OK, "Usage", ADMIN_USAGE, content)
}

async fn find(
    context: &PageContext,
    session: &BrowserSession,
    wanted: &Wanted,
    lists: &[(&'static str, UsageBy)],
    budgets: Vec<BudgetState>,
) -> Result<Found, ErrorPage> {
    context.pages.accounts.count_usage_question(session.user().id).map_err(|rejection| context.rejected(&rejection))?;
    let directory = &context.pages.directory;
    let failed = |error: crate::gateway::StoreError| context.internal_error(&error.to_string());
    let by_period = UsageGroup { period: true, ..UsageGroup::default() };
    let rows = directory.usage_totals(wanted.query(by_period)).await.map_err(failed)?;
    let by_period = rows.into_iter().filter_map(|row| Some((row.period?, row.totals))).collect();
    // One query for all lists.
    let by: Vec<UsageBy> = lists.iter().map(|(_, by)| *by).collect();
    let rows = report(directory, wanted.query(groups(&by))).await.map_err(failed)?;
    let lists = lists.iter().map(|(title, by)| (*title, *by, sums(&rows, *by))).collect();
    Ok(Found { by_period, budgets, lists })
}

fn content(context: &PageContext, page: &str, title: &str, wanted: &Wanted, found: &Found) -> Markup {
    let mut all = UsageTotals::default();
    found.by_period.values().for_each(|totals| all += *totals);
    let bars = |parts: fn(&UsageTotals) -> [u64; 2]| -> Vec<Bar> {
        let totals = |period| found.by_period.get(&period).copied().unwrap_or_default();
        let bar = |period| Bar {
            label: label(wanted.reach.period, period),
            short: short_label(&wanted.reach, period),
            parts: parts(&totals(period)),
        };
        wanted.periods.clone().map(bar).collect()
    };
    let of = if wanted.account.is_some() { Subject::Person } else { Subject::Gateway };
    let budget = budgets::line(&found.budgets, of, wanted.reach.period);
    let tokens = bars(|totals| [totals.input, totals.output]);
    let requests =
        bars(|totals| [totals.requests.saturating_sub(lost(totals)), lost(totals).saturating_add(totals.refused)]);
    let zone = context.pages.config.get().time_zone.iana_name().unwrap_or("UTC").to_owned();
    let is_empty = all == UsageTotals::default();
    html! {
        section.card.wide aria-labelledby="usage" {
            div.head {
                div {
                    h1 #usage { bdi dir="ltr" { (display::visible_text(title)) } }
                    p.hint {
                        @match wanted.reach.period {
                            UsagePeriod::Hour => "By the hour, in UTC.",
                            UsagePeriod::Day => { "By the day, in the time zone " (zone) "." },
                        }
                    }
                }
                nav.tabs.times aria-label="Time" {
                    @for reach in [REACHES[1], REACHES[2], REACHES[0], REACHES[3]] {
                        a href=(wanted.link(context, page, reach)) aria-current=[(reach == wanted.reach).then_some("true")] { (reach.title) }
                    }
                }
            }
            (budgets::table(context, &found.budgets))
            @if is_empty {
                div.empty { p { strong { "Nothing was used in this time." } } }
            } @else {
                (figures(&all))
                (Plot { id: "tokens", title: "Tokens", parts: ["input", "output"], bars: &tokens, limit: budget }.markup())
                (Plot { id: "requests", title: "Requests", parts: ["complete", "failed, cut off, cancelled or refused"], bars: &requests, limit: None }.markup())
                (tables::by_time(wanted.reach.period, &found.by_period, |period| label(wanted.reach.period, period)))
                @for (title, by, rows) in &found.lists { (tables::list(context, title, *by, rows)) }
            }
        }
    }
}

/// Requests that did not come to their end.
fn lost(totals: &UsageTotals) -> u64 {
    totals.failed.saturating_add(totals.cut).saturating_add(totals.cancelled)
}

fn figures(all: &UsageTotals) -> Markup {
    let tokens = all.input.saturating_add(all.output);
    html! {
        dl.figures {
            div { dt { "Requests" } dd { (short(all.requests)) } }
            div { dt { "Tokens" } dd { (short(tokens)) } }
            div { dt { "Input" } dd { (short(all.input)) } }
            div { dt { "Output" } dd { (short(all.output)) } }
            div { dt { "Busy" } dd { (tables::hours(all.busy_ms)) } }
            div { dt { "Not complete" } dd { (short(lost(all))) } }
            div { dt { "Refused" } dd { (short(all.refused)) } }
        }
        @if all.estimated > 0 {
            p.hint { "About " (short(all.estimated)) " of these tokens are estimates: the upstream server did not report them." }
        }
    }
}

/// `14:00` or `2026-11-30`.
fn label(period: UsagePeriod, number: i64) -> String {
    time(period, number).strftime(if period == UsagePeriod::Hour { "%H:00" } else { "%Y-%m-%d" }).to_string()
}

/// `14:00`, `30 Nov` or `Nov 26`.
fn short_label(reach: &Reach, number: i64) -> String {
    let form = match reach.period {
        UsagePeriod::Hour => "%H:00",
        UsagePeriod::Day if reach.count <= 31 => "%-d %b",
        UsagePeriod::Day => "%b %Y",
    };
    time(reach.period, number).strftime(form).to_string()
}

fn time(period: UsagePeriod, number: i64) -> DateTime {
    let seconds = number.saturating_mul(if period == UsagePeriod::Hour { HOUR } else { DAY });
    TimeZone::UTC.to_datetime(Timestamp::from_second(seconds).unwrap_or_default())
}
