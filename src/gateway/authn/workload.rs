//! Programs with a token of an issuer: the token is verified with the issuer's keys, and the first workload rule that matches it says who
//! asks.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::authenticator::{Authenticator, REFUSED};
use super::caller::{Caller, Credential};
use super::token_cache::digest;
use crate::gateway::oidc::{Expected, TokenError, TokenKind, unverified_issuer};
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Actor, Event, User};
use crate::gateway::workload::{Mismatch, NoRule, WorkloadToken, Workloads};

/// The longest text of a token that an event repeats, in characters.
const LONGEST_SHOWN: usize = 200;
/// Seconds after which a program may try again whose issuer does not answer.
const RETRY_AFTER: &str = "30";

impl Authenticator {
    /// Whose token it is.
    ///
    /// # Errors
    /// 401 for a token that is not accepted, 503 while the keys of its issuer, or the database for a new account, cannot be had.
    pub(super) async fn by_token(&self, text: &SecretString, origin: Origin) -> Result<Caller, Rejection> {
        let text = text.expose_secret();
        let (workloads, key) = (self.directory.workloads(), digest(text));
        let token = match self.token_cache.get(&key, &workloads, &self.issuers, self.clock.moment()) {
            Some(token) => token,
            None => Box::pin(self.verify_token(text, key, workloads, origin)).await?,
        };
        let user = match self.directory.user(token.rule.account) {
            Some(user) => user,
            None => Box::pin(self.service_account(&token)).await?,
        };
        Ok(self.caller(user, Credential::Workload(token), origin.address))
    }

    async fn verify_token(
        &self,
        text: &str,
        key: [u8; 32],
        workloads: Workloads,
        origin: Origin,
    ) -> Result<Arc<WorkloadToken>, Rejection> {
        let named = unverified_issuer(text);
        let issuer =
            named.as_deref().and_then(|named| workloads.of_issuer(named).next()).map(|rule| rule.issuer.clone());
        let event = |code| {
            let event = Event::new(self.clock.now(), Actor::Gateway, REFUSED, "(a token)").refused(code);
            event.with("issuer", named.as_deref().map(shown))
        };
        let Some(issuer) = issuer else {
            let (code, message) = match named {
                Some(_) => {
                    (RefusalCode::UnknownIssuer, "this gateway accepts no tokens of the issuer that the token names")
                }
                None => (RefusalCode::InvalidToken, "the token is malformed: it names no issuer"),
            };
            self.note_refusal(event(code), origin, message);
            return Err(refused(message, code));
        };
        let audience: Vec<&str> = workloads.of_issuer(issuer.as_str()).map(|rule| &*rule.audience).collect();
        let leeway = self.tolerance();
        let expected = Expected { issuer: &issuer, audience: &audience, leeway, kind: TokenKind::Access };
        let (generation, since) = (self.issuers.generation(&issuer), self.clock.elapsed());
        let verified = self.issuers.verify(text, &expected).await;
        let now = self.clock.now();
        // The leeway is for the issuer's clock; the end of a token is the end.
        let verified =
            verified.and_then(|token| if now < token.expires_at { Ok(token) } else { Err(TokenError::Expired) });
        let verified = verified.map_err(|error| {
            let code = match &error {
                TokenError::Unavailable(_) => RefusalCode::IssuerUnavailable,
                TokenError::Expired => RefusalCode::ExpiredToken,
                _ => RefusalCode::InvalidToken,
            };
            self.note_refusal(event(code), origin, &error.to_string());
            match code {
                // What is wrong with the issuer is for the administrator.
                RefusalCode::IssuerUnavailable => {
                    Rejection::new(503, "the keys of the token's issuer cannot be read now")
                        .because(code)
                        .header("retry-after", RETRY_AFTER)
                }
                code => refused(&error.to_string(), code),
            }
        })?;
        let token = workloads.matching(&verified, now).map_err(|no_rule| {
            let (code, message) = match &no_rule {
                Some(NoRule { mismatch: Mismatch::TooOld, .. }) => {
                    (RefusalCode::ExpiredToken, "the token was issued longer ago than this gateway allows")
                }
                _ => (
                    RefusalCode::NoWorkload,
                    "no workload rule of this gateway matches the token; its event log says which claim differs",
                ),
            };
            let event = event(code).with("token_subject", verified.text("sub").map(shown));
            let event = match no_rule {
                Some(NoRule { rule, mismatch }) => {
                    event.with("rule", rule.as_str()).with("mismatch", shown(&mismatch.to_string()))
                }
                None => event,
            };
            self.note_refusal(event, origin, "no workload rule matches the token");
            refused(message, code)
        })?;
        let token = Arc::new(token);
        if let Some(generation) = generation {
            self.token_cache.insert(key, token.clone(), workloads, generation, since);
        }
        Ok(token)
    }

    /// The service account of a rule, which is made if it is not there yet.
    async fn service_account(&self, token: &WorkloadToken) -> Result<Arc<User>, Rejection> {
        let made = self.directory.service_account(token.rule.name, self.clock.now()).await;
        made.map_err(|error| {
            if self.log_throttle.allow("service accounts", self.clock.now()) {
                tracing::error!(%error, rule = token.rule.name.as_str(), "service account could not be created");
            }
            Rejection::new(503, "the service account of the workload rule could not be created")
                .header("retry-after", "10")
        })
    }
}

/// 401 for a token.
fn refused(message: &str, code: RefusalCode) -> Rejection {
    Rejection::unauthorized(format!("unauthorized: {message}")).because(code)
}

/// Text of a token, as much of it as is repeated.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_SHOWN).collect()
}
