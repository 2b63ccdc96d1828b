//! The proxy of a program: a free port of this machine, for programs of this account.

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::app::App;
use crate::commands::proxy::PreparedProxy;
use crate::profile::{CredentialSource, TokenOrigin};
use crate::proxy::{KNOWS_CALLERS, ProxyOptions, Token};

/// The key that a program gets. It needs none, but many programs insist on one; the proxy and gateways ignore this one.
const PLACEHOLDER: &str = "ollama";

/// A proxy as a program uses it.
pub(super) struct ProxyAddress {
    /// Its URL, with the token of this proxy where the system does not say which account a caller has: not every program sends a key.
    pub url: SecretString,
    /// The key to send, which is a placeholder.
    pub key: SecretString,
    /// The proxy gets its tokens from GitHub, where the program is not to get others.
    pub uses_job_identity: bool,
}

/// A proxy that listens, and its address.
pub(super) struct ProgramProxy {
    /// The proxy.
    pub proxy: PreparedProxy,
    /// Its address.
    pub address: ProxyAddress,
}

impl ProgramProxy {
    /// Listens at a free port.
    ///
    /// # Errors
    /// When there is no credential, the port cannot be bound, or the store cannot be read.
    pub async fn new(app: &App) -> anyhow::Result<Self> {
        let token = if KNOWS_CALLERS { None } else { Some(random_token()?) };
        let options = ProxyOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            origins: Vec::new(),
            token: token.as_ref().map(Token::new).transpose()?,
        };
        let proxy = PreparedProxy::new(app, options).await?;
        let below = token.map(|token| format!("/{}", token.expose_secret())).unwrap_or_default();
        let url = SecretString::from(format!("http://{}{below}", proxy.local()));
        let uses_job_identity = proxy.source() == CredentialSource::Token(TokenOrigin::GitHub);
        let address = ProxyAddress { url, key: SecretString::from(PLACEHOLDER), uses_job_identity };
        Ok(Self { proxy, address })
    }
}

fn random_token() -> anyhow::Result<SecretString> {
    let mut bytes = Zeroizing::new([0; 24]);
    getrandom::fill(&mut *bytes).context("no random bytes")?;
    Ok(SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(*bytes)))
}
