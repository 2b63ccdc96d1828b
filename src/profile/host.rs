//! Which host a command talks to. Pure: everything it depends on is handed in, and it says why it chose.

use serde::Serialize;

use super::Profiles;
use crate::address::BaseUrl;
use crate::keyspec::KeyForm;

/// What kind of command asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Commands that manage accounts (`signin`, `status`, `keys`, `device`): they ignore `OLLAMA_HOST`, unless `OLLAMA_API_KEY`
    /// is a gateway's key or a token's file is named, which can only be for the host that `OLLAMA_HOST` names.
    Account,
    /// Commands that use models: `run`, `pull`, `push`.
    Model {
        /// Whether the model named is a cloud model.
        cloud: bool,
    },
}

/// What the decision depends on.
#[derive(Debug)]
pub struct HostInputs<'a> {
    /// Who asks.
    pub audience: Audience,
    /// `--host`, parsed.
    pub host: Option<&'a BaseUrl>,
    /// `--profile`.
    pub profile: Option<&'a str>,
    /// `OLLAMA_AUTH_PROFILE`.
    pub env_profile: Option<&'a str>,
    /// The host of a credentials file.
    pub credentials_host: Option<&'a BaseUrl>,
    /// `OLLAMA_HOST`, parsed.
    pub ollama_host: Option<&'a BaseUrl>,
    /// What `OLLAMA_API_KEY` is, where it is set.
    pub env_key: Option<KeyForm>,
    /// Whether the file of a token is named.
    pub token_file: bool,
    /// The profiles file.
    pub profiles: &'a Profiles,
}

/// Why a host was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostReason {
    /// `--host` names it.
    HostFlag,
    /// `--profile` names it.
    ProfileFlag,
    /// `OLLAMA_AUTH_PROFILE` names it.
    ProfileVariable,
    /// The credentials file names it.
    CredentialsFile,
    /// `OLLAMA_HOST` names it.
    OllamaHost,
    /// It is the current profile's.
    CurrentProfile,
    /// The model is a cloud model, and a credential for ollama.com is held.
    Cloud,
    /// Nothing names one: ollama.com for accounts.
    DefaultAccount,
    /// Nothing names one: the local server.
    DefaultLocal,
}

impl HostReason {
    /// The reason in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::HostFlag => "named by --host",
            Self::ProfileFlag => "named by --profile",
            Self::ProfileVariable => "named by OLLAMA_AUTH_PROFILE",
            Self::CredentialsFile => "named by the credentials file",
            Self::OllamaHost => "named by OLLAMA_HOST",
            Self::CurrentProfile => "the current profile",
            Self::Cloud => "where cloud models run",
            Self::DefaultAccount => "the default for accounts",
            Self::DefaultLocal => "the local server, the default",
        }
    }
}

/// The host that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host.
    pub url: BaseUrl,
    /// The profile for it: one that exists, or the name that a new one would get.
    pub profile: String,
    /// Whether the profile exists.
    pub exists: bool,
    /// Why this host.
    pub reason: HostReason,
}

/// A profile was named that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile named {name:?}")]
pub struct NoSuchProfile {
    /// The name.
    pub name: String,
    /// The names there are.
    pub known: Vec<String>,
}

/// Chooses the host: what the call names, then `OLLAMA_AUTH_PROFILE`, then a credentials file, then by audience
/// (`docs/explanation/host-and-credential.md`).
///
/// # Errors
/// [`NoSuchProfile`] when a profile is named that does not exist and no `--host` says where it would be.
pub fn choose_host(inputs: &HostInputs<'_>) -> Result<Target, NoSuchProfile> {
    let profiles = inputs.profiles;
    if let Some(url) = inputs.host {
        let target = target_for_url(profiles, url, HostReason::HostFlag);
        return Ok(match inputs.profile {
            Some(name) => Target { profile: name.to_owned(), exists: profiles.profiles.contains_key(name), ..target },
            None => target,
        });
    }
    let named = [(inputs.profile, HostReason::ProfileFlag), (inputs.env_profile, HostReason::ProfileVariable)];
    if let Some((name, reason)) = named.into_iter().find_map(|(name, reason)| Some((name?, reason))) {
        return target_for_profile(profiles, name, reason);
    }
    if let Some(url) = inputs.credentials_host {
        return Ok(target_for_url(profiles, url, HostReason::CredentialsFile));
    }
    if inputs.audience == Audience::Account {
        let is_for_gateway = inputs.env_key == Some(KeyForm::Gateway) || inputs.token_file;
        if let Some(url) = inputs.ollama_host.filter(|_| is_for_gateway) {
            return Ok(target_for_url(profiles, url, HostReason::OllamaHost));
        }
        return Ok(match profiles.current() {
            Some((name, profile)) => existing_target(name, &profile.url, HostReason::CurrentProfile),
            None => target_for_url(profiles, &BaseUrl::ollama_com(), HostReason::DefaultAccount),
        });
    }
    if let Some(url) = inputs.ollama_host {
        return Ok(target_for_url(profiles, url, HostReason::OllamaHost));
    }
    if let Some((name, profile)) = profiles.current().filter(|(_, profile)| !profile.url.is_ollama_com()) {
        return Ok(existing_target(name, &profile.url, HostReason::CurrentProfile));
    }
    let wants_cloud = inputs.audience == Audience::Model { cloud: true };
    let cloud = target_for_url(profiles, &BaseUrl::ollama_com(), HostReason::Cloud);
    let stored = profiles.profiles.get(&cloud.profile).is_some_and(super::Profile::has_credential);
    let in_environment = inputs.env_key.is_some_and(|form| form != KeyForm::Gateway);
    if wants_cloud && (stored || in_environment) {
        return Ok(cloud);
    }
    Ok(target_for_url(profiles, &BaseUrl::local(), HostReason::DefaultLocal))
}

fn existing_target(name: &str, url: &BaseUrl, reason: HostReason) -> Target {
    Target { url: url.clone(), profile: name.to_owned(), exists: true, reason }
}

fn target_for_profile(profiles: &Profiles, name: &str, reason: HostReason) -> Result<Target, NoSuchProfile> {
    match profiles.profiles.get(name) {
        Some(profile) => Ok(existing_target(name, &profile.url, reason)),
        // The name that a first sign-in there would give it.
        None if name == BaseUrl::ollama_com().profile_name() => {
            Ok(target_for_url(profiles, &BaseUrl::ollama_com(), reason))
        }
        None => Err(NoSuchProfile { name: name.to_owned(), known: profiles.profiles.keys().cloned().collect() }),
    }
}

fn target_for_url(profiles: &Profiles, url: &BaseUrl, reason: HostReason) -> Target {
    match profiles.for_origin(&url.origin()) {
        Some((name, _)) => existing_target(name, url, reason),
        None => Target { url: url.clone(), profile: url.profile_name(), exists: false, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{ApiKeyRecord, Profile};
    use crate::vault::StoreKind;

    fn url(text: &str) -> BaseUrl {
        BaseUrl::parse(text).unwrap().url
    }

    fn profiles(current: Option<&str>, with_key: &[&str]) -> Profiles {
        let all = [("ollama.com", "https://ollama.com"), ("gw", "https://gw.example")];
        let record = ApiKeyRecord::new(StoreKind::File, "abcd", 0);
        let profile = |(name, host): (&str, &str)| {
            let api_key = with_key.contains(&name).then(|| record.clone());
            (name.to_owned(), Profile { api_key, ..Profile::new(url(host)) })
        };
        Profiles { current: current.map(str::to_owned), profiles: all.into_iter().map(profile).collect() }
    }

    fn inputs(audience: Audience, profiles: &Profiles) -> HostInputs<'_> {
        HostInputs {
            audience,
            host: None,
            profile: None,
            env_profile: None,
            credentials_host: None,
            ollama_host: None,
            env_key: None,
            token_file: false,
            profiles,
        }
    }

    const LOCAL_MODEL: Audience = Audience::Model { cloud: false };
    const CLOUD_MODEL: Audience = Audience::Model { cloud: true };

    fn chosen(inputs: &HostInputs<'_>) -> (String, HostReason) {
        let target = choose_host(inputs).unwrap();
        (target.url.to_string(), target.reason)
    }

    #[test]
    fn accounts_ignore_ollama_host() {
        let none = Profiles::default();
        let elsewhere = url("http://elsewhere");
        let asked = HostInputs { ollama_host: Some(&elsewhere), ..inputs(Audience::Account, &none) };
        assert_eq!(chosen(&asked), ("https://ollama.com".into(), HostReason::DefaultAccount));
        let gw = profiles(Some("gw"), &[]);
        let asked = HostInputs { ollama_host: Some(&elsewhere), ..inputs(Audience::Account, &gw) };
        assert_eq!(chosen(&asked), ("https://gw.example".into(), HostReason::CurrentProfile));
    }

    #[test]
    fn with_a_key_or_a_token_for_a_gateway_accounts_follow_ollama_host() {
        let elsewhere = url("http://elsewhere");
        for profiles in [Profiles::default(), profiles(Some("gw"), &[])] {
            let asked = |form| HostInputs {
                ollama_host: Some(&elsewhere),
                env_key: Some(form),
                ..inputs(Audience::Account, &profiles)
            };
            assert_eq!(chosen(&asked(KeyForm::Gateway)), ("http://elsewhere".into(), HostReason::OllamaHost));
            assert_ne!(chosen(&asked(KeyForm::OllamaCom)).1, HostReason::OllamaHost);
            assert_ne!(chosen(&asked(KeyForm::Unknown)).1, HostReason::OllamaHost);
            let named = HostInputs { env_profile: Some("ollama.com"), ..asked(KeyForm::Gateway) };
            assert_eq!(chosen(&named), ("https://ollama.com".into(), HostReason::ProfileVariable));
            let with_token =
                HostInputs { ollama_host: Some(&elsewhere), token_file: true, ..inputs(Audience::Account, &profiles) };
            assert_eq!(chosen(&with_token), ("http://elsewhere".into(), HostReason::OllamaHost));
        }
    }

    #[test]
    fn models_follow_the_table() {
        let elsewhere = url("http://elsewhere");
        let com = profiles(Some("ollama.com"), &["ollama.com"]);
        let gw = profiles(Some("gw"), &["ollama.com"]);
        let empty = profiles(Some("ollama.com"), &[]);
        let local = ("http://127.0.0.1:11434".to_owned(), HostReason::DefaultLocal);
        let cloud = ("https://ollama.com".to_owned(), HostReason::Cloud);

        let asked = HostInputs { ollama_host: Some(&elsewhere), ..inputs(CLOUD_MODEL, &gw) };
        assert_eq!(chosen(&asked), ("http://elsewhere".into(), HostReason::OllamaHost));
        assert_eq!(chosen(&inputs(CLOUD_MODEL, &gw)), ("https://gw.example".into(), HostReason::CurrentProfile));
        assert_eq!(chosen(&inputs(CLOUD_MODEL, &com)), cloud);
        assert_eq!(chosen(&inputs(LOCAL_MODEL, &com)), local);
        assert_eq!(chosen(&inputs(CLOUD_MODEL, &empty)), local);
        let asked = |form| HostInputs { env_key: Some(form), ..inputs(CLOUD_MODEL, &empty) };
        assert_eq!(chosen(&asked(KeyForm::OllamaCom)), cloud);
        assert_eq!(chosen(&asked(KeyForm::Unknown)), cloud);
        assert_eq!(chosen(&asked(KeyForm::Gateway)), local);
    }

    #[test]
    fn what_the_call_names_comes_first() {
        let gw = profiles(Some("gw"), &[]);
        let named = url("https://named.example");
        let asked = HostInputs { host: Some(&named), env_profile: Some("gw"), ..inputs(LOCAL_MODEL, &gw) };
        assert_eq!(chosen(&asked), ("https://named.example".into(), HostReason::HostFlag));
        let asked = HostInputs { profile: Some("ollama.com"), env_profile: Some("gw"), ..inputs(LOCAL_MODEL, &gw) };
        assert_eq!(chosen(&asked), ("https://ollama.com".into(), HostReason::ProfileFlag));
        let asked = HostInputs { env_profile: Some("gw"), ..inputs(LOCAL_MODEL, &gw) };
        assert_eq!(chosen(&asked), ("https://gw.example".into(), HostReason::ProfileVariable));
    }

    #[test]
    fn the_host_of_a_credentials_file_counts_as_named() {
        let gw = profiles(Some("gw"), &["ollama.com"]);
        let (file, elsewhere) = (url("https://file.example"), url("http://elsewhere"));
        for audience in [Audience::Account, LOCAL_MODEL, CLOUD_MODEL] {
            let asked =
                HostInputs { credentials_host: Some(&file), ollama_host: Some(&elsewhere), ..inputs(audience, &gw) };
            assert_eq!(chosen(&asked), ("https://file.example".into(), HostReason::CredentialsFile));
            let asked = HostInputs { env_profile: Some("gw"), ..asked };
            assert_eq!(chosen(&asked), ("https://gw.example".into(), HostReason::ProfileVariable));
            let asked = HostInputs { host: Some(&elsewhere), ..asked };
            assert_eq!(chosen(&asked), ("http://elsewhere".into(), HostReason::HostFlag));
        }
    }

    #[test]
    fn a_profile_that_is_not_there_is_an_error_with_the_names_there_are() {
        let gw = profiles(Some("gw"), &[]);
        let asked = HostInputs { profile: Some("nope"), ..inputs(LOCAL_MODEL, &gw) };
        let error = choose_host(&asked).unwrap_err();
        assert_eq!(error.known, ["gw", "ollama.com"]);
    }
}
