//! Keys and devices at `/settings/keys`: seen, made, shown once, revoked.

use http::StatusCode;

use super::*;
use crate::gateway::store::Device;

#[tokio::test]
async fn a_new_key_is_shown_once_and_has_the_requested_rights() {
    let site = Site::with_people().await;
    let mut bob = site.signed_in("bob").await;
    let form = bob.get("/settings/keys/new").await;
    assert!(form.has("id=\"scope-keys\"") && !form.has("scope-admin") && !form.has("scope-models-write"), "a member's");
    let (token, id) = (form.token(), id_in(&form.body));
    let mut fields = wish(&token, &id, "  nightly  ");
    fields.extend([("scope-keys", "on"), ("models", "tiny:*\r\n llama3.2"), ("environment", "ci")]);
    for (limits, said) in [
        ("rpm=0", "Rpm: 0 would refuse every request; for no limit, leave it out."),
        ("burst=5", "Burst: a burst needs a number of requests per minute."),
        (
            "<b>=5",
            "Unknown limit &quot;&lt;b&gt;&quot;: use rpm, burst, streams, size, tokens-per-hour, tokens-per-day, tokens-per-month.",
        ),
    ] {
        let refused = bob.post("/settings/keys", &[&fields[..], &[("limits", limits)]].concat()).await;
        assert!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && refused.has(said), "{}", refused.body);
    }
    fields.push(("limits", "rpm=60, streams=2"));
    let made = bob.post("/settings/keys", &fields).await;
    assert_eq!((made.status, &made.headers["cache-control"]), (StatusCode::CREATED, &"no-store".parse().unwrap()));
    let key = key_in(&made.body).unwrap();
    let record = site.record(&id.parse().unwrap()).await.unwrap();
    assert_eq!(record.hash, ApiKey::parse(&key).unwrap().hash());
    assert_eq!((record.user, record.name.as_str()), (site.user("bob"), "nightly"));
    assert_eq!(record.environment.as_deref(), Some("ci"));
    assert_eq!(record.rights.scopes.to_string(), "inference,keys");
    assert_eq!(serde_json::to_string(&record.rights.models).unwrap(), r#"["tiny:*","llama3.2:latest"]"#);
    assert_eq!(record.rights.expires_at, Some(site.now() + 90 * 86_400));
    assert_eq!(record.rights.limits.to_string(), "rpm=60,streams=2");
    assert!(made.has("at most 60 requests per minute, 2 requests at a time"));
    let [event] = site.events("key.created").await.try_into().unwrap();
    assert_eq!((event.actor.as_str(), event.subject.as_str()), ("user:bob", id.as_str()));
    assert_eq!(
        (event.detail.as_str(), event.address.as_str()),
        (
            r#"name="nightly" environment="ci" scopes=["inference","keys"] models=["tiny:*","llama3.2:latest"] limits={"requests_per_minute":60,"streams":2} expires_at="2027-02-19T04:50:26Z""#,
            "192.0.2.1"
        )
    );

    // The one page that may run a script, from this gateway and out of a file.
    let policy = made.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert!(made.has("<script defer src=\"/assets/copy.js?v=") && made.has("id=\"copy\" type=\"button\" hidden"));
    // How to use it, with the key in one place besides its own.
    for line in [
        &format!("export OLLAMA_HOST=http://127.0.0.1:11435\nexport OLLAMA_API_KEY={key}<"),
        "export OPENAI_BASE_URL=http://127.0.0.1:11435/v1\nexport OPENAI_API_KEY=&quot;$OLLAMA_API_KEY&quot;",
        "export ANTHROPIC_BASE_URL=http://127.0.0.1:11435\nexport ANTHROPIC_API_KEY=&quot;$OLLAMA_API_KEY&quot;",
        "curl -H &quot;Authorization: Bearer $OLLAMA_API_KEY&quot; -X POST http://127.0.0.1:11435/api/me<",
    ] {
        assert!(made.has(line), "{line}: {}", made.body);
    }
    assert_eq!(made.body.matches(&key).count(), 2);
    let script = bob.get("/assets/copy.js").await;
    assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");

    for path in ["/settings/keys", "/settings/keys?revoked=true", "/account", &format!("/settings/keys/revoke?id={id}")]
    {
        let page = bob.get(path).await;
        assert!(!page.has(&key) && !page.has("olauth_"), "{path}");
    }
    assert!(site.events("key.created").await.iter().all(|event| !format!("{event:?}").contains(&key)));
}

#[tokio::test]
async fn submitting_a_form_twice_creates_one_key() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    assert_ne!(id_in(&ada.get("/settings/keys/new").await.body), id, "each form is for a key of its own");
    let fields = wish(&token, &id, "one");
    let mut other = ada.clone();
    let (a, b) = tokio::join!(ada.post("/settings/keys", &fields), other.post("/settings/keys", &fields));
    let mut statuses = [a.status, b.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT]);
    assert_eq!([a, b].iter().filter(|reply| key_in(&reply.body).is_some()).count(), 1);

    let again = ada.post("/settings/keys", &fields).await;
    assert!(again.status == StatusCode::CONFLICT && again.has("It does not create a second one") && again.has(&id));
    assert!(key_in(&again.body).is_none());
    // Nor after it was revoked, nor with another name.
    site.change(Change::RevokeKey(id.parse().unwrap(), site.now())).await;
    assert_eq!(ada.post("/settings/keys", &wish(&token, &id, "two")).await.status, StatusCode::CONFLICT);
    assert_eq!(site.record(&id.parse().unwrap()).await.unwrap().name, "one");
    assert_eq!(site.gateway.directory.count_keys(site.user("ada")), 0);
    assert_eq!(site.events("key.created").await.len(), 1);
}

#[tokio::test]
async fn the_password_is_asked_for_again_after_15_minutes() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    assert!(!ada.get("/settings/keys/new").await.has("type=\"password\""));
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    site.wait(901);
    let mut fields = wish(&token, &id, "one");
    fields.push(("models", "tiny:*"));
    for (password, said) in [("", "Enter your password: you signed in"), ("wrong", "Wrong password.")] {
        let mut fields = fields.clone();
        fields.push(("password", password));
        let reply = ada.post("/settings/keys", &fields).await;
        assert!(reply.status == StatusCode::FORBIDDEN && reply.has(said), "{said}");
        assert!(reply.has("value=\"one\"") && reply.has("\ntiny:*") && id_in(&reply.body) == id, "nothing is lost");
        assert!(reply.has("type=\"password\"") && !reply.has("value=\"wrong\""));
    }
    assert_eq!(site.gateway.directory.count_keys(site.user("ada")), 0);
    assert_eq!(site.events("user.sign_in_failed").await[0].detail, r#"reason="wrong password for a new key""#);
    fields.push(("password", PASSWORD));
    assert_eq!(ada.post("/settings/keys", &fields).await.status, StatusCode::CREATED);
    assert!(!ada.get("/settings/keys/new").await.has("type=\"password\""), "for another quarter of an hour");
    site.wait(901);
    assert!(ada.get("/settings/keys/new").await.has("type=\"password\""));
    // Revoking takes none.
    let revoked = ada.post("/settings/keys/revoke", &[("csrf", &token), ("id", &id)]).await;
    assert_eq!(revoked.status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_passwords_are_throttled_as_at_the_sign_in() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    site.wait(901);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let mut fields = wish(&token, &id, "one");
        fields.push(("password", "wrong"));
        statuses.push(ada.post("/settings/keys", &fields).await.status);
    }
    // The sign-in was one try itself.
    assert_eq!(statuses[0], StatusCode::FORBIDDEN);
    assert_eq!(statuses[7], StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn form_errors_are_shown_with_the_submitted_values() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    let long = "x".repeat(101);
    let patterns = format!("{}*", "a".repeat(399));
    let many = [patterns.as_str(); 11].join("\n");
    let cases: [(&str, &str, &str); 8] = [
        ("name", "", "1 to 100 characters"),
        ("name", long.as_str(), "1 to 100 characters"),
        ("name", "a\nb", "1 to 100 characters"),
        ("environment", long.as_str(), "1 to 100 characters"),
        ("models", "http://tiny", "not a pattern for models"),
        ("models", many.as_str(), "longer than 4096 bytes"),
        ("expires", "9999", "Choose an expiry"),
        ("scope-inference", "", "Choose at least one right"),
    ];
    for (field, value, said) in cases {
        let mut fields = wish(&token, &id, "mine");
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let reply = ada.post("/settings/keys", &fields).await;
        assert!(reply.status.is_client_error() && reply.has(said), "{field}: {} {}", reply.status, reply.body);
        assert!(reply.has("role=\"alert\"") && id_in(&reply.body) == id && reply.has("<title>Error: "), "{field}");
        assert!(field == "name" || reply.has("value=\"mine\""), "{field}");
    }
    assert_eq!(site.gateway.directory.count_keys(site.user("ada")), 0);
    for (days, seconds) in [("30", Some(30)), ("365", Some(365)), ("never", None)] {
        let id = KeyId::generate().unwrap();
        let mut fields = wish(&token, id.as_str(), "mine");
        fields.retain(|(name, _)| *name != "expires");
        fields.push(("expires", days));
        assert_eq!(ada.post("/settings/keys", &fields).await.status, StatusCode::CREATED);
        let end = site.record(&id).await.unwrap().rights.expires_at;
        assert_eq!(end, seconds.map(|days: i64| site.now() + days * 86_400), "{days}");
    }
}

#[tokio::test]
async fn the_list_shows_the_state_of_each_key() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let (old, _) = site.key(&mut ada, "old one").await;
    let (gone, _) = site.key(&mut ada, "gone one").await;
    let (ended, _) = site.key(&mut ada, "ended one").await;
    let mut heir = (*site.record(&old).await.unwrap()).clone();
    let fresh = ApiKey::generate().unwrap();
    (heir.id, heir.hash, heir.replaces) = (KeyId::generate().unwrap(), fresh.hash(), Some(old.clone()));
    heir.rights.limits = serde_json::from_str(r#"{"requests_per_minute":60,"streams":2}"#).unwrap();
    site.change(Change::AddKey(Box::new(heir.clone()))).await;
    site.change(Change::RevokeKey(gone.clone(), site.now())).await;
    site.change(Change::ExpireKey(ended.clone(), site.now())).await;
    let row = |page: &str, id: &KeyId| {
        let row = page.split(&format!("id=\"{id}\"")).nth(1).map(|rest| rest.split("</tr>").next().unwrap().to_owned());
        row.unwrap_or_default()
    };
    let page = ada.get("/settings/keys").await.body;
    let shown = row(&page, &old);
    assert!(shown.contains(">Replaced<") && shown.contains(heir.id.as_str()) && shown.contains("Revoke old one"));
    let shown = row(&page, &heir.id);
    assert!(shown.contains(">Valid<") && shown.contains("in 90 days") && shown.contains("all models"), "{shown}");
    assert!(shown.contains("at most 60 requests per minute, 2 requests at a time"), "{shown}");
    assert!(shown.contains("now 0 of 60 requests, 0 of 2 at a time"), "{shown}");
    let shown = row(&page, &ended);
    assert!(shown.contains(">Expired<") && !shown.contains("Revoke ended one"), "there is nothing to revoke");
    assert!(row(&page, &gone).is_empty() && page.contains("Show revoked keys"));
    let page = ada.get("/settings/keys?revoked=true").await.body;
    assert!(row(&page, &gone).contains(">Revoked<") && !page.contains("Revoke gone one"));
    // The last fortnight of its life.
    site.change(Change::RevokeKey(old.clone(), site.now())).await;
    site.wait(80 * 86_400);
    let mut ada = site.signed_in("ada").await;
    let shown = row(&ada.get("/settings/keys").await.body, &heir.id);
    assert!(shown.contains(">Expires soon<") && shown.contains("in 10 days"), "{shown}");
}

#[tokio::test]
async fn revoking_asks_first_and_can_be_done_twice() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let (id, _) = site.key(&mut ada, "the cellar").await;
    let path = format!("/settings/keys/revoke?id={id}");
    let page = ada.get(&path).await;
    assert!(page.has("Revoke this key?") && page.has("the cellar") && page.has(id.as_str()));
    assert!(site.record(&id).await.unwrap().revoked_at.is_none(), "a link changes nothing");
    let fields = [("csrf", page.token()), ("id", id.to_string())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for _ in 0..2 {
        let reply = ada.post("/settings/keys/revoke", &fields).await;
        assert!(reply.status == StatusCode::OK && reply.has("Key revoked") && reply.has("the cellar"));
    }
    assert_eq!(site.record(&id).await.unwrap().revoked_at, Some(site.now()));
    assert!(ada.get(&path).await.has("is no longer accepted"));
    let [event] = site.events("key.revoked").await.try_into().unwrap();
    assert_eq!(
        (event.actor.as_str(), event.subject, event.detail.as_str()),
        ("user:ada", id.to_string(), r#"name="the cellar""#)
    );
    let list = ada.get("/settings/keys").await;
    assert!(!list.has(id.as_str()) && list.has("You have no active API keys."));
}

#[tokio::test]
async fn disconnecting_a_device_asks_first() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let key = DeviceKey::generate().unwrap().public().clone();
    let (user, created_at) = (site.user("ada"), site.now());
    let device =
        Device { key: key.clone(), user, name: "laptop".into(), created_at, last_used_at: None, suspended: None };
    site.change(Change::AddDevice(device)).await;
    let path = format!("/settings/devices/disconnect?key={}", key.encoded());
    assert!(ada.get("/settings/keys").await.has(&path));
    assert_eq!(ada.get("/settings/devices").await.location(), "/settings/keys#devices");
    let page = ada.get(&path).await;
    assert!(page.has("Disconnect this device?") && page.has("laptop") && page.has(&key.grouped_fingerprint()));
    assert!(site.owner(&key).is_some(), "a link changes nothing");
    let (token, encoded) = (page.token(), key.encoded());
    for _ in 0..2 {
        let reply = ada.post("/settings/devices/disconnect", &[("csrf", &token), ("key", &encoded)]).await;
        assert!(reply.status == StatusCode::OK && reply.has("Device disconnected"), "{}", reply.body);
    }
    assert_eq!(site.owner(&key), None);
    let [event] = site.events("device.disconnected").await.try_into().unwrap();
    assert_eq!((event.actor.as_str(), event.subject), ("user:ada", key.fingerprint()));
}

#[tokio::test]
async fn signing_in_returns_to_the_keys_page() {
    let site = Site::with_people().await;
    let revoke = format!("/settings/keys/revoke?id={}", KeyId::generate().unwrap());
    for (path, login, then) in [
        ("/settings/keys", "/login?to=keys", "/settings/keys"),
        ("/settings/keys/new", "/login?to=new-key", "/settings/keys/new"),
        (revoke.as_str(), "/login?to=keys", "/settings/keys"),
    ] {
        let mut browser = site.browser();
        assert_eq!(browser.get(path).await.location(), login);
        let form = browser.get(login).await;
        let to = login.split('=').nth(1).unwrap();
        assert!(form.has(&format!("name=\"to\" value=\"{to}\"")));
        let fields = [("csrf", form.token()), ("name", "ada".into()), ("password", PASSWORD.into()), ("to", to.into())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.address = IpAddr::from([192, 0, 2, u8::try_from(to.len()).unwrap()]);
        assert_eq!(browser.post("/login", &fields).await.location(), then);
        assert_eq!(browser.get(login).await.location(), then, "and at once for who is signed in");
    }
}

#[tokio::test]
async fn an_administrator_can_create_keys_with_the_admin_scope() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let form = ada.get("/settings/keys/new").await;
    assert!(form.has("id=\"scope-admin\""));
    let (token, id) = (form.token(), id_in(&form.body));
    let mut fields = wish(&token, &id, "root");
    fields.push(("scope-admin", "on"));
    assert_eq!(ada.post("/settings/keys", &fields).await.status, StatusCode::CREATED);
    assert!(site.record(&id.parse().unwrap()).await.unwrap().rights.scopes.contains(Scope::Admin));
}
