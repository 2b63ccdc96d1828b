//! `gateway workload explain`: verifies a token as the gateway does, and says of every rule what it does not accept.

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::clock::Clock;
use super::composition::{issuer_settings, refresh_rules};
use super::config::Config;
use super::oidc::{Issuers, TokenError, Verified};
use super::workload::{ClaimRule, Mismatch, Refused, WorkloadRule};

/// The longest text of a token that is repeated, in characters.
const LONGEST: usize = 200;

/// What becomes of a token.
#[derive(Debug, Default, Serialize)]
pub struct TokenExplanation {
    /// Who issued it, as it says itself.
    pub issuer: Option<String>,
    /// Whom it names. Like what follows only of a token whose signature and times are good.
    pub subject: Option<String>,
    /// The run, job or pod that it is of.
    pub run: Option<String>,
    /// When it ends, in Unix seconds; if a rule accepts it, by that rule.
    pub expires_at: Option<i64>,
    /// Why it is refused whatever the rules say.
    pub problem: Option<String>,
    /// Whether that may pass: the keys of its issuer cannot be read now.
    #[serde(skip)]
    pub is_temporary: bool,
    /// The rule that accepts it.
    pub accepted_by: Option<String>,
    /// Every rule, in the order of the configuration.
    pub rules: Vec<RuleVerdict>,
}

/// What a rule says of a token.
#[derive(Debug, Serialize)]
pub struct RuleVerdict {
    /// Its name.
    pub rule: String,
    /// What it does not accept; nothing if it accepts the token.
    pub mismatches: Vec<String>,
}

/// Explains a token, at the Unix second that `now` gives.
pub async fn explain_token(config: &Config, token: &str, now: fn() -> i64) -> TokenExplanation {
    let issuers = Issuers::new(Clock::system(now), Handle::current());
    issuers.configure(issuer_settings(config), refresh_rules(config));
    let leeway = i64::try_from(config.clock_tolerance.as_secs()).unwrap_or(i64::MAX);
    let (issuer, verified) = config.workloads.verify(&issuers, token, leeway, now).await;
    let mut explanation = TokenExplanation { issuer: issuer.as_deref().map(shown), ..TokenExplanation::default() };
    let token = match verified {
        Ok(accepted) => {
            explanation.run.clone_from(&accepted.run);
            explanation.expires_at = Some(accepted.expires_at);
            explanation.accepted_by = Some(accepted.rule.name.to_string());
            accepted.verified
        }
        Err(Refused::NoRule(token, _)) => {
            explanation.expires_at = Some(token.expires_at);
            *token
        }
        Err(refused) => {
            explanation.is_temporary = matches!(refused, Refused::Token(TokenError::Unavailable(_)));
            explanation.problem = Some(problem(&refused, config, issuer.as_deref()));
            return explanation;
        }
    };
    explanation.subject = token.text("sub").map(shown);
    let at = now();
    explanation.rules = config.workloads.all().map(|rule| verdict(rule, &token, at)).collect();
    explanation
}

/// For the administrator, who may know what rules demand.
fn problem(refused: &Refused, config: &Config, issuer: Option<&str>) -> String {
    match refused {
        Refused::NoIssuer => "it is not a token that names its issuer (a JWT with the claim iss)".to_owned(),
        Refused::UnknownIssuer => "no workload rule is for tokens of this issuer".to_owned(),
        Refused::Token(error @ TokenError::Audience(_)) => {
            let rules = config.workloads.of_issuer(issuer.unwrap_or_default());
            let wanted: Vec<_> = rules.map(|rule| format!("{} of the rule {}", rule.audience, rule.name)).collect();
            format!("{error}; accepted is {}", wanted.join(", "))
        }
        Refused::Token(error) => error.to_string(),
        Refused::NoRule(..) => refused.message(),
    }
}

fn verdict(rule: &WorkloadRule, token: &Verified, now: i64) -> RuleVerdict {
    let described = |mismatch: &Mismatch| match mismatch {
        Mismatch::Issuer => format!("it is for the issuer {}", rule.issuer),
        Mismatch::Audience => format!("it is for the audience {}", rule.audience),
        Mismatch::Claim(path) => {
            let wanted = rule.claims.unmet(&token.claims).find(|claim| claim.path == *path);
            let wanted = wanted.map_or_else(
                || "one that the rule names, without `*`".to_owned(),
                |claim: &ClaimRule| claim.values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
            );
            let is = found(&token.claims, path).map_or("missing".to_owned(), |value| shown(&value.to_string()));
            format!("{} is {is}, and must be {wanted}", path.join("."))
        }
        Mismatch::IssuedAt => "iat is missing".to_owned(),
        Mismatch::TooOld => format!("it was issued longer ago than max-token-lifetime, {} s", rule.max_token_lifetime),
    };
    let mismatches = rule.mismatches(token, now).iter().map(described).collect();
    RuleVerdict { rule: rule.name.to_string(), mismatches }
}

fn found<'a>(claims: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
}

fn shown(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
