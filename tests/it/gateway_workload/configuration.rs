//! What is wrong with rules, said before the gateway reads them.

use super::AUDIENCE;
use crate::harness::cmd::Sandbox;

const ISSUER: &str = "https://id.example.com";

fn checked(tables: &str) -> crate::harness::cmd::Output {
    let sandbox = Sandbox::new();
    let file = sandbox.write("gateway.toml", tables);
    sandbox.command(["gateway", "policy", "show", "--config", file.to_str().unwrap()]).run()
}

fn table(issuer: &str, claims: &str, more: &str) -> String {
    let scopes = if more.contains("scopes =") { "" } else { "scopes = [\"inference\"]\n" };
    format!(
        "[[workload]]\nname = \"deploy\"\nissuer = \"{issuer}\"\naudience = \"{AUDIENCE}\"\nclaims = {claims}\n{scopes}{more}\n"
    )
}

#[test]
fn a_bad_rule_is_named_with_what_to_do() {
    let github = "https://token.actions.githubusercontent.com";
    let usual = "{ project = \"app\" }";
    let twice = table(ISSUER, usual, "") + &table(ISSUER, usual, "");
    let disagree = table(ISSUER, usual, "")
        + &table(ISSUER, usual, "jwks-url = \"https://id.example.com/k\"").replace("deploy", "other");
    for (tables, words) in [
        (
            table(github, "{ repository_id = \"1\" }", ""),
            "needs one of ref (such as refs/heads/main or refs/tags/v*), environment and job_workflow_ref",
        ),
        (table(github, "{ ref = \"refs/heads/main\" }", ""), "needs repository_id or repository_owner_id"),
        (table(github, "{ repository_id = \"*\", ref = \"refs/heads/main\" }", ""), "needs repository_id"),
        (
            table(github, "{ repository_id = \"1\", ref = \"refs/heads/main\" }", "provider = \"other\"")
                .replace("\"1\"", "\"acme\""),
            "needs repository_id",
        ),
        (table(github, "{ repository_id = \"1\", ref = \"refs/*/*/*\" }", ""), "needs one of ref (such as"),
        (table("https://git.example.com/_services/token", "{ repository = \"a/b\" }", ""), "needs repository_id"),
        (table(ISSUER, usual, "").replace(AUDIENCE, "sts.amazonaws.com"), "made for something else"),
        (table(ISSUER, usual, "").replace(AUDIENCE, ISSUER), "made for something else"),
        (
            "jwks-grace = \"10s\"\n".to_owned() + &table(ISSUER, usual, ""),
            "jwks-grace must be longer than jwks-min-interval",
        ),
        (table("https://gitlab.com", "{ project_path = \"a/b\" }", ""), "needs project_id or namespace_id"),
        (table(ISSUER, "{ repository_id = \"1\" }", "provider = \"github\""), "needs one of ref"),
        (table(ISSUER, "{}", ""), "at least one claim must say more"),
        (table(ISSUER, "{ sub = \"*\" }", ""), "at least one claim must say more"),
        (table(ISSUER, "{ sub = \"a\", aud = \"x\" }", ""), "set audience instead"),
        (table(ISSUER, "{ sub = \"\" }", ""), "a value is empty"),
        (table(ISSUER, "{ sub = [] }", ""), "a list has 1 to 64 values"),
        (table(ISSUER, "{ sub = 1.5 }", ""), "a value is a text"),
        (table(ISSUER, "{ a = {} }", ""), "the table is empty"),
        (table(ISSUER, "\"sub\"", ""), "workload.claims must be a table"),
        (table(ISSUER, usual, "scopes = [\"admin\"]"), "no workload may manage"),
        (table(ISSUER, usual, "scopes = [\"inference\", \"keys\"]"), "needs no scope to exchange"),
        (table(ISSUER, usual, "scopes = []"), "workload.scopes must be a list"),
        (table(ISSUER, usual, "scopes = [\"everything\"]"), "everything"),
        (table(ISSUER, usual, "max-token-lifetime = \"2d\""), "a time from 1m to 24h"),
        (table(ISSUER, usual, "max-key-lifetime = \"30s\""), "a time from 1m to 24h"),
        (table(ISSUER, usual, "jwks-url = \"https://a.example/k\"\njwks-file = \"k\""), "jwks-url or jwks-file"),
        (table(ISSUER, usual, "jwks-url = \"http://a.example/k\""), "https://"),
        (table(ISSUER, usual, "provider = \"circle\""), "github, gitlab or other"),
        (table(ISSUER, usual, "lifetime = \"1h\""), "unknown setting \"lifetime\""),
        (table("http://id.example.com", usual, ""), "https://"),
        (table("https://id.example.com/?a", usual, ""), "query"),
        (table(ISSUER, usual, "").replace("audience", "audiences"), "audience"),
        (table(ISSUER, usual, "").replace(AUDIENCE, ""), "workload.audience must be"),
        (table(ISSUER, usual, "").replace("deploy", "Deploy"), "a-z"),
        (table(ISSUER, usual, "").replace("[[workload]]", "[workload]"), "workload"),
        (twice, "two rules have the name deploy"),
        (disagree, "say different things of the issuer"),
        (table(ISSUER, usual, "environment = \"ci\"\n[environments.prod]"), "the environment ci, which is not defined"),
        ("[roles.\"workload:deploy\"]\nbase = \"member\"\n".to_owned(), "the role of a workload rule"),
        ("[[caps]]\nroles = [\"workload:deploy\"]\nnum-ctx = 5\n".to_owned(), "workload:deploy"),
    ] {
        let output = checked(&tables);
        assert_eq!(output.code(), 2, "{tables}\n{}", output.snapshot());
        assert!(output.stderr().contains(words), "{tables}\n{}", output.stderr());
    }
}

#[test]
fn rules_are_shown_and_listed() {
    let claims = "{ project = [\"app\", \"lib\"], \"kubernetes.io\" = { namespace = \"ci\" } }";
    let tables =
        table(ISSUER, claims, "models = [\"llama3*\"]") + "[[caps]]\nroles = [\"workload:deploy\"]\nnum-ctx = 5\n";
    let shown = checked(&tables);
    let shown = shown.expect_code(0).stdout().to_owned();
    for words in
        ["[[workload]]", "name = \"deploy\"", "namespace = \"ci\"", "max-key-lifetime = \"900s\"", "audience = "]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("[roles.\"workload"), "{shown}");
    let sandbox = Sandbox::new();
    let file = sandbox.write("gateway.toml", &tables);
    let list = |args: &[&str]| {
        let output =
            sandbox.command(["gateway", "workload", "list", "--config", file.to_str().unwrap()]).args(args).run();
        output.expect_code(0).stdout().to_owned()
    };
    let text = list(&[]);
    assert!(text.contains("project=app|lib") && text.contains("kubernetes.io.namespace=ci"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&list(&["--json"])).unwrap();
    assert_eq!(json["workloads"][0]["name"], "deploy");
    std::fs::write(&file, "").unwrap();
    assert!(list(&[]).is_empty());
}
