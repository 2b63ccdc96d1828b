//! `GET /admin/policy`: everything that the configuration defines about what callers may do.

use http::StatusCode;
use maud::html;

use super::{POLICY, page};
use crate::gateway::definitions::Definitions;
use crate::gateway::pages::error_page::PageResult;
use crate::gateway::pages::page_context::PageContext;

/// `GET /admin/policy`.
pub async fn show(context: PageContext) -> PageResult {
    let session = context.require_administrator()?;
    let definitions = Definitions::new(&context.pages.config.get());
    let content = html! {
        section.card.wide {
            div {
                h1 { "Policy" }
                p.hint {
                    "What is in effect, with the built-in roles and every default: limits, roles, groups, environments and caps. To change it, edit "
                    code { "gateway.toml" } " and send the gateway SIGHUP; " code { "ollama-auth gateway policy check" }
                    " says beforehand who would lose rights."
                }
            }
            pre { code { (definitions) } }
        }
    };
    Ok(page(&context, &session, StatusCode::OK, "Policy", POLICY, content))
}
