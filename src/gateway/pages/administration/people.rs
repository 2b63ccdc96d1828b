//! `GET /admin/people`: everyone with an account, fifty at a time, by name.

use http::StatusCode;
use maud::{Markup, html};

use super::{NEW_INVITATION, PEOPLE, page, path, person_path};
use crate::gateway::admin::{AdminContext, UserRow};
use crate::gateway::pages::display;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::PageContext;
use crate::relative_time;

/// People on one page.
const PEOPLE_PER_PAGE: usize = 50;

/// `GET /admin/people?search=…&after=NAME`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let (search, after) = (context.parameter("search"), context.parameter("after"));
    let text = search.trim().to_lowercase();
    let mut found = context.pages.directory.users();
    found.retain(|user| user.name.contains(&text) || user.email.to_lowercase().contains(&text));
    let count = found.len();
    found.retain(|user| user.name > after);
    let next = found.get(PEOPLE_PER_PAGE - 1).filter(|_| found.len() > PEOPLE_PER_PAGE).map(|user| user.name.clone());
    found.truncate(PEOPLE_PER_PAGE);
    let administration = AdminContext::of(&context.pages.administration, context.now);
    let rows: Vec<UserRow> = found.iter().map(|user| administration.row(user)).collect();
    let search = display::visible_text(&search);
    let more = next.map(|next| path(PEOPLE, &[("search", &text), ("after", &next)]));
    let content = html! {
        section.card.wide aria-labelledby="people" {
            div.head {
                div {
                    h1 #people { "People" }
                    p.hint { @if count == 1 { "1 account" } @else { (count) " accounts" } @if !text.is_empty() { " found" } }
                }
                a.button.primary #invite href=(context.link(NEW_INVITATION)) { "Invite a person" }
            }
            form.inline #search-form method="get" action=(context.link(PEOPLE)) role="search" {
                div.field {
                    label for="search" { "Name or e-mail" }
                    input id="search" name="search" type="search" value=(search) maxlength="100" autocomplete="off"
                        autocapitalize="none" spellcheck="false";
                }
                button.quiet type="submit" { "Search" }
            }
            @if rows.is_empty() {
                div.empty { p { strong { "Nobody is found." } } }
            } @else {
                (table(&context, &rows))
            }
            @if !after.is_empty() || more.is_some() {
                div.below {
                    @if !after.is_empty() { a href=(context.link(&path(PEOPLE, &[("search", &text)]))) { "First page" } }
                    @if let Some(more) = &more { a #more rel="next" href=(context.link(more)) { "More people" } }
                }
            }
        }
    };
    Ok(page(&context, &session, StatusCode::OK, "People", PEOPLE, content))
}

/// The roles are explicit: browsers drop those of a table that is laid out as cards.
fn table(context: &PageContext, rows: &[UserRow]) -> Markup {
    html! {
        table.keys.people role="table" aria-labelledby="people" {
            thead role="rowgroup" {
                tr role="row" {
                    @for title in ["Person", "Role", "Has", "Last used", "State"] {
                        th scope="col" role="columnheader" { (title) }
                    }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" .over[row.disabled] {
                        th scope="row" role="rowheader" {
                            a.person href=(context.link(&person_path(&row.name))) { bdi dir="ltr" { (row.name) } }
                            @if !row.email.is_empty() { span.hint { bdi dir="ltr" { (display::visible_text(&row.email)) } } }
                        }
                        td role="cell" data-label="Role" { span { (row.role) } }
                        td role="cell" data-label="Has" { span { (has(row)) } }
                        td role="cell" data-label="Used" {
                            span { @match row.last_used_at { Some(at) => (relative_time::ago(at, context.now)), None => "never" } }
                        }
                        td role="cell" data-label="State" { (badge(row)) }
                    }
                }
            }
        }
    }
}

/// "2 devices, 1 key".
fn has(row: &UserRow) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!("{}, {}", count(row.devices, "device"), count(row.keys, "key"))
}

/// The state of an account as a coloured word.
pub fn badge(row: &UserRow) -> Markup {
    let (class, word) = match row {
        UserRow { disabled: true, .. } => ("state", "Disabled"),
        row if row.suspended.suspended_at.is_some() => ("state warn", "Suspended"),
        _ => ("state good", "Active"),
    };
    html! { span class=(class) { (word) } }
}
