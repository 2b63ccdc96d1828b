//! `GET /admin/roles`: what each role allows, and how many people have it.

use http::StatusCode;
use maud::{Markup, html};

use super::{ROLES, page};
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::PageContext;
use crate::gateway::pages::settings::models_line;
use crate::gateway::roles::{RoleRules, SCOPES_WITH_MODELS};
use crate::gateway::store::Role;

/// `GET /admin/roles`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let (roles, users) = (context.pages.directory.roles(), context.pages.directory.users());
    let people = |role: &Role| users.iter().filter(|user| user.role == *role).count();
    let mut undefined: Vec<&Role> =
        users.iter().map(|user| &user.role).filter(|role| !roles.is_defined(role)).collect();
    undefined.sort();
    undefined.dedup();
    let content = html! {
        section.card.wide {
            div {
                h1 { "Roles" }
                p.hint { "What people may do at most. Roles are defined in " code { "gateway.toml" } "." }
            }
            @for role in undefined {
                p.alert { (count(people(role))) " the role " strong { (role) } ", which is not defined: they are refused." }
            }
            ul.roles { @for (role, rules) in roles.all() { (role_card(role, rules, people(role))) } }
        }
    };
    Ok(page(&context, &session, StatusCode::OK, "Roles", ROLES, content))
}

fn role_card(role: &Role, rules: &RoleRules, people: usize) -> Markup {
    let limited: Vec<_> = SCOPES_WITH_MODELS
        .into_iter()
        .filter(|scope| rules.scopes.contains(*scope) && !rules.models(*scope).is_all())
        .collect();
    html! {
        li {
            div.head { h2 { (role) } span.hint { (count(people)) " it" } }
            dl.facts {
                dt { "Rights" } dd { span.tags { @for scope in rules.scopes.iter() { code { (scope) } } } }
                dt { "Models" } dd {
                    @if limited.is_empty() { "all" }
                    @for scope in &limited { p { code { (scope) } " only " (models_line(rules.models(*scope))) } }
                }
                @if rules.audit { dt { "Event log" } dd { "is read" } }
                dt { "Limits" } dd { @if rules.limits.is_none() { "none" } @else { "at most " (rules.limits.in_words()) } }
                dt { "API keys" } dd {
                    @match rules.max_key_lifetime {
                        Some(seconds) => { "for at most " (seconds / 86_400) " days" }
                        None => { "of any lifetime" }
                    }
                    @if let Some(seconds) = rules.max_key_idle { ", suspended after " (seconds / 86_400) " days without use" }
                }
            }
        }
    }
}

/// "1 person has", "3 people have".
fn count(people: usize) -> String {
    if people == 1 { "1 person has".to_owned() } else { format!("{people} people have") }
}
