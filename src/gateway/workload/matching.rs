//! Which rule accepts a verified token, and why another one does not.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::provider::run_of;
use super::rule::{WorkloadRule, Workloads};
use crate::gateway::oidc::{IssuerUrl, Verified};
use crate::gateway::policy_name::PolicyName;

/// The longest subject that is repeated, in characters.
const LONGEST_SUBJECT: usize = 256;

/// A token that was verified, and the rule that accepts it.
#[derive(Debug)]
pub struct WorkloadToken {
    /// The rule.
    pub rule: Arc<WorkloadRule>,
    /// Whom the token names: untrusted text.
    pub subject: String,
    /// The run, job or pod that it is of: untrusted text.
    pub run: Option<String>,
    /// When it ends, also by the rule, in Unix seconds.
    pub expires_at: i64,
    /// The token itself.
    pub verified: Verified,
}

impl WorkloadToken {
    /// Who issued it.
    pub fn issuer(&self) -> &str {
        self.verified.issuer.as_str()
    }

    /// What tells it from all other tokens of its issuer: its id, or else everything that it says.
    pub fn identity(&self) -> String {
        match self.verified.claims.get("jti") {
            Some(Value::String(id)) if !id.is_empty() => format!("jti {id}"),
            _ => format!("claims {}", Value::Object((*self.verified.claims).clone())),
        }
    }

    /// Whether a rule as it is now accepts the token, as far as its time does not matter.
    pub fn is_accepted_by(&self, rule: &Arc<WorkloadRule>) -> bool {
        Arc::ptr_eq(rule, &self.rule)
            || rule.name == self.rule.name && rule.mismatch(&self.verified.issuer, &self.verified.claims).is_none()
    }
}

/// Why a rule does not accept a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is for tokens of another issuer.
    Issuer,
    /// It is for tokens with another audience.
    Audience,
    /// This claim is not what it must be.
    Claim(Vec<String>),
    /// The token does not say when it was issued.
    IssuedAt,
    /// It was issued longer ago than the rule allows.
    TooOld,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("issuer"),
            Self::Audience => f.write_str("audience"),
            Self::Claim(path) => write!(f, "claim {}", path.join(".")),
            Self::IssuedAt => f.write_str("claim iat"),
            Self::TooOld => f.write_str("max-token-lifetime"),
        }
    }
}

/// No rule accepts a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRule {
    /// The rule that came nearest.
    pub rule: PolicyName,
    /// What it did not accept.
    pub mismatch: Mismatch,
}

impl NoRule {
    /// Whether the rule is for the token, but not any more.
    pub fn is_too_old(&self) -> bool {
        self.mismatch == Mismatch::TooOld
    }
}

impl WorkloadRule {
    /// Why it is not for a token with these claims; `None` if it is, as far as its time does not matter.
    fn mismatch(&self, issuer: &IssuerUrl, claims: &Map<String, Value>) -> Option<Mismatch> {
        self.of_claims(issuer, claims).next()
    }

    fn of_claims<'a>(
        &'a self,
        issuer: &IssuerUrl,
        claims: &'a Map<String, Value>,
    ) -> impl Iterator<Item = Mismatch> + 'a {
        let is_ours = |value: &Value| value.as_str() == Some(&*self.audience);
        let has_audience = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        let issuer = (self.issuer != *issuer).then_some(Mismatch::Issuer);
        let audience = (!has_audience).then_some(Mismatch::Audience);
        let unmet = self.claims.unmet(claims).map(|rule| Mismatch::Claim(rule.path.clone()));
        let event = self.provider.untrusted_event(&self.claims, claims);
        let event = event.map(|claim| Mismatch::Claim(vec![claim.to_owned()]));
        issuer.into_iter().chain(audience).chain(unmet).chain(event)
    }

    /// Everything that it does not accept of a verified token at that Unix second. Of one of another issuer, that alone.
    pub fn mismatches(&self, token: &Verified, now: i64) -> Vec<Mismatch> {
        let mut all: Vec<_> = self.of_claims(&token.issuer, &token.claims).collect();
        if all.first() == Some(&Mismatch::Issuer) {
            all.truncate(1);
        }
        if all.is_empty() {
            all.extend(self.end(token, now).err());
        }
        all
    }

    /// When a verified token ends that the rule is for.
    ///
    /// # Errors
    /// [`Mismatch`]: at that Unix second it has ended by the rule.
    fn end(&self, token: &Verified, now: i64) -> Result<i64, Mismatch> {
        let issued_at = token.issued_at.ok_or(Mismatch::IssuedAt)?;
        let oldest = issued_at.saturating_add(self.max_token_lifetime);
        if now >= oldest { Err(Mismatch::TooOld) } else { Ok(token.expires_at.min(oldest)) }
    }
}

impl Workloads {
    /// The token with the first rule that is for it. That rule alone decides whether it is too old: by its age a token never comes to
    /// another rule.
    ///
    /// # Errors
    /// [`NoRule`]; `None` without any rule of its issuer.
    pub fn matching(&self, token: &Verified, now: i64) -> Result<WorkloadToken, Option<NoRule>> {
        let mut nearest: Option<(usize, NoRule)> = None;
        for rule in self.of_issuer(token.issuer.as_str()) {
            let Some(mismatch) = rule.mismatch(&token.issuer, &token.claims) else {
                let expires_at = rule.end(token, now);
                let expires_at = expires_at.map_err(|mismatch| Some(NoRule { rule: rule.name, mismatch }))?;
                let subject = token.text("sub").unwrap_or_default();
                return Ok(WorkloadToken {
                    rule: rule.clone(),
                    subject: subject.chars().take(LONGEST_SUBJECT).collect(),
                    run: run_of(&token.claims),
                    expires_at,
                    verified: token.clone(),
                });
            };
            let distance = match mismatch {
                Mismatch::Audience => usize::MAX,
                _ => rule.claims.unmet(&token.claims).count(),
            };
            if nearest.as_ref().is_none_or(|(other, _)| distance < *other) {
                nearest = Some((distance, NoRule { rule: rule.name, mismatch }));
            }
        }
        Err(nearest.map(|(_, no_rule)| no_rule))
    }
}
