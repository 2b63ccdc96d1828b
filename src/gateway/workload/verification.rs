//! Verifies a token for the rules: with the keys of the issuer that it names, and for the audiences of that issuer's rules.

use super::matching::{NoRule, WorkloadToken};
use super::rule::Workloads;
use crate::gateway::oidc::{Expected, Issuers, TokenError, TokenKind, Verified, unverified_issuer};

/// Why no rule accepts a token.
#[derive(Debug)]
pub enum Refused {
    /// It names no issuer.
    NoIssuer,
    /// No rule is for tokens of the issuer that it names.
    UnknownIssuer,
    /// It is not what its issuer signs for these rules, now.
    Token(TokenError),
    /// It is, but no rule is for it, or not any more. Without any rule there is none that came near.
    NoRule(Box<Verified>, Option<NoRule>),
}

impl Workloads {
    /// The token and the rule that accepts it, by a clock that gives Unix seconds. `leeway` are the seconds by which the issuer's clock may
    /// differ. Gives the issuer that the token names, too, which is not verified if the token is refused.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn verify(
        &self,
        issuers: &Issuers,
        text: &str,
        leeway: i64,
        now: impl Fn() -> i64,
    ) -> (Option<String>, Result<WorkloadToken, Refused>) {
        let Some(named) = unverified_issuer(text) else { return (None, Err(Refused::NoIssuer)) };
        let issuer = self.of_issuer(&named).next().map(|rule| rule.issuer.clone());
        let Some(issuer) = issuer else { return (Some(named), Err(Refused::UnknownIssuer)) };
        let audience: Vec<&str> = self.of_issuer(&named).map(|rule| &*rule.audience).collect();
        let expected = Expected { issuer: &issuer, audience: &audience, leeway, kind: TokenKind::Access };
        let verified = issuers.verify(text, &expected).await;
        let now = now();
        let accepted = match verified {
            // The leeway is for the issuer's clock; the end of a token is the end.
            Ok(token) if now >= token.expires_at => Err(Refused::Token(TokenError::Expired)),
            Ok(token) => self.matching(&token, now).map_err(|no_rule| Refused::NoRule(Box::new(token), no_rule)),
            Err(error) => Err(Refused::Token(error)),
        };
        (Some(named), accepted)
    }
}

impl Refused {
    /// What is told to the caller, who does not learn what rules demand.
    pub fn message(&self) -> String {
        match self {
            Self::NoIssuer => "the token is malformed: it names no issuer".to_owned(),
            Self::UnknownIssuer => "this gateway accepts no tokens of the issuer that the token names".to_owned(),
            // What is wrong with the issuer is for the administrator.
            Self::Token(TokenError::Unavailable(_)) => "the keys of the token's issuer cannot be read now".to_owned(),
            Self::Token(error) => error.to_string(),
            Self::NoRule(_, no_rule) if no_rule.as_ref().is_some_and(NoRule::is_too_old) => {
                "the token was issued longer ago than this gateway allows".to_owned()
            }
            Self::NoRule(..) => {
                "no workload rule of this gateway matches the token; its event log says which claim differs".to_owned()
            }
        }
    }
}
