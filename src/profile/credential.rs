//! Which credential goes to the chosen host. Pure: it says where to take it from; the caller fetches it.

use super::Profile;
use super::host::HostReason;
use super::token_origin::{TokenOrigin, TokenOrigins};
use crate::address::{BaseUrl, Scheme};
use crate::keyspec::KeyForm;

/// What the decision depends on.
#[derive(Debug)]
pub struct CredentialInputs<'a> {
    /// The host that was chosen.
    pub url: &'a BaseUrl,
    /// Why it was chosen.
    pub reason: HostReason,
    /// The profile for it, if there is one.
    pub profile: Option<&'a Profile>,
    /// Whether a credentials file for this very host is there.
    pub file: bool,
    /// What `OLLAMA_API_KEY` is, where it is set.
    pub env_key: Option<KeyForm>,
    /// The OIDC tokens that there are for this host.
    pub tokens: TokenOrigins,
    /// `--allow-insecure-http`.
    pub allow_insecure_http: bool,
}

/// Where the credential comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialSource {
    /// The credentials file.
    File,
    /// `OLLAMA_API_KEY`.
    Environment,
    /// The profile's API key.
    ProfileKey,
    /// The profile's device key.
    ProfileDevice,
    /// An OIDC token, which is not stored.
    Token(TokenOrigin),
    /// No credential.
    None,
}

impl CredentialSource {
    /// Whether a sign-in would not change what is used.
    pub fn overrides_profile(self) -> bool {
        matches!(self, Self::File | Self::Environment | Self::Token(TokenOrigin::FileFlag | TokenOrigin::FileVariable))
    }
}

/// Why `OLLAMA_API_KEY` is set but not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithheldReason {
    /// The host was not named by anyone: the key may not be meant for it.
    HostNotNamed,
    /// It looks like a key of ollama.com and this is another host.
    BelongsToOllamaCom,
    /// It is a gateway's key and this is ollama.com.
    BelongsToGateway,
    /// It would cross the network in the clear.
    PlainHttp,
}

/// Chooses the credential: the token of `--oidc-token-file`, the credentials file, `OLLAMA_API_KEY`, the token of
/// `OLLAMA_AUTH_OIDC_TOKEN_FILE`, the profile's API key, its device key, a token of the system that runs the job, none. The second value
/// says why `OLLAMA_API_KEY` was passed over, if it was.
pub fn choose_credential(inputs: &CredentialInputs<'_>) -> (CredentialSource, Option<WithheldReason>) {
    let takes_token = may_take_token(inputs.url, inputs.reason);
    if inputs.tokens.file_flag && takes_token {
        return (CredentialSource::Token(TokenOrigin::FileFlag), None);
    }
    if inputs.file {
        return (CredentialSource::File, None);
    }
    let withheld = inputs.env_key.and_then(|form| withheld_reason(inputs, form));
    if inputs.env_key.is_some() && withheld.is_none() {
        return (CredentialSource::Environment, None);
    }
    if inputs.tokens.file_variable && takes_token {
        return (CredentialSource::Token(TokenOrigin::FileVariable), withheld);
    }
    let stored = match inputs.profile {
        Some(Profile { api_key: Some(_), .. }) => CredentialSource::ProfileKey,
        Some(Profile { device: Some(device), .. }) if device.connected => CredentialSource::ProfileDevice,
        _ => {
            // Whoever has set a key means it and no other credential.
            let may_look = takes_token && inputs.env_key.is_none() && !is_exposed(inputs);
            let token = inputs.tokens.of_system().filter(|_| may_look);
            token.map_or(CredentialSource::None, CredentialSource::Token)
        }
    };
    (stored, withheld)
}

/// Whether an OIDC token may go to a host: one that was named for this call, since a token names none, and never ollama.com.
pub fn may_take_token(url: &BaseUrl, reason: HostReason) -> bool {
    let is_named = matches!(
        reason,
        HostReason::HostFlag | HostReason::ProfileFlag | HostReason::ProfileVariable | HostReason::OllamaHost
    );
    is_named && !url.as_origin().belongs_to_ollama_com()
}

/// Whether a credential would cross the network in the clear.
fn is_exposed(inputs: &CredentialInputs<'_>) -> bool {
    inputs.url.scheme() == Scheme::Http && !inputs.url.is_loopback() && !inputs.allow_insecure_http
}

fn withheld_reason(inputs: &CredentialInputs<'_>, form: KeyForm) -> Option<WithheldReason> {
    let url = inputs.url;
    if url.is_ollama_com() {
        return (form == KeyForm::Gateway).then_some(WithheldReason::BelongsToGateway);
    }
    let named = matches!(inputs.reason, HostReason::HostFlag | HostReason::ProfileFlag | HostReason::OllamaHost);
    if !named {
        Some(WithheldReason::HostNotNamed)
    } else if form == KeyForm::OllamaCom && inputs.reason != HostReason::HostFlag {
        Some(WithheldReason::BelongsToOllamaCom)
    } else if is_exposed(inputs) {
        Some(WithheldReason::PlainHttp)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ApiKeyRecord;
    use crate::vault::StoreKind;

    fn choose(
        host: &str,
        reason: HostReason,
        form: KeyForm,
        profile: Option<&Profile>,
    ) -> (CredentialSource, Option<WithheldReason>) {
        choose_credential(&CredentialInputs {
            url: &BaseUrl::parse(host).unwrap().url,
            reason,
            profile,
            file: false,
            env_key: Some(form),
            tokens: TokenOrigins::default(),
            allow_insecure_http: false,
        })
    }

    fn choose_token(
        host: &str,
        reason: HostReason,
        change: impl FnOnce(&mut CredentialInputs<'_>),
    ) -> CredentialSource {
        let mut inputs = CredentialInputs {
            url: &BaseUrl::parse(host).unwrap().url,
            reason,
            profile: None,
            file: false,
            env_key: None,
            tokens: TokenOrigins { github: true, gitlab: true, kubernetes: true, ..TokenOrigins::default() },
            allow_insecure_http: false,
        };
        change(&mut inputs);
        choose_credential(&inputs).0
    }

    #[test]
    fn a_token_of_the_system_is_for_a_named_host_without_another_credential() {
        use CredentialSource::Token;
        let (gw, named) = ("https://gw.example", HostReason::OllamaHost);
        assert_eq!(choose_token(gw, named, |_| {}), Token(TokenOrigin::GitHub));
        assert_eq!(choose_token(gw, named, |inputs| inputs.tokens.github = false), Token(TokenOrigin::GitLab));
        assert_eq!(choose_token(gw, HostReason::HostFlag, |_| {}), Token(TokenOrigin::GitHub));
        for reason in
            [HostReason::CurrentProfile, HostReason::DefaultLocal, HostReason::DefaultAccount, HostReason::Cloud]
        {
            assert_eq!(choose_token(gw, reason, |_| {}), CredentialSource::None, "{reason:?}");
        }
        for host in ["https://ollama.com", "https://api.ollama.com", "http://lan.example"] {
            assert_eq!(choose_token(host, HostReason::HostFlag, |_| {}), CredentialSource::None, "{host}");
        }
        assert_eq!(choose_token("http://127.0.0.1:1", named, |_| {}), Token(TokenOrigin::GitHub));
        let record = ApiKeyRecord::new(StoreKind::File, "abcd", 0);
        let profile = Profile { api_key: Some(record), ..Profile::new(BaseUrl::parse(gw).unwrap().url) };
        let inputs = CredentialInputs {
            url: &profile.url,
            reason: named,
            profile: Some(&profile),
            file: false,
            env_key: None,
            tokens: TokenOrigins { github: true, ..TokenOrigins::default() },
            allow_insecure_http: false,
        };
        assert_eq!(choose_credential(&inputs).0, CredentialSource::ProfileKey);
        let key = |inputs: &mut CredentialInputs<'_>| inputs.env_key = Some(KeyForm::Gateway);
        assert_eq!(choose_token(gw, named, key), CredentialSource::Environment);
        let other = |inputs: &mut CredentialInputs<'_>| inputs.env_key = Some(KeyForm::OllamaCom);
        assert_eq!(choose_token(gw, named, other), CredentialSource::None, "the key that is withheld was meant");
    }

    #[test]
    fn a_token_file_that_is_named_takes_its_place_in_the_order() {
        use CredentialSource::Token;
        let (gw, named) = ("https://gw.example", HostReason::OllamaHost);
        let flag = |inputs: &mut CredentialInputs<'_>| {
            (inputs.tokens.file_flag, inputs.file, inputs.env_key) = (true, true, Some(KeyForm::Gateway));
        };
        assert_eq!(choose_token(gw, named, flag), Token(TokenOrigin::FileFlag));
        let variable = |inputs: &mut CredentialInputs<'_>| inputs.tokens.file_variable = true;
        assert_eq!(choose_token(gw, named, variable), Token(TokenOrigin::FileVariable));
        let key = |inputs: &mut CredentialInputs<'_>| {
            (inputs.tokens.file_variable, inputs.env_key) = (true, Some(KeyForm::Gateway));
        };
        assert_eq!(choose_token(gw, named, key), CredentialSource::Environment);
        for (host, reason) in [("https://ollama.com", HostReason::HostFlag), (gw, HostReason::CurrentProfile)] {
            assert_ne!(choose_token(host, reason, flag), Token(TokenOrigin::FileFlag), "{host}");
        }
    }

    #[test]
    fn the_variable_goes_only_where_it_is_meant_to() {
        use CredentialSource::{Environment, None as Nothing};
        let gw = "https://gw.example";
        assert_eq!(choose("https://ollama.com", HostReason::Cloud, KeyForm::OllamaCom, None), (Environment, None));
        assert_eq!(choose(gw, HostReason::OllamaHost, KeyForm::Unknown, None), (Environment, None));
        assert_eq!(
            choose(gw, HostReason::OllamaHost, KeyForm::OllamaCom, None),
            (Nothing, Some(WithheldReason::BelongsToOllamaCom))
        );
        assert_eq!(choose(gw, HostReason::HostFlag, KeyForm::OllamaCom, None), (Environment, None));
        assert_eq!(
            choose(gw, HostReason::CurrentProfile, KeyForm::Unknown, None),
            (Nothing, Some(WithheldReason::HostNotNamed))
        );
        assert_eq!(
            choose("", HostReason::DefaultLocal, KeyForm::Unknown, None),
            (Nothing, Some(WithheldReason::HostNotNamed))
        );
        assert_eq!(
            choose("http://lan.example", HostReason::OllamaHost, KeyForm::Unknown, None),
            (Nothing, Some(WithheldReason::PlainHttp))
        );
        assert_eq!(
            choose("http://ollama.com:80", HostReason::HostFlag, KeyForm::OllamaCom, None),
            (Nothing, Some(WithheldReason::PlainHttp))
        );
    }

    #[test]
    fn a_gateways_key_never_goes_to_ollama_com() {
        let withheld = (CredentialSource::None, Some(WithheldReason::BelongsToGateway));
        for reason in [HostReason::HostFlag, HostReason::OllamaHost, HostReason::DefaultAccount, HostReason::Cloud] {
            assert_eq!(choose("https://ollama.com", reason, KeyForm::Gateway, None), withheld, "{reason:?}");
        }
        let chosen = choose("https://gw.example", HostReason::OllamaHost, KeyForm::Gateway, None);
        assert_eq!(chosen, (CredentialSource::Environment, None));
    }

    #[test]
    fn a_withheld_variable_leaves_the_profile_its_say() {
        let record = ApiKeyRecord::new(StoreKind::File, "abcd", 0);
        let profile = Profile { api_key: Some(record), ..Profile::new(BaseUrl::local()) };
        let chosen = choose("https://gw.example", HostReason::CurrentProfile, KeyForm::Unknown, Some(&profile));
        assert_eq!(chosen, (CredentialSource::ProfileKey, Some(WithheldReason::HostNotNamed)));
    }
}
