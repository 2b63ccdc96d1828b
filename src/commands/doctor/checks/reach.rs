//! Whether the hosts of the profiles, and those that variables name, answer.

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;
use super::super::view::hosts::HostState;
use crate::exit::api_hint;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    if view.is_offline() {
        let what = "no host was asked (--offline)";
        return vec![Finding::new(Level::Note, Group::Hosts, "offline", what)];
    }
    view.hosts.iter().map(one).collect()
}

fn one(host: &HostState) -> Finding {
    let url = &host.url;
    match &host.look {
        Ok(look) => {
            let gateway = look.as_ref().and_then(|look| look.gateway.as_ref());
            let gateway = gateway.map_or(String::new(), |version| format!(" (a gateway, version {version})"));
            Finding::new(Level::Ok, Group::Hosts, "host", format!("{url} answers{gateway}"))
        }
        Err(error) => {
            let finding = Finding::new(Level::Error, Group::Hosts, "host-unreachable", error.to_string());
            finding.remedies(api_hint(error))
        }
    }
}
