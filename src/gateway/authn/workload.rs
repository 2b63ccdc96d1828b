//! Programs with a token of an issuer: the token is verified with the issuer's keys, and the first workload rule that matches it says who
//! asks.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::authenticator::{Authenticator, REFUSED};
use super::caller::{Caller, Credential};
use super::token_cache::digest;
use crate::gateway::oidc::TokenError;
use crate::gateway::origin::Origin;
use crate::gateway::refusal_code::RefusalCode;
use crate::gateway::rejection::Rejection;
use crate::gateway::store::{Actor, Event, User};
use crate::gateway::workload::{Refused, WorkloadToken, Workloads};

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
        let (since, clock) = (self.clock.elapsed(), &self.clock);
        let (issuer, verified) = workloads.verify(&self.issuers, text, self.tolerance(), || clock.now()).await;
        let token = verified.map_err(|refused| self.refuse_token(&refused, issuer.as_deref(), origin))?;
        let token = Arc::new(token);
        self.token_cache.insert(key, token.clone(), workloads, since);
        Ok(token)
    }

    /// The response to a token that is not accepted, which is recorded.
    fn refuse_token(&self, refused: &Refused, issuer: Option<&str>, origin: Origin) -> Rejection {
        let (code, message) = (code_of(refused), refused.message());
        let event = Event::new(self.clock.now(), Actor::Gateway, REFUSED, "(a token)").refused(code);
        let event = event.with("issuer", issuer.map(shown));
        let event = match refused {
            Refused::NoRule(token, no_rule) => event
                .with("token_subject", token.text("sub").map(shown))
                .with("rule", no_rule.as_ref().map(|no_rule| no_rule.rule.as_str()))
                .with("mismatch", no_rule.as_ref().map(|no_rule| shown(&no_rule.mismatch.to_string()))),
            _ => event,
        };
        // What is wrong with the issuer is for the administrator.
        let reason = match refused {
            Refused::Token(error) => error.to_string(),
            _ => message.clone(),
        };
        self.note_refusal(event, origin, &reason);
        match code {
            RefusalCode::IssuerUnavailable => Rejection::new(503, message).header("retry-after", RETRY_AFTER),
            _ => Rejection::unauthorized(format!("unauthorized: {message}")),
        }
        .because(code)
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

fn code_of(refused: &Refused) -> RefusalCode {
    match refused {
        Refused::UnknownIssuer => RefusalCode::UnknownIssuer,
        Refused::Token(TokenError::Unavailable(_)) => RefusalCode::IssuerUnavailable,
        Refused::Token(TokenError::Expired) => RefusalCode::ExpiredToken,
        Refused::NoRule(_, Some(no_rule)) if no_rule.is_too_old() => RefusalCode::ExpiredToken,
        Refused::NoRule(..) => RefusalCode::NoWorkload,
        Refused::NoIssuer | Refused::Token(_) => RefusalCode::InvalidToken,
    }
}

/// Text of a token, as much of it as is repeated.
fn shown(text: &str) -> String {
    text.chars().take(LONGEST_SHOWN).collect()
}
