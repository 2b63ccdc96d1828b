//! What most commands begin with: which host, which profile, which credential; and a session that has it.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::workload_token;
use crate::address::BaseUrl;
use crate::api::{ClockRule, Credential, Fetched, HostKind, ProofSource, Session};
use crate::app::App;
use crate::exit::{Exit, Problem, refused_hint};
use crate::identity::DeviceKey;
use crate::keyspec::KeyForm;
use crate::profile::{
    Audience, CredentialInputs, CredentialSource, DeviceRecord, HostInputs, HostReason, Profile, Profiles, Target,
    TokenOrigin, WithheldReason, choose_credential, choose_host, entry_id, may_take_token,
};
use crate::shell::quoted;
use crate::vault::{EntryKind, StoreKind};

/// The outcome of the two decisions.
#[derive(Debug, Clone)]
pub struct Context {
    /// The host, and the name of the profile for it.
    pub target: Target,
    /// The profile, if it exists.
    pub profile: Option<Profile>,
    /// Where the credential comes from.
    pub source: CredentialSource,
    /// Why `OLLAMA_API_KEY` is set but not used.
    pub withheld: Option<WithheldReason>,
    /// The host of the credentials file that `OLLAMA_AUTH_CREDENTIALS` names, where it is another one and the file is not used.
    pub unused_file: Option<BaseUrl>,
}

impl Context {
    /// Decides for the profiles on disk, and warns of a credentials file that is not used.
    pub fn resolve(app: &App, audience: Audience) -> anyhow::Result<Self> {
        let context = Self::decide(app, &app.profiles.load()?, audience)?;
        if let Some(other) = &context.unused_file {
            app.printer.warn(&unused_file_note(other, context.url()));
        }
        Ok(context)
    }

    /// Decides for given profiles.
    pub fn decide(app: &App, profiles: &Profiles, audience: Audience) -> anyhow::Result<Self> {
        let env_key = app.env.api_key.as_ref().map(|key| KeyForm::of(key.expose_secret()));
        let file_host = app.credentials.as_ref().map(|file| file.read()).transpose()?.map(|read| &read.url);
        let target = choose_host(&HostInputs {
            audience,
            host: app.host.as_ref(),
            profile: app.global.profile.as_deref(),
            env_profile: app.env.profile.as_deref(),
            credentials_host: file_host,
            ollama_host: app.ollama_host.as_ref(),
            env_key,
            token_file: app.global.oidc_token_file.is_some() || app.env.oidc_token_file.is_some(),
            profiles,
        })?;
        let profile = profiles.profiles.get(&target.profile).cloned();
        if let Some(profile) = &profile
            && !profile.url.as_origin().is_same_server(target.url.as_origin())
        {
            return Err(other_address(app.global.profile.as_deref(), profile, &target.url).into());
        }
        let unused_file = file_host.filter(|host| host.origin() != target.url.origin());
        if let (Some(other), Some(file)) = (unused_file, &app.credentials)
            && file.is_named_by_flag()
        {
            return Err(credentials_host_mismatch(file.path(), other, &target).into());
        }
        if app.global.oidc_token_file.is_some() && !may_take_token(&target.url, target.reason) {
            return Err(workload_token::no_host(&target.url).into());
        }
        let (source, withheld) = choose_credential(&CredentialInputs {
            url: &target.url,
            reason: target.reason,
            profile: profile.as_ref(),
            file: file_host.is_some() && unused_file.is_none(),
            env_key,
            tokens: workload_token::origins(app, &target.url),
            allow_insecure_http: app.global.allow_insecure_http,
        });
        Ok(Self { unused_file: unused_file.cloned(), target, profile, source, withheld })
    }

    /// A profile that exists, with its own credential, ignoring the environment.
    pub fn for_profile(name: &str, profile: &Profile) -> Self {
        let target = Target {
            url: profile.url.clone(),
            profile: name.to_owned(),
            exists: true,
            reason: HostReason::ProfileFlag,
        };
        let source = match profile {
            Profile { api_key: Some(_), .. } => CredentialSource::ProfileKey,
            Profile { device: Some(device), .. } if device.connected => CredentialSource::ProfileDevice,
            _ => CredentialSource::None,
        };
        Self { target, profile: Some(profile.clone()), source, withheld: None, unused_file: None }
    }

    /// The same with this device's key in place of the API key that the profile keeps beside it; `None` where there are not both.
    pub fn with_device_key(&self) -> Option<Self> {
        let device = self.profile.as_ref().and_then(|profile| profile.device.as_ref());
        let both = self.source == CredentialSource::ProfileKey && device.is_some_and(|device| device.connected);
        both.then(|| Self { source: CredentialSource::ProfileDevice, ..self.clone() })
    }

    /// The host.
    pub fn url(&self) -> &BaseUrl {
        &self.target.url
    }

    /// The store of the credential that is used, where it comes from the profile.
    pub fn store_in_use(&self) -> Option<StoreKind> {
        let profile = self.profile.as_ref()?;
        match self.source {
            CredentialSource::ProfileKey => profile.api_key.as_ref().map(|key| key.store),
            CredentialSource::ProfileDevice => profile.device.as_ref().map(|device| device.store),
            CredentialSource::File
            | CredentialSource::Environment
            | CredentialSource::Token(_)
            | CredentialSource::None => None,
        }
    }

    /// A session with the chosen credential, fetched from its store.
    pub async fn session<'a>(&self, app: &'a App) -> anyhow::Result<Session<'a>> {
        let credential = self.credential(app).await?;
        self.session_with(app, credential)
    }

    /// The same, but never over plain http to another machine, whatever `--allow-insecure-http` says.
    pub async fn protected_session<'a>(&self, app: &'a App) -> anyhow::Result<Session<'a>> {
        let credential = self.credential(app).await?;
        self.open_session(app, credential, false)
    }

    /// A session with a credential of the caller's.
    pub fn session_with<'a>(&self, app: &'a App, credential: Credential) -> anyhow::Result<Session<'a>> {
        self.open_session(app, credential, app.global.allow_insecure_http)
    }

    fn open_session<'a>(
        &self,
        app: &'a App,
        credential: Credential,
        allow_insecure_http: bool,
    ) -> anyhow::Result<Session<'a>> {
        let origin = external_origin(app, &credential);
        let advice = self.advice_for(app, &credential);
        let session = Session::new(&app.transport, self.url().clone(), credential, allow_insecure_http, app.now)?;
        let session = session.with_credential_origin(origin).with_advice(advice);
        let session = with_known_host(session, self.profile.as_ref());
        Ok(match &self.profile {
            Some(profile) => {
                let (name, profile) = (self.target.profile.clone(), profile.clone());
                session.with_proof_source(Rc::new(StoredProofs { app, name, profile }))
            }
            None => session,
        })
    }

    /// What to do where the host answers 401, if it is something else than to sign in.
    fn advice_for(&self, app: &App, credential: &Credential) -> Option<String> {
        match (credential, self.source) {
            (Credential::Workload(token), CredentialSource::Token(origin)) => {
                Some(workload_token::refused_advice(app, origin, &token.claims(), self.url()))
            }
            (Credential::None, CredentialSource::None) if self.withheld.is_none() => {
                workload_token::advice_without_credential(app, &self.target)
            }
            _ => None,
        }
    }

    /// What to do where the host does not accept the credential that this context chose.
    pub fn refused_hint(&self) -> String {
        match self.source {
            CredentialSource::Environment => refused_hint("OLLAMA_API_KEY"),
            CredentialSource::Token(origin) => {
                format!(
                    "{} was refused: ask the administrator of {} for a workload rule",
                    origin.describe(),
                    self.url()
                )
            }
            _ => sign_in_hint(self.url()),
        }
    }

    /// What to do where a command needs a credential and there is none.
    pub fn sign_in_advice(&self, app: &App) -> String {
        let url = self.url();
        match self.withheld {
            Some(withheld) => withheld_note(withheld, url),
            None => workload_token::advice_without_credential(app, &self.target).unwrap_or_else(|| sign_in_hint(url)),
        }
    }

    /// The same context with a token of the job as its credential, whatever else there is.
    ///
    /// # Errors
    /// Exit 2 for a host that takes none, exit 4 where the job has none.
    pub fn with_token(self, app: &App) -> anyhow::Result<Self> {
        let url = self.url();
        if !may_take_token(url, self.target.reason) {
            let message = format!("{url} takes no OIDC token, or was not named for this command");
            let hint = "name the gateway with --host or OLLAMA_HOST";
            return Err(Problem::new(Exit::Usage, message).hint(hint).into());
        }
        let origin: TokenOrigin =
            workload_token::origins(app, url).first().ok_or_else(|| workload_token::missing(app, url))?;
        Ok(Self { source: CredentialSource::Token(origin), withheld: None, ..self })
    }

    /// The chosen credential, fetched from its store.
    pub async fn credential(&self, app: &App) -> anyhow::Result<Credential> {
        match (&self.source, &self.profile) {
            (CredentialSource::File, _) => {
                let read = app.credentials.as_ref().map(|file| file.read()).transpose()?;
                Ok(read.map_or(Credential::None, |read| Credential::ApiKey(read.key.clone())))
            }
            (CredentialSource::Environment, _) => {
                Ok(app.env.api_key.clone().map_or(Credential::None, Credential::ApiKey))
            }
            (CredentialSource::ProfileKey, Some(profile)) => {
                Ok(Credential::ApiKey(api_key(app, &self.target.profile, profile).await?))
            }
            (CredentialSource::ProfileDevice, Some(profile)) => {
                Ok(Credential::Device(Arc::new(device_key(app, &self.target.profile, profile).await?)))
            }
            (CredentialSource::Token(origin), _) => {
                // Refused over plain http before one is asked for.
                Session::may_carry_credential(self.url(), app.global.allow_insecure_http)?;
                Ok(Credential::Workload(workload_token::open(app, *origin, self.url()).await?))
            }
            _ => Ok(Credential::None),
        }
    }
}

/// The device key and the API key of a profile, for a host that demands both.
struct StoredProofs<'a> {
    app: &'a App,
    name: String,
    profile: Profile,
}

impl StoredProofs<'_> {
    /// What was stored, or nothing and a warning.
    fn or_warn<T>(&self, fetched: Result<T, StoredKeyError>) -> Option<T> {
        fetched.map_err(|error| self.app.printer.warn(&Problem::from_error(&error.into()).message)).ok()
    }
}

impl ProofSource for StoredProofs<'_> {
    fn has_device(&self) -> bool {
        self.profile.device.as_ref().is_some_and(|device| device.connected)
    }

    fn device(&self) -> Fetched<'_, Arc<DeviceKey>> {
        Box::pin(async {
            if !self.has_device() {
                return None;
            }
            self.or_warn(device_key(self.app, &self.name, &self.profile).await).map(Arc::new)
        })
    }

    fn api_key(&self) -> Fetched<'_, SecretString> {
        Box::pin(async {
            self.profile.api_key.as_ref()?;
            self.or_warn(api_key(self.app, &self.name, &self.profile).await)
        })
    }
}

/// Tells a session what the profile knows of its host, and by whose time the profile's device key may sign.
pub fn with_known_host<'a>(session: Session<'a>, profile: Option<&Profile>) -> Session<'a> {
    let is_imported = profile.and_then(|profile| profile.device.as_ref()).is_some_and(DeviceRecord::is_imported);
    session
        .with_known_listener(profile.and_then(|profile| profile.listener))
        .with_known_gateway(profile.is_some_and(|profile| profile.gateway))
        .with_clock_rule(if is_imported { ClockRule::Report } else { ClockRule::Correct })
}

/// Where a credential comes from that takes precedence over the profile's, in words.
fn external_origin(app: &App, credential: &Credential) -> Option<String> {
    let Credential::ApiKey(key) = credential else { return None };
    let is_used = |other: &SecretString| other.expose_secret() == key.expose_secret();
    if app.env.api_key.as_ref().is_some_and(is_used) {
        return Some("OLLAMA_API_KEY".to_owned());
    }
    let file = app.credentials.as_ref()?;
    let read = file.read().ok().filter(|read| is_used(&read.key))?;
    (!read.key.expose_secret().is_empty()).then(|| format!("the key in the credentials file {}", file.path().display()))
}

/// Why a stored secret cannot be used.
pub enum StoredKeyError {
    /// It is missing from the store: sign in again.
    Missing(Problem),
    /// The store holds another device key than the one on record.
    Mismatch(Problem, Box<DeviceKey>),
    /// The store cannot be asked now.
    StoreFailed(anyhow::Error),
}

impl From<StoredKeyError> for anyhow::Error {
    fn from(trouble: StoredKeyError) -> Self {
        match trouble {
            StoredKeyError::Missing(problem) | StoredKeyError::Mismatch(problem, _) => problem.into(),
            StoredKeyError::StoreFailed(error) => error,
        }
    }
}

/// The profile's device key, from the store that its record names. Where a rotation was interrupted while the new key was taken
/// into use, that may be the successor already; the rotation continues from there when it is run again.
///
/// # Errors
/// When it has none, when the store does not give it, when it is not the key of the record.
pub async fn device_key(app: &App, name: &str, profile: &Profile) -> Result<DeviceKey, StoredKeyError> {
    let Some(record) = &profile.device else {
        let message = format!("the profile {name:?} has no device key");
        return Err(StoredKeyError::Missing(Problem::new(Exit::SignIn, message).hint(sign_in_hint(&profile.url))));
    };
    let pem = read_secret(app, EntryKind::DeviceKey, record.store, name, profile).await?;
    let key = DeviceKey::from_openssh(pem.expose_secret(), None)
        .with_context(|| format!("the device key of {name:?} in the {} store", record.store))
        .map_err(StoredKeyError::StoreFailed)?;
    if *key.public() == record.public_key || record.next.as_ref() == Some(key.public()) {
        return Ok(key);
    }
    let message = format!(
        "the {} store holds another device key for {name:?} ({}) than the profile names ({})",
        record.store,
        key.public().fingerprint(),
        record.public_key.fingerprint(),
    );
    Err(StoredKeyError::Mismatch(Problem::new(Exit::SignIn, message).hint(sign_in_hint(&profile.url)), Box::new(key)))
}

/// The profile's API key, from the store that its record names.
///
/// # Errors
/// When it has none, when the store does not give it.
pub async fn api_key(app: &App, name: &str, profile: &Profile) -> Result<SecretString, StoredKeyError> {
    let Some(record) = &profile.api_key else {
        let message = format!("the profile {name:?} has no API key");
        return Err(StoredKeyError::Missing(Problem::new(Exit::SignIn, message).hint(sign_in_hint(&profile.url))));
    };
    read_secret(app, EntryKind::ApiKey, record.store, name, profile).await
}

async fn read_secret(
    app: &App,
    kind: EntryKind,
    store: StoreKind,
    name: &str,
    profile: &Profile,
) -> Result<SecretString, StoredKeyError> {
    let found = app.vault.get(store, &entry_id(kind, name, profile)).await;
    found.map_err(|error| StoredKeyError::StoreFailed(error.into()))?.ok_or_else(|| {
        let what = if kind == EntryKind::ApiKey { "API key" } else { "device key" };
        let message = format!("the {what} of the profile {name:?} is missing from the {store} store");
        StoredKeyError::Missing(Problem::new(Exit::SignIn, message).hint(sign_in_hint(&profile.url)))
    })
}

/// Makes sure, under the lock, that a profile is still what was decided on: a person, a host or another run may have taken
/// its time in between.
///
/// # Errors
/// Exit 1 when it is not; nothing has been changed then.
pub fn require_unchanged(app: &App, name: &str, before: Option<&Profile>) -> anyhow::Result<()> {
    if app.profiles.load()?.profiles.get(name) == before {
        return Ok(());
    }
    let message = format!("another command changed the profile {name:?} at the same time; nothing was changed here");
    Err(Problem::new(Exit::Failed, message)
        .hint("check it with: ollama-auth profile show\nthen run the command again")
        .into())
}

/// Makes sure that a host keeps accounts, before a key of ours is shown to it.
///
/// # Errors
/// Exit 1 for every other kind of host, with what to do instead.
pub async fn require_accounts(session: &Session<'_>) -> anyhow::Result<()> {
    match session.host_kind().await? {
        HostKind::AccountHost => Ok(()),
        other => Err(no_accounts_problem(session, other).into()),
    }
}

/// The error for a host that does not support accounts.
pub fn no_accounts_problem(session: &Session<'_>, kind: HostKind) -> Problem {
    let host = session.base();
    let HostKind::Other(how) = kind else {
        let message = format!("{host} is a plain Ollama server, which needs no sign-in");
        let hint = format!(
            "To protect it, run: ollama-auth gateway serve --upstream {host}\nTo use cloud models through it: ollama-auth signin --server --host {host}\nTo sign in this device to ollama.com: ollama-auth signin --host ollama.com"
        );
        return Problem::new(Exit::Failed, message).hint(hint);
    };
    let message = format!("{host} does not support Ollama accounts: {how}");
    let hint = format!(
        "A plain Ollama server needs no sign-in. To protect it, run: ollama-auth gateway serve --upstream {host}\nFor a host that accepts API keys: ollama-auth signin --with-api-key --host {host}"
    );
    Problem::new(Exit::Failed, message).hint(hint)
}

/// The profile is for another address than `url`: where no profile was named, one that differs in the scheme alone, since a profile
/// is called after host and port.
fn other_address(named: Option<&str>, profile: &Profile, url: &BaseUrl) -> Problem {
    if let Some(name) = named {
        let message = format!("the profile {name:?} is for {}, not for {url}", profile.url);
        return Problem::new(Exit::Usage, message).hint("name another profile, or leave out --host");
    }
    let (known, wanted) = (profile.url.scheme(), url.scheme());
    let message = format!("you are signed in to the {known}:// address {}, not to {url}", profile.url);
    Problem::new(Exit::Usage, message).hint(format!("for {wanted}, add --profile NAME"))
}

/// A file that was named for this very call is for another host than the one that was named beside it.
fn credentials_host_mismatch(path: &Path, other: &BaseUrl, target: &Target) -> Problem {
    let message = format!(
        "the credentials file {} is for {other}, not for {} ({})",
        path.display(),
        target.url,
        target.reason.describe()
    );
    let hint = "a credential is sent to its own host only: leave out one of the two, or name another file";
    Problem::new(Exit::Usage, message).hint(hint)
}

/// What to say of an `OLLAMA_AUTH_CREDENTIALS` that is not used.
pub fn unused_file_note(other: &BaseUrl, url: &BaseUrl) -> String {
    format!("the credentials file in OLLAMA_AUTH_CREDENTIALS is for {other}, so it is not sent to {url}")
}

/// The advice to sign in to a host.
pub fn sign_in_hint(url: &BaseUrl) -> String {
    format!("sign in: ollama-auth signin --host {}", quoted(url))
}

/// What to say of an `OLLAMA_API_KEY` that is not used.
pub fn withheld_note(withheld: WithheldReason, url: &BaseUrl) -> String {
    match withheld {
        WithheldReason::HostNotNamed => {
            format!(
                "OLLAMA_API_KEY is set but not sent to {url}: if the key is for this host, add --host {url} or set OLLAMA_HOST"
            )
        }
        WithheldReason::BelongsToOllamaCom => {
            format!(
                "OLLAMA_API_KEY looks like a key of ollama.com, so it is not sent to {url}; to send it, add --host {url}"
            )
        }
        WithheldReason::BelongsToGateway => {
            format!(
                "OLLAMA_API_KEY is a gateway's key, so it is not sent to {url}: set OLLAMA_HOST to the gateway, or add --host GATEWAY"
            )
        }
        WithheldReason::PlainHttp => {
            format!("OLLAMA_API_KEY is not sent to {url} over plain http: use https, or pass --allow-insecure-http")
        }
    }
}
