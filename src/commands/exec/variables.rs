//! Which variables a program gets. Host and key of an API are set together or not at all: otherwise a key would go to the host
//! of another one.

use std::ffi::OsString;
use std::process::Command;

use secrecy::{ExposeSecret as _, SecretString};

use crate::app::App;
use crate::cli::ApiArg;

/// The variables of an API.
struct Api {
    arg: ApiArg,
    name: &'static str,
    /// What names the host, and what follows the host's URL in it.
    urls: &'static [(&'static str, &'static str)],
    /// What holds the key.
    key: &'static str,
    /// What programs read beside these and must not find: they would send one key with another, or to another host.
    rivals: &'static [&'static str],
}

const APIS: [Api; 3] = [
    Api {
        arg: ApiArg::Ollama,
        name: "Ollama",
        // The second one is LiteLLM's, with which aider and others reach Ollama; the third one is for `codex --oss`.
        urls: &[("OLLAMA_HOST", ""), ("OLLAMA_API_BASE", ""), ("CODEX_OSS_BASE_URL", "/v1")],
        key: "OLLAMA_API_KEY",
        rivals: &[],
    },
    Api {
        arg: ApiArg::OpenAi,
        name: "OpenAI",
        urls: &[("OPENAI_BASE_URL", "/v1")],
        key: "OPENAI_API_KEY",
        rivals: &["OPENAI_API_BASE"],
    },
    Api {
        arg: ApiArg::Anthropic,
        name: "Anthropic",
        urls: &[("ANTHROPIC_BASE_URL", "")],
        // Claude Code asks whether it may use an ANTHROPIC_API_KEY, and sends both where both are set.
        key: "ANTHROPIC_AUTH_TOKEN",
        rivals: &["ANTHROPIC_API_KEY"],
    },
];

/// The variables of other programs that say which hosts are reached without a proxy.
#[cfg(feature = "gateway")]
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// What is set and what is removed.
pub(super) struct Variables {
    set: Vec<(&'static str, SecretString)>,
    removed: Vec<&'static str>,
    /// The APIs whose variables stay, and one that is set.
    kept: Vec<(&'static str, &'static str, ApiArg)>,
}

impl Variables {
    /// Those of the APIs that were named; otherwise of Ollama, and of the others as far as nothing is set for them. `get` gives
    /// a variable as it is now, unless it is empty.
    pub fn choose(named: &[ApiArg], url: &str, key: &SecretString, get: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut all = Self { set: Vec::new(), removed: Vec::new(), kept: Vec::new() };
        for api in &APIS {
            let is_named = named.contains(&api.arg);
            if !is_named && !named.is_empty() {
                continue;
            }
            let urls = api.urls.iter().map(|(name, suffix)| (*name, format!("{url}{suffix}")));
            if !is_named && api.arg != ApiArg::Ollama {
                let mut names =
                    api.urls.iter().map(|(name, _)| *name).chain([api.key]).chain(api.rivals.iter().copied());
                if let Some(name) = names.find(|name| get(name).is_some()) {
                    // Nothing to report where it is for this host: an `exec` in another one.
                    if !urls.clone().any(|(name, url)| get(name).is_some_and(|value| *value == *url)) {
                        all.kept.push((api.name, name, api.arg));
                    }
                    continue;
                }
            }
            all.set.extend(urls.map(|(name, url)| (name, SecretString::from(url))));
            all.set.push((api.key, key.clone()));
            all.removed.extend(api.rivals.iter().filter(|name| get(name).is_some()));
        }
        all
    }

    /// For a host on this machine: programs are not to look for it behind the proxy of their network.
    #[cfg(feature = "gateway")]
    pub fn reached_directly(self) -> Self {
        self.reached_directly_with(crate::env::foreign_variable)
    }

    #[cfg(feature = "gateway")]
    fn reached_directly_with(mut self, get: impl Fn(&str) -> Option<OsString>) -> Self {
        let is_proxy = |name: &&str| get(name).is_some() || get(&name.to_lowercase()).is_some();
        if !["HTTP_PROXY", "ALL_PROXY"].iter().any(is_proxy) {
            return self;
        }
        let before = NO_PROXY.iter().find_map(|name| get(name)).map(|value| value.to_string_lossy().into_owned());
        let hosts = match before.as_deref() {
            Some("*") => return self,
            Some(hosts) => format!("{hosts},127.0.0.1"),
            None => "127.0.0.1".to_owned(),
        };
        self.set.extend(NO_PROXY.map(|name| (name, SecretString::from(hosts.clone()))));
        self
    }

    /// Every change in its order: a name, and its value or `None` where it is removed.
    pub fn changes(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let set = self.set.iter().map(|(name, value)| (*name, Some(value.expose_secret())));
        set.chain(self.removed.iter().map(|name| (*name, None)))
    }

    /// Gives them to a program.
    pub fn apply(&self, command: &mut Command) {
        for (name, value) in self.changes() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    /// Says which variables stay as they are, and how to replace them.
    pub fn report_kept(&self, app: &App) {
        use clap::ValueEnum as _;
        for (api, name, arg) in &self.kept {
            let arg = arg.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            app.printer.note(&format!(
                "{name} is set, so programs for {api} keep their settings; to replace them, add --for {arg}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(named: &[ApiArg], environment: &[(&str, &str)]) -> Vec<(&'static str, Option<String>)> {
        let get = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let all = Variables::choose(named, "https://h/o", &SecretString::from("k"), get);
        all.changes().map(|(name, value)| (name, value.map(str::to_owned))).collect()
    }

    fn names(named: &[ApiArg], environment: &[(&str, &str)]) -> Vec<&'static str> {
        chosen(named, environment).into_iter().map(|(name, _)| name).collect()
    }

    const OLLAMA: [&str; 4] = ["OLLAMA_HOST", "OLLAMA_API_BASE", "CODEX_OSS_BASE_URL", "OLLAMA_API_KEY"];
    const OPENAI: [&str; 2] = ["OPENAI_BASE_URL", "OPENAI_API_KEY"];
    const ANTHROPIC: [&str; 2] = ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"];

    #[test]
    fn each_api_has_its_url_and_the_key() {
        let expected = [
            ("OLLAMA_HOST", "https://h/o"),
            ("OLLAMA_API_BASE", "https://h/o"),
            ("CODEX_OSS_BASE_URL", "https://h/o/v1"),
            ("OLLAMA_API_KEY", "k"),
            ("OPENAI_BASE_URL", "https://h/o/v1"),
            ("OPENAI_API_KEY", "k"),
            ("ANTHROPIC_BASE_URL", "https://h/o"),
            ("ANTHROPIC_AUTH_TOKEN", "k"),
        ];
        assert_eq!(chosen(&[], &[]), expected.map(|(name, value)| (name, Some(value.to_owned()))));
    }

    #[test]
    fn neither_url_nor_key_is_mixed_with_another_hosts() {
        for name in ["OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_API_BASE"] {
            assert_eq!(names(&[], &[(name, "x")]), [&OLLAMA[..], &ANTHROPIC].concat(), "{name}");
        }
        for name in ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"] {
            assert_eq!(names(&[], &[(name, "x")]), [&OLLAMA[..], &OPENAI].concat(), "{name}");
        }
        let ours = [("OLLAMA_HOST", "x"), ("OLLAMA_API_KEY", "x"), ("OLLAMA_API_BASE", "x")];
        assert_eq!(names(&[], &ours), names(&[], &[]), "these decided the host");
    }

    #[test]
    fn named_apis_replace_what_is_set_and_remove_what_would_contradict() {
        let set = [("OPENAI_API_KEY", "x"), ("OPENAI_API_BASE", "x"), ("ANTHROPIC_API_KEY", "x")];
        assert_eq!(names(&[ApiArg::OpenAi], &set), [&OPENAI[..], &["OPENAI_API_BASE"]].concat());
        let both = names(&[ApiArg::Anthropic, ApiArg::Ollama], &set);
        assert_eq!(both, [&OLLAMA[..], &ANTHROPIC, &["ANTHROPIC_API_KEY"]].concat());
        assert_eq!(chosen(&[ApiArg::Anthropic], &set)[2], ("ANTHROPIC_API_KEY", None));
    }

    #[test]
    fn what_stays_is_reported_unless_it_is_for_this_host() {
        let kept = |url: &str| {
            let get = |name: &str| (name == "OPENAI_BASE_URL").then(|| url.into());
            Variables::choose(&[], "http://h", &SecretString::from("k"), get).kept.len()
        };
        assert_eq!((kept("https://api.openai.com/v1"), kept("http://h/v1")), (1, 0));
    }

    #[cfg(feature = "gateway")]
    #[test]
    fn a_port_of_this_machine_is_not_looked_for_behind_a_proxy() {
        let no_proxy = |environment: &'static [(&str, &str)]| {
            let get = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            let all = Variables::choose(&[], "http://h", &SecretString::from("k"), get).reached_directly_with(get);
            let found: Vec<String> = all
                .changes()
                .filter(|(name, _)| NO_PROXY.contains(name))
                .map(|(_, value)| value.unwrap().to_owned())
                .collect();
            found
        };
        assert!(no_proxy(&[]).is_empty() && no_proxy(&[("HTTPS_PROXY", "x"), ("NO_PROXY", "y")]).is_empty());
        assert_eq!(no_proxy(&[("http_proxy", "x")]), ["127.0.0.1"; 2]);
        assert_eq!(no_proxy(&[("ALL_PROXY", "x"), ("no_proxy", ".lan")]), [".lan,127.0.0.1"; 2]);
        assert!(no_proxy(&[("HTTP_PROXY", "x"), ("NO_PROXY", "*")]).is_empty());
    }
}
