//! One host with one credential: builds, authenticates and sends requests, and turns what comes back into a `Response`
//! that succeeded or an `ApiError` that says why not.

mod both_proofs;
mod failure;
mod request;
mod signing;
mod workload;

use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use super::clock::offset_in_words;
use super::credential::Credential;
use super::error::ApiError;
use super::host_facts::{ClockRule, HostFacts};
use super::key_expiry::{KeyExpiry, end_of_key, fingerprint};
use super::transport::{ListenerRule, Transport};
use crate::address::{BaseUrl, Scheme};
use crate::http::listener::foreign_account;
use crate::identity::BodyDigest;
use crate::keyspec::KeyForm;

use both_proofs::BothProofs;
#[cfg(feature = "gateway")]
pub(super) use both_proofs::second_proof;
pub use both_proofs::{Fetched, ProofSource};
pub(super) use signing::{authorize, signing_time};

/// A longer body is not bound to its signature: a gateway takes no longer one for a change.
const MAX_DIGESTED_BODY: usize = 1024 * 1024;

/// A host and the credential for it. The two cannot be parted: a credential is for one origin.
#[derive(Debug, Clone)]
pub struct Session<'t> {
    transport: &'t Transport,
    base: BaseUrl,
    credential: Credential,
    proofs: BothProofs<'t>,
    /// Where the credential comes from, for messages: a variable, a file.
    origin: Option<String>,
    /// What to do where the host refuses the credential, or that there is none.
    advice: Option<String>,
    /// The account that its loopback port belonged to at the sign-in.
    known_listener: Option<u32>,
    /// A person has just decided to use this host.
    signing_in: bool,
    clock_rule: ClockRule,
    facts: Arc<HostFacts>,
    now: fn() -> i64,
}

impl<'t> Session<'t> {
    /// Binds `credential` to `base`. `now` gives the Unix time in seconds.
    ///
    /// # Errors
    /// [`ApiError::InsecureHttp`] when a credential would go over plain http to a host that is not this machine, unless
    /// `allow_insecure_http`; [`ApiError::GatewayKey`] when a gateway's key would go to ollama.com, and [`ApiError::GatewayToken`] when a
    /// OIDC token would.
    pub fn new(
        transport: &'t Transport,
        base: BaseUrl,
        credential: Credential,
        allow_insecure_http: bool,
        now: fn() -> i64,
    ) -> Result<Self, ApiError> {
        if !credential.is_none() {
            Self::may_carry_credential(&base, allow_insecure_http)?;
        }
        if let Credential::ApiKey(key) = &credential
            && base.as_origin().belongs_to_ollama_com()
            && KeyForm::of(key.expose_secret()) == KeyForm::Gateway
        {
            return Err(ApiError::GatewayKey { host: base.to_string() });
        }
        if matches!(credential, Credential::Workload(_)) && base.as_origin().belongs_to_ollama_com() {
            return Err(ApiError::GatewayToken { host: base.to_string() });
        }
        let facts = transport.facts(&base);
        Ok(Self {
            transport,
            base,
            credential,
            proofs: BothProofs::default(),
            origin: None,
            advice: None,
            known_listener: None,
            signing_in: false,
            clock_rule: ClockRule::default(),
            facts,
            now,
        })
    }

    /// Whether a credential may be sent to `base` at all, asked before one is made.
    ///
    /// # Errors
    /// As for [`Session::new`].
    pub fn may_carry_credential(base: &BaseUrl, allow_insecure_http: bool) -> Result<(), ApiError> {
        let exposed = base.scheme() == Scheme::Http && !base.is_loopback();
        if exposed && !allow_insecure_http {
            return Err(ApiError::InsecureHttp { host: base.to_string() });
        }
        Ok(())
    }

    /// The host.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Names what the credential comes from, such as `OLLAMA_API_KEY`, so that a rejection can say what to replace.
    #[must_use]
    pub fn with_credential_origin(self, origin: Option<String>) -> Self {
        Self { origin, ..self }
    }

    /// Says what to do where the host answers 401, if a sign-in is not what helps.
    #[must_use]
    pub fn with_advice(self, advice: Option<String>) -> Self {
        Self { advice, ..self }
    }

    /// The account that the host's loopback port belonged to when a person signed in: it may belong to it again.
    #[must_use]
    pub fn with_known_listener(self, known_listener: Option<u32>) -> Self {
        Self { known_listener, ..self }
    }

    /// What a difference between the clocks leads to where the device key signs. [`ClockRule::Correct`] is not for a key that other hosts
    /// may know: a host could get signatures for a later time, and use them there.
    #[must_use]
    pub fn with_clock_rule(self, clock_rule: ClockRule) -> Self {
        Self { clock_rule, ..self }
    }

    /// The host named itself a gateway of ours at the sign-in: its answers need not tell first.
    #[must_use]
    pub fn with_known_gateway(self, is_gateway: bool) -> Self {
        if is_gateway {
            self.facts.set_gateway();
        }
        self
    }

    /// Whether the host has named itself a gateway of ours.
    pub fn is_gateway(&self) -> bool {
        self.facts.is_gateway()
    }

    /// For a sign-in: a program of another account on a loopback port is warned about, and then used.
    #[must_use]
    pub fn signing_in(self) -> Self {
        Self { signing_in: true, ..self }
    }

    /// The account behind the host's port that is neither ours, nor root, nor a service: what a sign-in records.
    pub fn foreign_listener(&self) -> Option<u32> {
        let addresses = self.base.loopback_addresses();
        let local = self.base.scheme() == Scheme::Http && !addresses.is_empty();
        local.then(|| foreign_account(self.base.port(), &addresses))?.map(|account| account.id)
    }

    fn listener_rule(&self) -> ListenerRule {
        let is_bearer = matches!(self.current_credential(), Credential::ApiKey(_) | Credential::Workload(_));
        let refuses = is_bearer && !self.signing_in;
        ListenerRule { known: self.known_listener, refuses }
    }

    /// What to do where the host answers 401, if that was said.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// Where the credential comes from, if that was named.
    pub fn credential_origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Whether requests carry a credential.
    pub fn has_credential(&self) -> bool {
        !self.credential.is_none()
    }

    /// Whether the credential is a device's key.
    pub fn is_of_device(&self) -> bool {
        matches!(self.credential, Credential::Device(_))
    }

    /// The Unix time, in seconds.
    pub(super) fn now(&self) -> i64 {
        (self.now)()
    }

    /// The same host, without the credential.
    pub fn unsigned(&self) -> Session<'t> {
        self.with_throwaway(Credential::None)
    }

    /// The same host with a throwaway credential that no host knows: it needs no protection, so plain
    /// http is not asked about.
    pub(super) fn with_throwaway(&self, credential: Credential) -> Self {
        let proofs = BothProofs::default();
        Session { credential, proofs, origin: None, advice: None, clock_rule: ClockRule::Ignore, ..self.clone() }
    }

    /// What one request to `path` (which begins with `/`) with these decoded query parameters takes: the full URL, and the
    /// `Authorization` header where there is a credential. A signature holds for this method, path and query alone, now, and adds
    /// its time to the URL's query.
    ///
    /// # Errors
    /// [`ApiError::Unsendable`].
    pub fn authorize(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(String, Option<HeaderValue>), ApiError> {
        authorize(&self.base, &self.current_credential(), self.signing_time(), method, path, query)
    }

    /// The time that signatures name, in Unix seconds.
    fn signing_time(&self) -> i64 {
        signing_time(&self.facts, self.clock_rule, self.now())
    }

    /// Takes note of an answer to a request to `path`. `true`: the request may be sent once more, signed with the host's time; never if
    /// it is sent `once`.
    pub(super) fn learn(&self, path: &str, status: StatusCode, headers: &HeaderMap, once: bool) -> bool {
        self.facts.learn(headers);
        if let Some(notice) = self.facts.new_notice(status, headers) {
            self.transport.warn(&format!("notice from {}: {notice}", self.base));
        }
        self.tell_key_expiry(headers);
        if self.clock_rule == ClockRule::Ignore || !self.signs() {
            return false;
        }
        if status == StatusCode::UNAUTHORIZED {
            if once || self.clock_rule != ClockRule::Correct {
                // The error names the offset.
                return false;
            }
            let corrected = self.facts.correct(status, headers, self.now());
            if let Some(ahead) = corrected {
                self.report_offset(ahead, "; until then, requests to it are signed with its time");
            }
            return corrected.is_some();
        }
        // Other responses may have the `Date` of the upstream server.
        let is_from_gateway = path == "/api/me" || path.starts_with("/api/user/");
        if is_from_gateway && let Some(ahead) = HostFacts::reportable_offset(headers, self.now()) {
            self.report_offset(ahead, "");
        }
        false
    }

    /// Tells of the end of the API key, if the answer says that it is near.
    fn tell_key_expiry(&self, headers: &HeaderMap) {
        let Some(ends_at) = end_of_key(headers) else { return };
        let Credential::ApiKey(key) = self.current_credential() else { return };
        let key = fingerprint(&key);
        if self.facts.tells_end_of(&key) {
            let (host, origin, now) = (&self.base, self.credential_origin(), self.now());
            self.transport.tell_expiry(&KeyExpiry { host, key, origin, ends_at, now });
        }
    }

    fn report_offset(&self, ahead: i64, consequence: &str) {
        if self.facts.report_once() {
            let (offset, host) = (offset_in_words(ahead), &self.base);
            self.transport
                .warn(&format!("this machine's clock is {offset} that of {host}: set the clock{consequence}"));
        }
    }

    /// The parameter that binds a signature to a body, where a gateway checks it.
    pub(super) fn body_digest(&self, body: &[u8]) -> Option<String> {
        if !self.signs() || !self.facts.is_gateway() || body.is_empty() || body.len() > MAX_DIGESTED_BODY {
            return None;
        }
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).ok()?;
        Some(BodyDigest::parameter_of(body, u64::from_ne_bytes(nonce)))
    }

    /// What the host has told so far, and the rule, for another that is bound to it.
    #[cfg(feature = "gateway")]
    pub(super) fn clock_facts(&self) -> (Arc<HostFacts>, ClockRule) {
        (self.facts.clone(), self.clock_rule)
    }

    /// The client for this host.
    pub(super) fn client(&self) -> Result<reqwest::Client, ApiError> {
        self.transport.client(&self.base, self.listener_rule())
    }

    /// The credential, for a trace that names its kind, and for another that is bound to the same host.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The clock, for another that is bound to the same host.
    #[cfg(feature = "gateway")]
    pub(super) fn clock(&self) -> fn() -> i64 {
        self.now
    }
}
