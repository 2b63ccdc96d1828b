//! Issuers at which everyone can get a token, and what a rule for them must say: otherwise it would accept the programs of strangers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claim_rules::{ClaimRule, ClaimRules};
use crate::gateway::oidc::IssuerUrl;

/// The longest id of a run that is repeated, in characters.
const LONGEST_RUN: usize = 128;
/// A workflow that runs with the rights of the repository for a pull request of a stranger.
const PULL_REQUEST_TARGET: &str = "pull_request_target";

/// Whose tokens a rule accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// GitHub Actions, also of a server of one's own.
    GitHub,
    /// GitLab CI, also of a server of one's own.
    GitLab,
    /// Another issuer, whose tokens only known programs get.
    #[default]
    Other,
}

impl Provider {
    /// That of an issuer which serves everyone.
    pub fn of(issuer: &IssuerUrl) -> Self {
        match &*issuer.host() {
            "token.actions.githubusercontent.com" => Self::GitHub,
            host if host.starts_with("token.actions.") && host.ends_with(".ghe.com") => Self::GitHub,
            _ if issuer.as_str().ends_with("/_services/token") => Self::GitHub,
            "gitlab.com" => Self::GitLab,
            _ => Self::Other,
        }
    }

    /// Whether these claims say whose programs are meant.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(self, claims: &ClaimRules) -> Result<(), String> {
        let has_id = |names: [&str; 2]| names.into_iter().any(|name| claims.of(name).is_some_and(ClaimRule::is_id));
        match self {
            Self::GitHub if !has_id(["repository_id", "repository_owner_id"]) => Err(
                "claims: a rule for GitHub needs repository_id or repository_owner_id, in digits and without `*`: a name can be given to another repository later (gh api repos/OWNER/NAME --jq .id)"
                    .to_owned(),
            ),
            Self::GitHub => {
                let mut parts = ["ref", "environment", "job_workflow_ref"].into_iter().filter_map(|name| claims.of(name));
                match parts.any(|rule| rule.is_specific() && (rule.path[0] != "ref" || rule.is_ref())) {
                    true => Ok(()),
                    false => Err(
                        "claims: a rule for GitHub needs one of ref (such as refs/heads/main or refs/tags/v*), environment and job_workflow_ref: without it every branch and every pull request of the repository is accepted"
                            .to_owned(),
                    ),
                }
            }
            Self::GitLab if !has_id(["project_id", "namespace_id"]) => Err(
                "claims: a rule for GitLab needs project_id or namespace_id, in digits and without `*`: a name can be given to another project later"
                    .to_owned(),
            ),
            Self::GitLab | Self::Other => Ok(()),
        }
    }

    /// The claim that no rule names and that makes a token one of a stranger's code all the same.
    pub fn untrusted_event(self, rules: &ClaimRules, claims: &Map<String, Value>) -> Option<&'static str> {
        let event = claims.get("event_name");
        let is_named = || rules.of("event_name").is_some_and(|rule| rule.names(PULL_REQUEST_TARGET));
        let is_untrusted = match event {
            Some(Value::String(event)) => event == PULL_REQUEST_TARGET,
            // GitHub always names it as text.
            Some(Value::Null) | None => false,
            Some(_) => true,
        };
        (self == Self::GitHub && is_untrusted && !is_named()).then_some("event_name")
    }
}

/// The run, job or pod that a token is of, as its issuer names it.
pub fn run_of(claims: &Map<String, Value>) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let of = |name: &str| claims.get(name).and_then(text);
    let run = of("run_id").or_else(|| {
        let pipeline = of("pipeline_id")?;
        Some(of("job_id").map_or(pipeline.clone(), |job| format!("{pipeline}/{job}")))
    });
    let pod = || text(claims.get("kubernetes.io")?.get("pod")?.get("name")?);
    run.or_else(pod).map(|run| run.chars().take(LONGEST_RUN).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateway::workload::ClaimPattern;

    fn rules(claims: &[(&str, &str)]) -> ClaimRules {
        let rule = |(name, value): &(&str, &str)| ClaimRule {
            path: vec![(*name).to_owned()],
            values: vec![ClaimPattern::new((*value).to_owned()).unwrap()],
        };
        ClaimRules::new(claims.iter().map(rule).collect())
    }

    #[test]
    fn a_rule_for_an_issuer_of_everyone_says_whose_programs_are_meant() {
        let check = |provider: Provider, claims: &[(&str, &str)]| provider.check(&rules(claims));
        let (id, part) = (("repository_id", "1"), ("ref", "refs/heads/main"));
        for claims in [[id, part], [("repository_owner_id", "12"), ("environment", "production")]] {
            assert_eq!(check(Provider::GitHub, &claims), Ok(()));
        }
        for (claims, missing) in [
            (&[id][..], "one of ref"),
            (&[part], "repository_id"),
            (&[("repository_id", "1*"), part], "repository_id"),
            (&[("repository", "acme/app"), part], "repository_id"),
            (&[id, ("ref", "*")], "one of ref"),
            (&[id, ("environment", "*/*")], "one of ref"),
            (&[id, ("actor", "ada")], "one of ref"),
        ] {
            assert!(check(Provider::GitHub, claims).unwrap_err().contains(missing), "{claims:?}");
        }
        assert_eq!(check(Provider::GitLab, &[("project_id", "1")]), Ok(()));
        assert!(check(Provider::GitLab, &[("project_path", "a/b")]).unwrap_err().contains("namespace_id"));
        assert_eq!(check(Provider::Other, &[("sub", "x")]), Ok(()));
        let of = |issuer: &str| Provider::of(&issuer.parse().unwrap());
        assert_eq!(of("https://token.actions.githubusercontent.com/acme"), Provider::GitHub);
        assert_eq!(of("https://GITLAB.com"), Provider::GitLab);
        assert_eq!(of("https://gitlab.example.com"), Provider::Other);
    }

    #[test]
    fn a_run_is_named_as_its_issuer_does() {
        let of = |claims: Value| run_of(claims.as_object().unwrap());
        assert_eq!(of(json!({ "run_id": "17", "pipeline_id": "1" })).as_deref(), Some("17"));
        assert_eq!(of(json!({ "pipeline_id": "1", "job_id": 2 })).as_deref(), Some("1/2"));
        assert_eq!(of(json!({ "kubernetes.io": { "pod": { "name": "p" } } })).as_deref(), Some("p"));
        assert_eq!(of(json!({ "run_id": ["a"], "kubernetes.io": "x" })), None);
        assert_eq!(of(json!({ "run_id": "x".repeat(1000) })).unwrap().len(), LONGEST_RUN);
    }
}
