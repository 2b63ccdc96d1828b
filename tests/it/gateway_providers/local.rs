//! `local-accounts = false`: nobody signs in with a password, and how to get back in.

use serde_json::json;

use super::Given;
use crate::harness::gateway::PASSWORD;
use crate::harness::pages::between;

const OFF: &str = "local-accounts = false\n";

#[test]
fn without_local_accounts_no_password_signs_in_and_the_file_brings_them_back() {
    let given = Given::start("");
    let invited = given.gateway.admin(&["user", "invite", "--json"]).expect_code(0).json();
    let link = invited["link"].as_str().unwrap();
    let invitation = link[link.find("/invite").unwrap()..].to_owned();
    let browser = given.browser();
    let csrf = between(browser.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    let before = given.browser();
    let own = between(before.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    assert_eq!(before.post("/login", &[("csrf", &own), ("name", "root"), ("password", PASSWORD)]).status, 303);
    assert!(before.is_signed_in());
    given.person(&json!({}));
    let at_provider = given.browser().signed_in();
    given.reload(OFF, "");
    assert!(!before.is_signed_in() && at_provider.is_signed_in(), "sessions that a password began end");
    let login = browser.get("/login");
    assert!(!login.text().contains("type=\"password\"") && login.text().contains("Sign in with Company"));
    let fields = [("csrf", csrf.as_str()), ("name", "root"), ("password", PASSWORD)];
    let refused = browser.post("/login", &fields);
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(browser.cookies("-session-").is_empty());
    crate::harness::poll("the event", || {
        let events = given.events("user.sign_in_failed");
        events.iter().any(|event| event["code"] == "local_accounts").then_some(())
    });
    let refused = browser.get(&invitation);
    assert!(refused.status == 403 && refused.text().contains("Sign in instead"), "{}", refused.text());
    let token = invitation.split("token=").nth(1).unwrap();
    let fields =
        [("csrf", csrf.as_str()), ("token", token), ("name", "eve"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.post("/invite", &fields).status, 403);
    given.person(&json!({}));
    given.browser().signed_in();

    // The documented way back: on the gateway's machine.
    given.reload("local-accounts = true\n", "");
    let fields = [("csrf", csrf.as_str()), ("name", "root"), ("password", PASSWORD)];
    assert_eq!(browser.post("/login", &fields).status, 303);
    assert!(browser.is_signed_in());
}

#[test]
fn without_local_accounts_the_setup_link_makes_no_account_with_a_password() {
    let given = Given::without_accounts(OFF, "");
    let link = given.gateway.listening()["setup_url"].as_str().unwrap().to_owned();
    let path = link.strip_prefix(&given.gateway.url()).unwrap();
    let browser = given.browser();
    let page = browser.get(path);
    assert!(page.text().contains("Sign in with Company") && !page.text().contains("type=\"password\""));
    let csrf = between(page.text(), "name=\"csrf\" value=\"", "\"");
    let token = path.split("token=").nth(1).unwrap();
    let fields =
        [("csrf", csrf.as_str()), ("token", token), ("name", "eve"), ("password", PASSWORD), ("again", PASSWORD)];
    assert_eq!(browser.post("/setup", &fields).status, 403);
    assert!(given.users().is_empty());
    given.person(&json!({ "groups": ["admins"] }));
    given.browser().signed_in();
}

#[test]
fn an_account_of_a_provider_gets_no_password() {
    let given = Given::start("");
    given.person(&json!({}));
    let browser = given.browser().signed_in();
    let refused = given.gateway.admin_with(&["user", "passwd", "ada"], &format!("{PASSWORD}\n"));
    assert_eq!(refused.code(), 1, "{}", refused.stderr());
    assert!(refused.stderr().contains("\"ada\" signs in at"), "{}", refused.stderr());
    assert!(refused.stderr().contains(given.issuer.issuer()) && refused.stderr().contains("gateway user add"));
    assert!(browser.is_signed_in() && given.events("user.password").is_empty());
    let local = given.browser();
    let csrf = between(local.get("/login").text(), "name=\"csrf\" value=\"", "\"");
    let fields = [("csrf", csrf.as_str()), ("name", "ada"), ("password", PASSWORD)];
    assert_ne!(local.post("/login", &fields).status, 303);
    given.gateway.admin_with(&["user", "passwd", "root"], &format!("{PASSWORD}\n")).expect_code(0);
}

#[test]
fn settings_that_lock_everybody_out_are_refused() {
    let folder = crate::harness::cmd::Sandbox::new();
    let check = |text: &str| {
        let file = folder.write("gateway.toml", text);
        folder.command(["gateway", "serve", "--listen", "127.0.0.1:0", "--config"]).args([&file]).run()
    };
    let bare = "[oidc.company]\nissuer = \"https://login.example.com\"\nclient-id = \"gateway\"\n";
    let provider = &format!("{bare}rules = [{{ value = \"staff\", role = \"member\" }}]\n");
    let workload = |issuer: &str, audience: &str, more: &str| {
        format!(
            "{provider}[[workload]]\nname = \"deploy\"\nissuer = \"{issuer}\"\naudience = \"{audience}\"\n\
             claims = {{ sub = \"deploy\" }}\nscopes = [\"inference\"]\n{more}"
        )
    };
    for (text, says) in [
        (OFF.to_owned(), "there is no provider"),
        (
            format!("{provider}[oidc.other]\nissuer = \"https://login.example.com\"\nclient-id = \"b\"\n"),
            "two providers",
        ),
        (format!("{provider}recheck = \"15m\"\n"), "needs secret-file"),
        (format!("{bare}default-role = \"research\"\n"), "research, which is not defined"),
        (
            format!("{bare}default-role = \"member\"\nrules = [{{ value = \"a\", groups = [\"lab\"] }}]\n"),
            "the group lab, which is not defined",
        ),
        (format!("{bare}rules = [{{ value = \"a\" }}]\n"), "gives nothing"),
        (
            format!("{provider}allowed-domains = [\"a.example\"]\nrequire-verified-email = false\n"),
            "require-verified-email",
        ),
        // email_verified speaks of the claim email.
        (format!("{provider}email-claim = \"mail\"\n"), "require-verified-email"),
        (format!("{provider}email-claim = \"mail\"\nallowed-domains = [\"a.example\"]\n"), "require-verified-email"),
        (format!("{provider}client-secret-file = \"missing\"\n"), "there is no file"),
        (provider.replace("https://login.example.com", "http://login.example.com"), "issuer must be"),
        ("[oidc.company]\nclient-id = \"a\"\n".to_owned(), "needs an issuer"),
        // Everybody at a provider that is open to the world would have an account.
        (bare.to_owned(), "the provider company admits nobody"),
        (format!("{bare}default-role = \"none\"\ncreate-accounts = false\n"), "the provider company admits nobody"),
        (format!("{provider}isuer = \"a\"\n"), "unknown setting \"isuer\""),
        (format!("{provider}default-role = \"workload:deploy\"\n"), "default-role must be"),
        // A token for people would be one of a workload.
        (
            workload("https://login.example.com", "gateway", ""),
            "the rule deploy is the client-id of the provider company",
        ),
        (
            workload("https://other.example.com", "gateway", ""),
            "the rule deploy is the client-id of the provider company",
        ),
        (
            workload("https://login.example.com", "https://gpu.example.com", "jwks-file = \"keys\"\n"),
            "the workload rule deploy and the provider company say different things",
        ),
    ] {
        let refused = check(&text);
        assert_ne!(refused.code(), 0, "{text}");
        assert!(refused.stderr().contains(says), "{text}: {}", refused.stderr());
    }
    folder.write("secret", "the secret");
    std::fs::set_permissions(folder.path("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let refused = check(&format!("{provider}client-secret-file = \"secret\"\n"));
    assert!(refused.code() != 0 && refused.stderr().contains("client-secret-file"), "{}", refused.stderr());
}
