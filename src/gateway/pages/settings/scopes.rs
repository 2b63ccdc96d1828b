//! The scopes in words, as the form shows them.

use maud::{Markup, html};

use crate::gateway::pages::form::Form;
use crate::keyspec::{Scope, Scopes};

/// What a key gets unless something else is ticked, as at the API.
pub fn usual() -> Scopes {
    [Scope::Inference, Scope::ModelsRead].into_iter().collect()
}

/// The name of a scope's box.
fn field(scope: Scope) -> &'static str {
    match scope {
        Scope::Inference => "scope-inference",
        Scope::ModelsRead => "scope-models-read",
        Scope::ModelsWrite => "scope-models-write",
        Scope::UsageRead => "scope-usage-read",
        Scope::Keys => "scope-keys",
        Scope::Admin => "scope-admin",
    }
}

/// What it allows, in one line.
fn meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::Inference => "Run models: chat, generate, embed, transcribe.",
        Scope::ModelsRead => "List and describe models.",
        Scope::ModelsWrite => "Pull, create, copy, push and delete models.",
        Scope::UsageRead => "Read what was used.",
        Scope::Keys => "Make, list and revoke keys and devices of your account. Such a key can make others.",
        Scope::Admin => "Manage the accounts of others, and revoke their keys.",
    }
}

/// The boxes that are ticked.
pub fn read(form: &Form) -> Scopes {
    Scope::ALL.into_iter().filter(|scope| !form.get(field(*scope)).is_empty()).collect()
}

/// The boxes that there are for somebody who may give `own`.
pub fn boxes(own: Scopes, ticked: Scopes, trouble: bool) -> Markup {
    html! {
        fieldset .wrong[trouble] aria-describedby=[trouble.then_some("trouble")] {
            legend { "What it may do" }
            div.choices {
                @for scope in own.iter() {
                    @let name = field(scope);
                    label.choice for=(name) {
                        input type="checkbox" id=(name) name=(name) value="on" checked[ticked.contains(scope)]
                            aria-describedby={ (name) "-hint" };
                        span { code { (scope) } }
                        span.hint id={ (name) "-hint" } { (meaning(scope)) }
                    }
                }
            }
        }
    }
}
