//! The first administrator.

use http::StatusCode;

use super::*;

fn fields<'a>(csrf: &'a str, token: &'a str, name: &'a str, password: &'a str) -> [(&'a str, &'a str); 6] {
    [("csrf", csrf), ("token", token), ("name", name), ("email", ""), ("password", password), ("again", password)]
}

#[tokio::test]
async fn setup_needs_the_token() {
    let site = Site::at("http://127.0.0.1:11435").await;
    let token = site.gateway.pages.setup_token().to_owned();
    assert!(token.len() * 6 >= 190);
    let longer = format!("{token}x");
    let mut browser = site.browser();
    let twice = format!("{token}&token={token}");
    for wrong in ["", &token[..42], &longer, &"a".repeat(43), &twice] {
        let reply = browser.get(&format!("/setup?token={wrong}")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{wrong}");
        assert!(!reply.has("password"));
    }
    let csrf = browser.get(&format!("/setup?token={token}")).await.token();
    for wrong in ["", &longer] {
        let reply = browser.post("/setup", &fields(&csrf, wrong, "ada", PASSWORD)).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    let reply = browser.post("/setup", &fields("00", &token, "ada", PASSWORD)).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert!(site.gateway.directory.is_empty());
}

#[tokio::test]
async fn setup_errors_are_shown_with_the_submitted_values() {
    let site = Site::at("http://127.0.0.1:11435").await;
    let (token, mut browser) = (site.gateway.pages.setup_token().to_owned(), site.browser());
    let csrf = browser.get(&format!("/setup?token={token}")).await.token();
    let long = "x".repeat(1025);
    for (name, password, says) in [
        ("Ada L", PASSWORD, "lower-case letters (a to z)"),
        ("", PASSWORD, "lower-case letters (a to z)"),
        ("ada", "short", "at least 8 characters"),
        ("ada", &long, "at most 1024 bytes"),
    ] {
        let reply = browser.post("/setup", &fields(&csrf, &token, name, password)).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{name} {password}");
        assert!(reply.has(says) && reply.has(&format!("value=\"{name}\"")) && !reply.has(password), "{}", reply.body);
    }
    let mut wrong = fields(&csrf, &token, "ada", PASSWORD);
    wrong[5].1 = "incorrect horse";
    let reply = browser.post("/setup", &wrong).await;
    assert!(reply.has("The passwords do not match"));
    assert_eq!(marked(&reply.body), (vec!["password"], vec!["password", "again"]));
    let mut wrong = fields(&csrf, &token, "ada", PASSWORD);
    wrong[3].1 = "no address";
    let reply = browser.post("/setup", &wrong).await;
    assert!(reply.has("not an e-mail address"));
    assert_eq!(marked(&reply.body), (vec!["email"], vec!["email"]));
    let reply = browser.post("/setup", &fields(&csrf, &token, "Ada L", PASSWORD)).await;
    assert_eq!(marked(&reply.body), (vec!["name"], vec!["name"]));
    // With the role: without it the gateway would have no administrator.
    assert!(browser.get("/login").await.has("gateway user add NAME --role admin"));
    let first = browser.get(&format!("/setup?token={token}")).await;
    assert_eq!(marked(&first.body), (vec!["name"], vec![]));
    assert!(site.gateway.directory.is_empty());
}

/// The fields that the cursor is in, and those that are said to be wrong.
fn marked(body: &str) -> (Vec<&str>, Vec<&str>) {
    let fields: Vec<&str> = body.split("<input id=\"").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    let with = |mark: &str| {
        fields.iter().filter(|field| field.contains(mark)).map(|field| field.split('"').next().unwrap()).collect()
    };
    (with(" autofocus"), with("aria-invalid=\"true\""))
}

#[tokio::test]
async fn setup_creates_one_administrator_only() {
    let site = Site::at("http://127.0.0.1:11435").await;
    let (token, mut browser) = (site.gateway.pages.setup_token().to_owned(), site.browser());
    assert!(browser.get("/login").await.has("no account yet"));
    let csrf = browser.get(&format!("/setup?token={token}")).await.token();
    let mut right = fields(&csrf, &token, "ada", PASSWORD);
    right[3].1 = "ada@example.com";
    assert_eq!(browser.post("/setup", &right).await.location(), "/account");
    let page = browser.get("/account").await;
    assert!(
        page.has("ada@example.com")
            && page.has("admin")
            && page.has("ollama-auth signin --host http://127.0.0.1:11435")
    );
    let ada = site.gateway.directory.user_by_name("ada").unwrap();
    assert_eq!((&ada.role, ada.disabled), (&Role::Admin, false));
    assert_eq!(site.events("user.created").await.len(), 1);

    let mut late = site.browser();
    assert_eq!(late.get(&format!("/setup?token={token}")).await.status, StatusCode::GONE);
    let csrf = late.get("/login").await.token();
    let reply = late.post("/setup", &fields(&csrf, &token, "eve", PASSWORD)).await;
    assert!(reply.status == StatusCode::GONE && reply.has("This gateway is already set up"));
    assert_eq!(site.gateway.directory.users().len(), 1);
    site.signed_in("ada").await;
}

#[tokio::test]
async fn of_two_simultaneous_setups_one_succeeds() {
    let site = Site::at("http://127.0.0.1:11435").await;
    let token = site.gateway.pages.setup_token().to_owned();
    let (mut one, mut two) = (site.browser(), site.browser());
    let path = format!("/setup?token={token}");
    let (first, second) = (one.get(&path).await.token(), two.get(&path).await.token());
    let (first, second) = (fields(&first, &token, "ada", PASSWORD), fields(&second, &token, "eve", PASSWORD));
    let (first, second) = tokio::join!(one.post("/setup", &first), two.post("/setup", &second));
    let mut statuses = [first.status, second.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::SEE_OTHER, StatusCode::GONE]);
    assert_eq!(site.gateway.directory.users().len(), 1);
    assert_eq!([&one, &two].iter().filter(|browser| browser.session().is_some()).count(), 1);
}

#[tokio::test]
async fn a_full_disk_leaves_the_setup_link_valid() {
    let site = Site::at("http://127.0.0.1:11435").await;
    let (token, mut browser) = (site.gateway.pages.setup_token().to_owned(), site.browser());
    let csrf = browser.get(&format!("/setup?token={token}")).await.token();
    site.store.full.store(true, Ordering::SeqCst);
    let reply = browser.post("/setup", &fields(&csrf, &token, "ada", PASSWORD)).await;
    assert!(reply.status == StatusCode::SERVICE_UNAVAILABLE && browser.session().is_none());
    site.store.full.store(false, Ordering::SeqCst);
    assert_eq!(browser.post("/setup", &fields(&csrf, &token, "ada", PASSWORD)).await.location(), "/account");
}
