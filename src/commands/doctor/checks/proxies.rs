//! Proxy variables: what they do to requests, what they give away, and what they break for other programs.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::super::finding::{Finding, Group, Level};
use super::super::view::View;

const GROUP: Group = Group::Network;

/// See the module.
pub fn check(view: &View<'_>) -> Vec<Finding> {
    let network = &view.app.env.network;
    if network.proxies.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<Finding> = network.proxies.iter().map(|(name, value)| one(name, value)).collect();
    if !network.no_proxy.as_deref().is_some_and(excepts_loopback) {
        let what = "NO_PROXY does not name this machine (localhost, 127.0.0.1)";
        let finding = Finding::new(Level::Note, GROUP, "no-proxy", what)
            .why("ollama-auth never uses a proxy for this machine, but Ollama's Python library and curl would send theirs to it");
        found.push(finding.remedy("export NO_PROXY=localhost,127.0.0.1,::1"));
    }
    found
}

/// The value is never shown whole: it may hold a password.
fn one(name: &'static str, value: &SecretString) -> Finding {
    let value = value.expose_secret();
    let url = if value.contains("://") { Url::parse(value) } else { Url::parse(&format!("http://{value}")) };
    let Some(url) = url.ok().filter(Url::has_host) else {
        return Finding::new(Level::Warning, GROUP, "proxy-unreadable", format!("{name} is no address of a proxy"))
            .why("it is passed over, so requests go out directly, or nowhere")
            .remedy(format!("write it as http://host:port, or unset {name}"));
    };
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let shown = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
    if url.password().is_some() || !url.username().is_empty() {
        return Finding::new(
            Level::Warning,
            GROUP,
            "proxy-credential",
            format!("{name} ({shown}) holds a user name or password"),
        )
        .why("every program started from here can read it, and many print it in their errors")
        .remedy("let a local proxy that keeps the password in a file of its own stand in between");
    }
    let which = match name.to_ascii_lowercase().as_str() {
        "https_proxy" => "https hosts",
        "http_proxy" => "hosts of plain http",
        _ => "hosts that no other variable names a proxy for",
    };
    Finding::new(Level::Ok, GROUP, "proxy", format!("{which} are reached through {shown} ({name})"))
}

fn excepts_loopback(list: &str) -> bool {
    let mut names = list.split(',').map(str::trim);
    names.any(|name| matches!(name, "*" | "localhost" | "127.0.0.1" | "127.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        for (value, level, shown) in [
            ("http://proxy.example:3128", Level::Ok, "http://proxy.example:3128"),
            ("proxy.example:3128", Level::Ok, "http://proxy.example:3128"),
            ("http://me:hunter2@proxy.example:3128", Level::Warning, "http://proxy.example:3128"),
            ("me:hunter2@proxy.example", Level::Warning, "http://proxy.example"),
            ("http://", Level::Warning, "no address"),
            ("hunter2 hunter2", Level::Warning, "no address"),
        ] {
            let finding = one("HTTPS_PROXY", &value.into());
            assert_eq!(finding.level, level, "{value}");
            let text = format!("{finding:?}");
            assert!(finding.what.contains(shown) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn this_machine_is_excepted_by_name_or_number() {
        assert!(excepts_loopback("a.example, localhost") && excepts_loopback("*") && excepts_loopback("127.0.0.1"));
        assert!(!excepts_loopback("") && !excepts_loopback("localhost.example,.local"));
    }
}
