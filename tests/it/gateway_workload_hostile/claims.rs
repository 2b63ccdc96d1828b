//! Tokens with a good signature that are not for this gateway, not now, or not of the program that a rule means.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AUDIENCE, Given, honest, rule, with};
use crate::harness::hostile_issuer::HostileIssuer;

fn now() -> i64 {
    Timestamp::now().as_second()
}

impl Given {
    #[track_caller]
    fn refuses_with_claims(&self, change: &Value) {
        self.refuses_minted(&json!({ "claims": change }));
    }
}

#[test]
fn tokens_of_another_time_are_refused() {
    let given = Given::start();
    given.accepts_the_honest();
    let (hour, day) = (3600, 86_400);
    for change in [
        json!({ "exp": now() - 600 }),
        json!({ "exp": now() - 600, "iat": now() - 1200 }),
        json!({ "nbf": now() + 600 }),
        json!({ "iat": now() + 600, "exp": now() + 1200 }),
        // Longer than the rule allows, whatever it says of itself.
        json!({ "iat": now() - 2 * hour, "exp": now() + day }),
        json!({ "iat": now() - 365 * day, "exp": now() + 365 * day }),
        json!({ "exp": null }),
        json!({ "iat": null }),
        json!({ "exp": (now() + 300).to_string() }),
        json!({ "exp": true }),
        json!({ "exp": [now() + 300] }),
        json!({ "exp": -1 }),
        json!({ "iat": -1 }),
        json!({ "iat": "now" }),
        json!({ "nbf": "later" }),
    ] {
        given.refuses_with_claims(&change);
    }
    // Numbers that are none, written by hand.
    for exp in ["1e400", "-1e400", "18446744073709551616", "9223372036854775808000", "NaN"] {
        let payload = format!(
            r#"{{"iss":"{}","aud":"{AUDIENCE}","repository_id":"1","ref":"refs/heads/main","iat":{exp},"exp":{exp}}}"#,
            given.issuer.issuer()
        );
        given.refuses(exp, &given.issuer.mint(&json!({ "payload": payload, "sign": "raw" })));
    }
    assert_eq!(given.status(&json!({ "nbf": now() - 10, "iat": now() - 10, "exp": now() + 60 })), 200);
    given.accepts_the_honest();
}

#[test]
fn tokens_for_others_are_refused() {
    let given = Given::start();
    given.accepts_the_honest();
    for audience in [
        json!(null),
        json!(""),
        json!([]),
        json!("https://other.example.com"),
        json!("https://gpu.example.com/"),
        json!("https://gpu.example.com.evil.example"),
        json!("https://gpu.example"),
        json!("HTTPS://GPU.EXAMPLE.COM"),
        json!(" https://gpu.example.com"),
        json!(["https://other.example.com", "another-client"]),
        json!({ AUDIENCE: 1 }),
        json!([[AUDIENCE]]),
        json!(1),
        json!("https://github.com/example"),
        json!("sts.amazonaws.com"),
    ] {
        given.refuses_with_claims(&json!({ "aud": audience }));
    }
    assert_eq!(given.status(&json!({ "aud": [AUDIENCE] })), 200);
    assert_eq!(given.status(&json!({ "aud": ["https://other.example.com", AUDIENCE] })), 200);
}

#[test]
fn a_repository_under_the_old_name_of_another_is_refused() {
    // The owner of example/app renamed it; somebody else made one of that name.
    let claims = "{ repository_id = \"1\", repository = \"example/app\", ref = \"refs/heads/main\" }";
    let given = Given::start_with(HostileIssuer::start(), |issuer| rule("deploy", issuer, claims));
    given.accepts_the_honest();
    given.refuses_with_claims(&json!({ "repository_id": "2" }));
    given.refuses_with_claims(&json!({ "repository_id": null }));
    for id in ["01", "1 ", "10", "", "*", "1\u{0}"] {
        given.refuses_with_claims(&json!({ "repository_id": id }));
    }
    for id in [json!(["2", "3"]), json!({ "1": "1" }), json!(11), json!(1.5), json!(true), json!([]), json!([["1"]])] {
        given.refuses_with_claims(&json!({ "repository_id": id }));
    }
    // As a number it is the same; as an element of a list it is there.
    assert_eq!(given.status(&json!({ "repository_id": 1 })), 200);
}

#[test]
fn tokens_of_pull_requests_are_refused() {
    let github = |claims: &str| {
        let claims = claims.to_owned();
        Given::start_with(HostileIssuer::start(), move |issuer| {
            rule("deploy", issuer, &claims) + "provider = \"github\"\n"
        })
    };
    let given = github("{ repository_id = \"1\", ref = \"refs/heads/main\" }");
    let push = json!({ "event_name": "push", "sub": "repo:example/app:ref:refs/heads/main" });
    assert_eq!(given.status(&push), 200);
    let from_fork = json!({
        "event_name": "pull_request", "ref": "refs/pull/7/merge", "head_ref": "main", "base_ref": "main",
        "sub": "repo:example/app:pull_request",
    });
    given.refuses_with_claims(&from_fork);
    // A branch of that name in the fork is not one of the repository.
    given.refuses_with_claims(&with(
        from_fork.clone(),
        &json!({ "ref": "refs/pull/7/head", "head_ref": "refs/heads/main" }),
    ));
    // It runs at the branch of the repository with code that a stranger can influence.
    let target = json!({ "event_name": "pull_request_target", "base_ref": "main", "head_ref": "patch-1" });
    given.refuses_with_claims(&target);
    assert_eq!(given.status(&push), 200);

    let given = github("{ repository_id = \"1\", ref = \"refs/heads/main\", event_name = \"pull_request_target\" }");
    assert_eq!(given.status(&target), 200, "it is named");
    given.refuses_with_claims(&push);
    let given = github("{ repository_id = \"1\", ref = \"refs/heads/main\", event_name = \"*\" }");
    assert_eq!(given.status(&push), 200);
    given.refuses_with_claims(&target);
}

#[test]
fn patterns_do_not_reach_beyond_their_part() {
    let claims = "{ repository_id = \"1\", ref = \"refs/heads/release-*\", sub = \"repo:example/app:ref:refs/heads/release-*\" }";
    let given = Given::start_with(HostileIssuer::start(), |issuer| rule("deploy", issuer, claims));
    let sub = |branch: &str| format!("repo:example/app:ref:refs/heads/{branch}");
    let good = json!({ "ref": "refs/heads/release-1", "sub": sub("release-1") });
    assert_eq!(given.status(&good), 200);
    for branch in
        ["release-1/evil", "release-/../main", "x/release-1", "release", "Release-1", "xrelease-1", "release-1:evil"]
    {
        given.refuses_with_claims(&with(good.clone(), &json!({ "ref": format!("refs/heads/{branch}") })));
        given.refuses_with_claims(&with(good.clone(), &json!({ "sub": sub(branch) })));
    }
    given.refuses_with_claims(&with(good.clone(), &json!({ "sub": "repo:evil/x:ref:refs/heads/release-1" })));
    // A claim that has the form of the pattern itself is a text as any other.
    given.refuses_with_claims(&with(good.clone(), &json!({ "ref": "*" })));
    assert_eq!(given.status(&good), 200);
}

#[test]
fn a_claim_that_stands_twice_is_read_in_one_way_only() {
    let given = Given::start();
    given.accepts_the_honest();
    let (iss, at) = (given.issuer.issuer(), now());
    let payload = |ids: &str| {
        format!(r#"{{"iss":"{iss}","aud":"{AUDIENCE}","ref":"refs/heads/main","iat":{at},"exp":{},{ids}}}"#, at + 300)
    };
    let token = |ids: &str| given.issuer.mint(&json!({ "payload": payload(ids), "sign": "raw" }));
    assert_eq!(given.ask(&token(r#""repository_id":"1""#)).status, 200);
    given.refuses("the last is another", &token(r#""repository_id":"1","repository_id":"2""#));
    given.refuses("escaped", &token(r#""repository_id":"1","repository\u005fid":"2""#));
    let lookalikes = with(honest(), &json!({ "repository_id": null, "Repository_id": "1", "repository-id": "1" }));
    given.refuses("other names", &given.issuer.token(lookalikes));
}
