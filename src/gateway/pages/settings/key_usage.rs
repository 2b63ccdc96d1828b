//! How a new key is used, in lines to copy: beside the key itself, which is shown once.
//!
//! The key is in the first of them only. The others take it from there, so that it does not end up in a command's arguments.

use maud::{Markup, html};

use crate::gateway::pages::page_context::PageContext;
use crate::keyspec::{ApiKey, Scope, Scopes};

/// The section below the key.
pub fn section(context: &PageContext, scopes: Scopes, key: &ApiKey) -> Markup {
    let url = context.public.to_string();
    let ollama = format!("export OLLAMA_HOST={}\nexport OLLAMA_API_KEY={}", quoted(&url), key.expose());
    let openai = format!(
        "export OPENAI_BASE_URL={}\nexport OPENAI_API_KEY=\"$OLLAMA_API_KEY\"",
        quoted(&context.public.join("/v1"))
    );
    let anthropic = format!("export ANTHROPIC_BASE_URL={}\nexport ANTHROPIC_API_KEY=\"$OLLAMA_API_KEY\"", quoted(&url));
    html! {
        section.usage aria-labelledby="usage" {
            div {
                h2 #usage { "Use it" }
                p.hint { "In a shell. The other lines use the variables of the first." }
            }
            (snippet("ollama", "Ollama’s libraries and ollama-auth", &ollama))
            @if scopes.contains(Scope::Inference) {
                (snippet("openai", "OpenAI’s libraries", &openai))
                (snippet("anthropic", "Anthropic’s libraries", &anthropic))
            }
            (snippet("curl", "curl", &curl(context, scopes)))
        }
    }
}

/// A request that a key with these scopes may make.
fn curl(context: &PageContext, scopes: Scopes) -> String {
    let header = "-H \"Authorization: Bearer $OLLAMA_API_KEY\"";
    match scopes.contains(Scope::ModelsRead) {
        true => format!("curl {header} {}", quoted(&context.public.join("/api/tags"))),
        false => format!("curl {header} -X POST {}", quoted(&context.public.join("/api/me"))),
    }
}

/// An address as one word of a shell.
fn quoted(url: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_~[]@%+,=".contains(c);
    if url.chars().all(is_plain) && !url.contains('[') {
        url.to_owned()
    } else {
        format!("'{}'", url.replace('\'', r"'\''"))
    }
}

fn snippet(id: &str, label: &str, lines: &str) -> Markup {
    html! {
        div.snippet {
            p.label id={ (id) "-label" } { (label) }
            pre { code id=(id) aria-labelledby={ (id) "-label" } translate="no" spellcheck="false" { (lines) } }
            (copy_button(id, label))
        }
    }
}

/// The button that copies the element with that id. Hidden until the script shows it.
fn copy_button(id: &str, label: &str) -> Markup {
    html! { button.quiet.small type="button" hidden data-copies=(id) aria-label={ "Copy the lines for " (label) } { "Copy" } }
}
