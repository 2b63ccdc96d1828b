//! Finds out who makes a request.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use axum::http::HeaderMap;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http_body::{Frame, SizeHint};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use uuid::Uuid;

use crate::gateway::active_config::ConfigHandle;
use crate::gateway::authn::addresses::refused_address;
use crate::gateway::authn::caller::{self, Caller, Credential};
use crate::gateway::authn::credential;
use crate::gateway::authn::credential::Presented;
use crate::gateway::authn::replay_guard::ReplayGuard;
use crate::gateway::authn::session::Sessions;
use crate::gateway::authn::signature::SignatureCache;
use crate::gateway::authn::token_cache::TokenCache;
use crate::gateway::clock::{Clock, Moment};
use crate::gateway::directory::{Directory, Known};
use crate::gateway::log_throttle::LogThrottle;
use crate::gateway::oidc::Issuers;
use crate::gateway::origin::Origin;
use crate::gateway::pending_devices::PendingDevices;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::refusals::Refusals;
use crate::gateway::rejection::Rejection;
use crate::gateway::routes::Changes;
use crate::gateway::store::{Actor, Event, KeyRecord, User};
use crate::gateway::target::Target;
use crate::keyspec::{ApiKey, KeyHash, KeyId};

/// Devices that ask for approval of which the database is told: in all, and at once.
const SHARED_A_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
const SHARED_AT_ONCE: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// The action of an event: a credential that is not accepted.
pub(super) const REFUSED: &str = "credential.refused";

/// Checks credentials: signatures of devices, API keys, tokens of workloads, cookies of browser sessions.
pub struct Authenticator {
    pub(super) directory: Directory,
    pub(super) pending_devices: Arc<PendingDevices>,
    sessions: Arc<Sessions>,
    pub(super) replay_guard: ReplayGuard,
    pub(super) signature_cache: SignatureCache,
    pub(super) issuers: Arc<Issuers>,
    pub(super) token_cache: TokenCache,
    pub(super) log_throttle: Arc<LogThrottle>,
    pub(super) refusals: Arc<Refusals>,
    pub(super) config: Arc<ConfigHandle>,
    pub(super) clock: Clock,
    /// How often the database is told of devices that ask for approval.
    pub(super) shared_requests: DefaultDirectRateLimiter,
    /// No signature from before this is accepted, since an earlier gateway may have accepted it.
    pub(super) started: Moment,
}

/// The parts of the gateway that an [`Authenticator`] needs.
pub struct AuthenticatorParts {
    pub directory: Directory,
    pub pending_devices: Arc<PendingDevices>,
    pub sessions: Arc<Sessions>,
    pub issuers: Arc<Issuers>,
    pub log_throttle: Arc<LogThrottle>,
    pub refusals: Arc<Refusals>,
    pub config: Arc<ConfigHandle>,
    pub clock: Clock,
}

impl Authenticator {
    /// Accepts signatures from this second on. If an earlier gateway may have accepted signatures in this second, call it in the next one:
    /// `wait_for_next_second` in `src/commands/gateway/serve.rs` does.
    pub fn new(parts: AuthenticatorParts) -> Self {
        let AuthenticatorParts { directory, pending_devices, sessions, issuers, log_throttle, refusals, config, clock } =
            parts;
        let started = clock.moment();
        // Until when an earlier gateway may have accepted signatures of each device, whatever the clock shows now.
        let marks = directory.devices().into_iter().map(|device| {
            let used = device.last_used_at.unwrap_or(device.created_at);
            (device.key.clone(), used.max(device.created_at))
        });
        let (replay_guard, signature_cache) = (ReplayGuard::new(marks.collect()), SignatureCache::default());
        Self {
            directory,
            pending_devices,
            sessions,
            replay_guard,
            signature_cache,
            issuers,
            token_cache: TokenCache::default(),
            log_throttle,
            refusals,
            config,
            clock,
            shared_requests: RateLimiter::direct(Quota::per_second(SHARED_A_SECOND).allow_burst(SHARED_AT_ONCE)),
            started,
        }
    }

    /// Finds out who asks. `changes` says what the request changes, and with that how often a signature is good for it.
    ///
    /// # Errors
    /// 400 for credentials that are malformed or contradict each other, 401 for none and for one that is not accepted (with a sign-in link for
    /// a key that can be approved), 403 for a disabled account, for what is suspended, for an address that is not accepted, and for a refused device, 429 for too many signatures, 503 while the database
    /// has not answered for longer than `offline-grace`.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        target: &Target<'_>,
        origin: Origin,
        changes: Changes,
    ) -> Result<Caller, Rejection> {
        self.refuse_stale()?;
        let second = credential::second_proof(headers)?;
        let caller = match credential::presented(headers)? {
            Presented::Nothing if second.is_some() => {
                return Err(Rejection::unauthorized(
                    "unauthorized: X-Ollama-Auth-Signature is a second proof; send an API key with it",
                ));
            }
            Presented::Signature(_) if second.is_some() => {
                let message = "X-Ollama-Auth-Signature belongs beside an API key, and Authorization holds a signature";
                return Err(Rejection::new(400, message));
            }
            Presented::Token(_) if second.is_some() => {
                let message =
                    "X-Ollama-Auth-Signature belongs beside an API key, and this request holds a token of an issuer";
                return Err(Rejection::new(400, message));
            }
            Presented::Token(token) => self.by_token(&token, origin).await?,
            Presented::Nothing => {
                let url = &self.config.get().url;
                let message = format!(
                    "unauthorized: not signed in to {url}; send an API key, or sign in (`ollama` signs with OLLAMA_AUTH=1)"
                );
                return Err(Rejection::unauthorized(message));
            }
            Presented::Signature(header) => self.by_signature(&header, target, origin, changes).await?,
            Presented::Key(key) => {
                let caller = self.by_key(&key, origin).await?;
                match second {
                    Some(header) => self.with_second_proof(caller, &header, target, origin, changes).await?,
                    None => caller,
                }
            }
        };
        self.refuse_inactive(&caller, origin)?;
        let caller = self.in_environment(caller, origin)?;
        self.note_key_use(&caller, origin).await?;
        Ok(caller)
    }

    /// Refuses a request that needs no credential but holds an API key or a token, if that is not accepted.
    ///
    /// # Errors
    /// As [`identify`](Self::identify).
    pub async fn refuse_bad_key(&self, headers: &HeaderMap, origin: Origin) -> Result<(), Rejection> {
        let caller = match credential::presented(headers)? {
            Presented::Nothing | Presented::Signature(_) => return Ok(()),
            Presented::Key(key) => {
                self.refuse_stale()?;
                self.by_key(&key, origin).await?
            }
            Presented::Token(token) => {
                self.refuse_stale()?;
                self.by_token(&token, origin).await?
            }
        };
        self.refuse_inactive(&caller, origin)?;
        let caller = self.in_environment(caller, origin)?;
        self.note_key_use(&caller, origin).await
    }

    /// Refuses to decide by a memory that may be too old: credentials may have been revoked at another gateway since.
    ///
    /// # Errors
    /// 503.
    fn refuse_stale(&self) -> Result<(), Rejection> {
        if self.directory.staleness() <= self.config.get().offline_grace {
            return Ok(());
        }
        let message = "this gateway cannot reach its database, so it does not know who may use it";
        Err(Rejection::new(503, message).header("retry-after", "10"))
    }

    /// Refuses an account that is disabled, what is suspended, a role that is not defined (any more), and an address that is not accepted.
    fn refuse_inactive(&self, caller: &Caller, origin: Origin) -> Result<(), Rejection> {
        let user = caller.user();
        let refuse = |subject: &str, code, reason: &str| {
            let event = Event::new(self.clock.now(), caller.actor(), REFUSED, subject).refused(code);
            self.note_refusal(event.of_account(user), origin, reason);
        };
        if user.disabled {
            refuse(&user.name, RefusalCode::DisabledAccount, "the account is disabled");
            return Err(Rejection::new(403, "this account is disabled").because(RefusalCode::DisabledAccount));
        }
        if let Some((what, name)) = caller.suspended() {
            refuse(&name, RefusalCode::Suspended, &format!("the {what} is suspended"));
            return Err(caller::credential_suspended(what));
        }
        if caller.role().base.is_none() {
            let message = format!("the role {} of this account is not defined at this gateway", user.role);
            refuse(&user.name, RefusalCode::UndefinedRole, &message);
            return Err(Rejection::new(403, message).because(RefusalCode::UndefinedRole));
        }
        self.refuse_address(caller, origin)
    }

    /// The caller that was proved, with what its role allows now.
    pub(super) fn caller(&self, user: Arc<User>, credential: Credential, address: IpAddr) -> Caller {
        let role = self.directory.role(&user.role);
        Caller::new(user, role, credential, address)
    }

    /// Who is signed in with that session cookie, if the account is neither disabled nor suspended, and whether the password was typed lately. Whether it
    /// is accepted from that address is not checked yet. Only the pages ask: a cookie opens no route of the API.
    pub fn identify_session(&self, cookie: &str, address: IpAddr) -> Option<(Caller, bool)> {
        let found = self.sessions.find(cookie, self.clock.now())?;
        let user = self.directory.user(found.user).filter(|user| user.is_active())?;
        let config = self.config.get();
        if !config.local_accounts {
            // Only a person of a provider can have signed in.
            let identity = self.directory.identity_of(user.id)?;
            config.oidc.of_issuer(&identity.issuer)?;
        }
        Some((self.caller(user, Credential::Session(found.handle), address), found.fresh))
    }

    /// Whether a caller's credential is still accepted: a request can take its time.
    pub fn still_accepts(&self, caller: &Caller) -> bool {
        self.config.get().addresses.allows(caller.address()) && caller.holds(&self.directory, self.clock.now())
    }

    /// Whose API key it is.
    ///
    /// # Errors
    /// 401, saying whether it is invalid, unknown, revoked or expired: the holder of the whole key may know.
    async fn by_key(&self, text: &SecretString, origin: Origin) -> Result<Caller, Rejection> {
        let now = self.clock.now();
        let unknown = || {
            let event =
                Event::new(now, Actor::Gateway, REFUSED, "(an unknown API key)").refused(RefusalCode::UnknownKey);
            self.note_refusal(event, origin, "unknown API key");
            let message = format!("unauthorized: {}", credential::problem_of_key(text.expose_secret()));
            Rejection::unauthorized(message).because(RefusalCode::UnknownKey)
        };
        let key = ApiKey::parse(text.expose_secret()).map_err(|_| unknown())?;
        let hash = key.hash();
        let Some(known) = self.directory.key(&hash) else {
            let ended = self.directory.ended_key(&hash).ok_or_else(unknown)?;
            if ended.is_revoked || ended.expires_at.is_some_and(|end| end <= now) {
                let (how, code) = end(ended.is_revoked);
                return Err(self.ended(&ended.id, ended.user, how, code, origin));
            }
            // The clock was set back: it is valid after all.
            if let Err(error) = Box::pin(self.directory.revive(&ended.id, now)).await {
                tracing::error!(%error, "key could not be read");
                return Err(Rejection::new(503, "the key could not be read").header("retry-after", "10"));
            }
            let known = self.directory.key(&hash).ok_or_else(unknown)?;
            return self.with_key(known, &hash, now, origin);
        };
        self.with_key(known, &hash, now, origin)
    }

    /// The caller with a key that has not ended, unless it expired since that was looked at.
    fn with_key(&self, known: Known<KeyRecord>, hash: &KeyHash, now: i64, origin: Origin) -> Result<Caller, Rejection> {
        let key = &known.credential;
        // The look-up compares hashes of what the caller sent; this comparison is in constant time besides.
        if key.hash != *hash {
            return Err(Rejection::unauthorized("unauthorized: unknown API key").because(RefusalCode::UnknownKey));
        }
        if !key.is_live(now) {
            let (how, code) = end(key.revoked_at.is_some());
            return Err(self.ended(&key.id, key.user, how, code, origin));
        }
        let caller = self.caller(known.user, Credential::Key(known.credential.clone()), origin.address);
        let key = &known.credential;
        if !caller.role().allows_age(key, now) {
            return Err(self.ended(
                &key.id,
                key.user,
                "is older than the role of its owner allows",
                RefusalCode::KeyAge,
                origin,
            ));
        }
        Ok(caller)
    }

    /// 401 for a key that has ended.
    pub(super) fn ended(&self, id: &KeyId, user: Uuid, how: &str, code: RefusalCode, origin: Origin) -> Rejection {
        let event = Event::new(self.clock.now(), Actor::Gateway, REFUSED, id.as_str()).refused(code);
        let event = match self.directory.user(user) {
            Some(user) => event.of_account(&user),
            None => event,
        };
        self.note_refusal(event, origin, how);
        Rejection::unauthorized(format!("unauthorized: this API key {how}")).because(code)
    }

    /// Why a caller is refused whose credential is not [accepted](Self::still_accepts) any more.
    pub fn refusal(&self, caller: &Caller) -> Rejection {
        match self.config.get().addresses.allows(caller.address()) {
            true => caller.refusal(&self.directory),
            false => refused_address(caller.address()),
        }
    }

    /// Counts a request that a caller may not make; `route` is its path in the table of routes.
    pub fn note_denial(&self, caller: &Caller, route: &'static str, rejection: &Rejection, origin: Origin) {
        let event = Event::new(self.clock.now(), caller.actor(), "request.denied", route);
        let event = event.of_account(caller.user()).refused(rejection.code().unwrap_or(RefusalCode::Rights));
        self.note_refusal(event, origin, rejection.message());
    }

    pub(super) fn note_refusal(&self, event: Event, origin: Origin, reason: &str) {
        self.refusals.note(event.from(origin).with("reason", reason));
    }
}

/// How a key ended, and the code of it.
fn end(is_revoked: bool) -> (&'static str, RefusalCode) {
    match is_revoked {
        true => ("was revoked", RefusalCode::RevokedKey),
        false => ("has expired", RefusalCode::ExpiredKey),
    }
}

/// The credential is not accepted any more; holds what to answer, if that is still possible.
#[derive(Debug, Error)]
#[error("the credential is no longer valid")]
pub struct CredentialRevoked(pub Rejection);

/// A request's body whose sender must stay authorised while it arrives. Otherwise someone who begins requests with a stolen key and sends
/// them a byte at a time could keep using it after it was revoked.
pub struct RevalidatingBody<B> {
    body: B,
    caller: Caller,
    authenticator: Arc<Authenticator>,
    /// Something was waited for since it was last asked whether the credential holds.
    waited: bool,
}

impl<B> RevalidatingBody<B> {
    /// The body of a request of `caller`, who was accepted just now.
    pub fn new(body: B, caller: Caller, authenticator: Arc<Authenticator>) -> Self {
        Self { body, caller, authenticator, waited: false }
    }
}

impl<B> HttpBody for RevalidatingBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            this.waited = true;
            return Poll::Pending;
        };
        let asked = std::mem::take(&mut this.waited);
        if asked && !this.authenticator.still_accepts(&this.caller) {
            return Poll::Ready(Some(Err(CredentialRevoked(this.authenticator.refusal(&this.caller)).into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
