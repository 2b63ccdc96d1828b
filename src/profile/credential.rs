//! Which credential goes to the chosen host. Pure: it says where to take it from; the caller fetches it.

use super::Profile;
use super::host::HostReason;
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
    /// `--allow-insecure-http`.
    pub allow_insecure_http: bool,
}

/// Where the credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// The credentials file.
    File,
    /// `OLLAMA_API_KEY`.
    Environment,
    /// The profile's API key.
    ProfileKey,
    /// The profile's device key.
    ProfileDevice,
    /// No credential.
    None,
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

/// Chooses the credential: the credentials file, `OLLAMA_API_KEY`, the profile's API key, its device key, none. The second
/// value says why `OLLAMA_API_KEY` was passed over, if it was.
pub fn choose_credential(inputs: &CredentialInputs<'_>) -> (CredentialSource, Option<WithheldReason>) {
    if inputs.file {
        return (CredentialSource::File, None);
    }
    let withheld = inputs.env_key.and_then(|form| withheld_reason(inputs, form));
    if inputs.env_key.is_some() && withheld.is_none() {
        return (CredentialSource::Environment, None);
    }
    let stored = match inputs.profile {
        Some(Profile { api_key: Some(_), .. }) => CredentialSource::ProfileKey,
        Some(Profile { device: Some(device), .. }) if device.connected => CredentialSource::ProfileDevice,
        _ => CredentialSource::None,
    };
    (stored, withheld)
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
    } else if url.scheme() == Scheme::Http && !url.is_loopback() && !inputs.allow_insecure_http {
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
            allow_insecure_http: false,
        })
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
