//! What the hosts think of the credentials: each is shown to its own host only, as a command would.

use super::super::finding::{Finding, Group, Level};
use super::super::view::hosts::{Carried, HostState, Verdict};
use super::super::view::{View, word};
use crate::exit::{api_hint, clock_hint};

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let verdicts =
        view.hosts.iter().flat_map(|host| host.verdicts.iter().map(move |(carried, verdict)| (host, carried, verdict)));
    verdicts.map(|(host, carried, verdict)| one(host, carried, verdict)).collect()
}

fn one(host: &HostState, carried: &Carried, verdict: &Verdict) -> Finding {
    let url = &host.url;
    let (what, again) = match carried {
        Carried::File(path) => {
            (format!("the key in the credentials file {path}"), format!("put a key that is valid into {path}"))
        }
        Carried::Variable => ("OLLAMA_API_KEY".to_owned(), "set OLLAMA_API_KEY to a key that is valid".to_owned()),
        Carried::ApiKey(name) => (
            format!("the API key of the profile {name:?}"),
            format!("ollama-auth signin --with-api-key --host {url} --profile {}", word(name)),
        ),
        Carried::DeviceKey(name) => (
            format!("the device key of the profile {name:?}"),
            format!("ollama-auth signin --host {url} --profile {}", word(name)),
        ),
    };
    let finding = |level, check, text: String| Finding::new(level, Group::Hosts, check, text);
    match verdict {
        Verdict::Accepted(account) => {
            let who = account.as_ref().map_or(String::new(), |account| format!(" (you are {})", account.label()));
            finding(Level::Ok, "credential", format!("{url} accepts {what}{who}"))
        }
        Verdict::Refused(_, Some(ahead)) => {
            finding(Level::Error, "credential-refused", format!("{url} refuses {what}"))
                .why(clock_hint(&url.to_string(), *ahead))
        }
        Verdict::Refused(reason, None) => {
            finding(Level::Error, "credential-refused", format!("{url} refuses {what}: {reason}"))
                .why("every command that uses it ends with exit code 4")
                .remedy(again)
        }
        Verdict::MeansNothing => {
            let name = match carried {
                Carried::File(_) | Carried::Variable => None,
                Carried::ApiKey(name) | Carried::DeviceKey(name) => Some(name),
            };
            finding(
                Level::Warning,
                "credential-ignored",
                format!("{url} asks nobody for a credential, so {what} means nothing there"),
            )
            .why("it keeps no accounts, or does so no more: anybody who reaches it can use it")
            .remedies(name.map(|name| format!("ollama-auth profile remove {}", word(name))))
        }
        Verdict::Unknown(error) => {
            let text = format!("whether {url} accepts {what} cannot be told: {error}");
            finding(Level::Warning, "credential-unknown", text).remedies(api_hint(error))
        }
    }
}
