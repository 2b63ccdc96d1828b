//! Keys and devices of others, forged and doubled forms, sessions that end meanwhile, names that mean harm.

use http::StatusCode;

use super::*;
use crate::gateway::store::Device;
use crate::keyspec::{Models, Rights, Scopes};

#[tokio::test]
async fn keys_and_devices_of_other_accounts_are_hidden_and_protected() {
    let site = Site::with_people().await;
    site.add("eve", Role::Maintainer).await;
    let (mut bob, mut eve) = (site.signed_in("bob").await, site.signed_in("eve").await);
    let (id, _) = site.key(&mut bob, "bob's secret name").await;
    let key = DeviceKey::generate().unwrap().public().clone();
    let (user, created_at) = (site.user("bob"), site.now());
    let device =
        Device { key: key.clone(), user, name: "bob's laptop".into(), created_at, last_used_at: None, suspended: None };
    site.change(Change::AddDevice(device)).await;
    let (token, encoded) = (eve.get("/account").await.token(), key.encoded());

    let list = eve.get("/settings/keys?revoked=true").await;
    assert!(!list.has(id.as_str()) && !list.has("bob") && !list.has(&key.grouped_fingerprint()));
    let unknown = KeyId::generate().unwrap();
    for id in [&id, &unknown] {
        let asked = eve.get(&format!("/settings/keys/revoke?id={id}")).await;
        let done = eve.post("/settings/keys/revoke", &[("csrf", &token), ("id", id.as_str())]).await;
        for reply in [asked, done] {
            assert!(reply.status == StatusCode::NOT_FOUND && !reply.has("bob"), "{}", reply.body);
        }
    }
    let asked = eve.get(&format!("/settings/devices/disconnect?key={encoded}")).await;
    let done = eve.post("/settings/devices/disconnect", &[("csrf", &token), ("key", &encoded)]).await;
    for reply in [asked, done] {
        assert!(reply.status == StatusCode::NOT_FOUND && !reply.has("bob"), "{}", reply.body);
    }
    assert!(site.record(&id).await.unwrap().revoked_at.is_none() && site.owner(&key).as_deref() == Some("bob"));
    // A form with the id of another's key makes none, and says nothing of that one.
    let reply = eve.post("/settings/keys", &wish(&token, id.as_str(), "mine")).await;
    assert!(reply.status == StatusCode::CONFLICT && !reply.has("bob") && key_in(&reply.body).is_none());
    assert_eq!(site.gateway.directory.count_keys(site.user("eve")), 0);

    // As with a key that has the scope `admin`: an administrator can revoke any key by its id, and is told its owner. Devices are excluded.
    let mut ada = site.signed_in("ada").await;
    assert!(!ada.get("/settings/keys").await.has(id.as_str()));
    let page = ada.get(&format!("/settings/keys/revoke?id={id}")).await;
    assert!(page.has("<strong>bob</strong>") && page.has("not to you"));
    let reply = ada.post("/settings/keys/revoke", &[("csrf", &page.token()), ("id", id.as_str())]).await;
    assert!(reply.status == StatusCode::OK && site.record(&id).await.unwrap().revoked_at.is_some());
    let asked = ada.get(&format!("/settings/devices/disconnect?key={encoded}")).await;
    assert_eq!(asked.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn forged_forms_change_nothing() {
    let site = Site::with_people().await;
    let (mut ada, mut bob) = (site.signed_in("ada").await, site.signed_in("bob").await);
    let (id, _) = site.key(&mut ada, "one").await;
    let key = DeviceKey::generate().unwrap().public().clone();
    let (user, created_at, encoded) = (site.user("ada"), site.now(), key.encoded());
    let device =
        Device { key: key.clone(), user, name: String::new(), created_at, last_used_at: None, suspended: None };
    site.change(Change::AddDevice(device)).await;
    let (token, foreign) = (ada.get("/account").await.token(), bob.get("/account").await.token());
    let visitor = site.browser().get("/login").await.token();
    let fresh = KeyId::generate().unwrap();
    let tries = |token: &str| {
        let fields = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        [
            ("/settings/keys", fields(&wish(token, fresh.as_str(), "forged"))),
            ("/settings/keys/revoke", fields(&[("csrf", token), ("id", id.as_str())])),
            ("/settings/devices/disconnect", fields(&[("csrf", token), ("key", &encoded)])),
        ]
    };
    for wrong in ["", "00", foreign.as_str(), visitor.as_str()] {
        for (path, fields) in tries(wrong) {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(ada.post(path, &fields).await.status, StatusCode::FORBIDDEN, "{path} {wrong}");
        }
    }
    for (header, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "same-site")] {
        let mut tricked = ada.clone();
        tricked.headers = vec![(header, value.to_owned())];
        for (path, fields) in tries(&token) {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(tricked.post(path, &fields).await.status, StatusCode::FORBIDDEN, "{path} {header}: {value}");
        }
    }
    // What only looks: no parameter of an address changes anything.
    for path in [
        format!("/settings/keys/revoke?id={id}&csrf={token}"),
        format!("/settings/keys?csrf={token}&id={fresh}&name=x"),
    ] {
        ada.get(&path).await;
    }
    assert!(site.record(&id).await.unwrap().revoked_at.is_none() && site.record(&fresh).await.is_none());
    assert!(site.owner(&key).is_some());
}

#[tokio::test]
async fn a_key_never_exceeds_the_role_of_its_owner() {
    let site = Site::with_people().await;
    let mut bob = site.signed_in("bob").await;
    let token = bob.get("/account").await.token();
    for scope in ["scope-admin", "scope-models-write"] {
        let id = KeyId::generate().unwrap();
        let mut fields = wish(&token, id.as_str(), "more");
        fields.push((scope, "on"));
        let reply = bob.post("/settings/keys", &fields).await;
        assert!(reply.status == StatusCode::FORBIDDEN && reply.has("does not have the scope"), "{scope}");
        assert!(site.record(&id).await.is_none());
    }
    // Nor what it had when the form was sent.
    let mut ada = site.signed_in("ada").await;
    site.add("carl", Role::Admin).await;
    let (token, id) = (ada.get("/account").await.token(), KeyId::generate().unwrap());
    let slow = site.store.held.write().await;
    let demoted = tokio::spawn(site.committed(Change::SetRole(site.user("ada"), Role::Member)));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let sent = tokio::spawn({
        let id = id.clone();
        async move {
            let mut fields = wish(&token, id.as_str(), "late");
            fields.push(("scope-admin", "on"));
            ada.post("/settings/keys", &fields).await.status
        }
    });
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    drop(slow);
    demoted.await.unwrap();
    assert_eq!((sent.await.unwrap(), site.record(&id).await), (StatusCode::UNAUTHORIZED, None));
}

#[tokio::test]
async fn a_session_that_ends_meanwhile_creates_and_revokes_nothing() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let (id, _) = site.key(&mut ada, "one").await;
    for end in ["sign-out", "disabled", "idle"] {
        let mut bob = site.signed_in("bob").await;
        let (mine, _) = site.key(&mut bob, "bob's").await;
        let token = bob.get("/account").await.token();
        match end {
            "sign-out" => site.gateway.administration.sessions.end_all_of(site.user("bob")),
            "disabled" => site.change(Change::SetDisabled(site.user("bob"), true)).await,
            _ => site.wait(3601),
        }
        let fresh = KeyId::generate().unwrap();
        let made = bob.post("/settings/keys", &wish(&token, fresh.as_str(), "late")).await;
        assert_eq!((made.location(), site.record(&fresh).await), ("/login?to=new-key", None), "{end}");
        let revoked = bob.post("/settings/keys/revoke", &[("csrf", &token), ("id", mine.as_str())]).await;
        assert_eq!(revoked.location(), "/login?to=keys", "{end}");
        assert!(site.record(&mine).await.unwrap().revoked_at.is_none(), "{end}");
        site.change(Change::SetDisabled(site.user("bob"), false)).await;
    }
    // While it waits for the disk: the change is the next one in the row, and by then it is too late.
    let mut ada2 = site.signed_in("ada").await;
    let token2 = ada2.get("/account").await.token();
    let slow = site.store.held.write().await;
    let first = tokio::spawn(site.committed(Change::Note));
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    let fresh = KeyId::generate().unwrap();
    let made = tokio::spawn({
        let (fresh, id) = (fresh.clone(), id.clone());
        async move {
            let made = ada2.post("/settings/keys", &wish(&token2, fresh.as_str(), "late")).await.status;
            let revoked = ada2.post("/settings/keys/revoke", &[("csrf", &token2), ("id", id.as_str())]).await;
            (made, revoked.location().to_owned())
        }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    site.gateway.administration.sessions.end_all_of(site.user("ada"));
    drop(slow);
    first.await.unwrap();
    let (status, then) = made.await.unwrap();
    assert_eq!((status, then.as_str()), (StatusCode::UNAUTHORIZED, "/login?to=keys"));
    assert!(site.record(&fresh).await.is_none() && site.record(&id).await.unwrap().revoked_at.is_none());
}

#[tokio::test]
async fn hostile_key_names_are_escaped() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let name = "<script>alert(1)</script>\"'&\u{202e}evil\u{200b}</textarea>";
    let harmless = |body: &str| {
        assert!(!body.contains("<script>") && body.contains("&lt;script&gt;"), "{body}");
        assert!(!body.contains(['\u{202e}', '\u{200b}']) && body.contains("\\u{202e}evil"), "{body}");
        assert_eq!(body.matches("<bdi").count(), body.matches("dir=\"ltr\"").count(), "{body}");
    };
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    let mut fields = wish(&token, &id, name);
    fields.push(("environment", name));
    let mut wrong = fields.clone();
    wrong.push(("models", "</textarea><script>alert(1)</script>"));
    let reply = ada.post("/settings/keys", &wrong).await;
    assert!(!reply.has("<script>") && reply.has("&lt;/textarea&gt;&lt;script&gt;"));
    harmless(&ada.post("/settings/keys", &fields).await.body);
    harmless(&ada.post("/settings/keys", &fields).await.body);
    harmless(&ada.get("/settings/keys").await.body);
    let page = ada.get(&format!("/settings/keys/revoke?id={id}")).await;
    harmless(&page.body);
    harmless(&ada.post("/settings/keys/revoke", &[("csrf", &page.token()), ("id", &id)]).await.body);
    // What a link brings is not written into a page at all.
    for path in [
        "/settings/keys/revoke?id=<script>",
        "/settings/devices/disconnect?key=<script>",
        "/login?to=<script>",
        "/settings/keys?after=<script>",
    ] {
        let path = path.replace('<', "%3C").replace('>', "%3E");
        assert!(!ada.get(&path).await.has("script"), "{path}");
    }
}

#[tokio::test]
async fn links_without_a_valid_key_or_device_are_refused() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let key = DeviceKey::generate().unwrap().public().encoded();
    let id = KeyId::generate().unwrap();
    for (path, status) in [
        ("/settings/keys/revoke".to_owned(), 400),
        ("/settings/keys/revoke?id=1".to_owned(), 400),
        (format!("/settings/keys/revoke?id={id}&id={id}"), 400),
        ("/settings/devices/disconnect?key=1".to_owned(), 400),
        (format!("/settings/devices/disconnect?key={key}"), 404),
        ("/settings/keys?after=x".to_owned(), 400),
        ("/settings/keys?after=d0000".to_owned(), 400),
        ("/settings/nonsense".to_owned(), 404),
    ] {
        assert_eq!(ada.get(&path).await.status.as_u16(), status, "{path}");
    }
    assert_eq!(
        ada.get(&format!("/settings/keys?after=k{:016x}{id}", 5)).await.status,
        StatusCode::OK,
        "behind nothing"
    );
}

/// What fifty of a hundred thousand keys cost is what fifty cost; and the next is refused in words.
#[tokio::test]
async fn long_key_lists_are_paginated() {
    let store = MemoryStore::default();
    let user = Uuid::new_v4();
    let (limits, addresses) = Default::default();
    let rights = Rights { scopes: Scopes::all(), models: Models::all(), expires_at: None, limits, addresses };
    store.first.lock().unwrap().keys.extend((0..100_000_u32).map(|n| {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        KeyRecord {
            id: format!("key_{n:08}").parse().unwrap(),
            user,
            name: format!("number {n}"),
            environment: None,
            rights: rights.clone(),
            hash: crate::keyspec::KeyHash::from_bytes(hash),
            hint: "abcd".into(),
            replaceable: true,
            replaces: None,
            first: None,
            created_by: None,
            exchanged_for: None,
            created_at: i64::from(n),
            last_used_at: None,
            revoked_at: (n < 80_000).then_some(1),
            suspended: None,
        }
    }));
    let site = Site::opened("http://127.0.0.1:11435", store).await;
    site.add_as(user, "ada", Role::Admin).await;
    let mut ada = site.signed_in("ada").await;
    let page = ada.get("/settings/keys").await;
    assert!(page.has("number 99999") && page.has("number 99950<") && !page.has("number 99949<"));
    let next = page.body.split("id=\"older\"").nth(1).unwrap().split('"').nth(3).unwrap().replace("&amp;", "&");
    let page = ada.get(&next).await;
    assert!(
        page.has("number 99949<") && page.has("number 99900<") && !page.has("number 99950<") && page.has("Newest keys")
    );
    assert!(!page.has("id=\"devices\""), "on the first page alone");
    let last = ada.get(&format!("/settings/keys?revoked=true&after=k{:016x}key_00000010", i64::MAX - 10)).await;
    assert!(last.has("number 9<") && last.has("number 0<") && !last.has("id=\"older\"") && last.has("Hide revoked"));

    let (token, id) = (page.token(), KeyId::generate().unwrap());
    let reply = ada.post("/settings/keys", &wish(&token, id.as_str(), "one more")).await;
    assert!(reply.status == StatusCode::FORBIDDEN && reply.has("as many keys as allowed"), "{}", reply.body);
    assert!(site.record(&id).await.is_none() && reply.has("value=\"one more\""));
    // Those that have ended do not count: a job that creates a thousand keys a day works for years.
    site.change(Change::RevokeKey("key_00099999".parse().unwrap(), site.now())).await;
    let reply = ada.post("/settings/keys", &wish(&token, id.as_str(), "one more")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
}

#[tokio::test]
async fn a_full_disk_creates_and_shows_no_key() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let form = ada.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    site.store.full.store(true, Ordering::SeqCst);
    let reply = ada.post("/settings/keys", &wish(&token, &id, "one")).await;
    assert_eq!((reply.status, key_in(&reply.body)), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert!(!reply.has("no space left"));
    site.store.full.store(false, Ordering::SeqCst);
    let reply = ada.post("/settings/keys", &wish(&token, &id, "one")).await;
    assert_eq!(reply.status, StatusCode::CREATED, "the same form, once there is room");
}

#[tokio::test]
async fn a_session_cookie_is_not_accepted_by_the_api() {
    let site = Site::with_people().await;
    let ada = site.signed_in("ada").await;
    let headers =
        ada.cookies.iter().map(|(name, value)| (http::header::COOKIE, format!("{name}={value}").parse().unwrap()));
    let headers: http::HeaderMap = headers.collect();
    let target = crate::gateway::Target { method: "GET", path: "/api/user/keys", query: None };
    let refused = site
        .gateway
        .pages
        .authenticator
        .identify(
            &headers,
            &target,
            crate::gateway::origin::Origin::new(ada.address),
            crate::gateway::routes::Changes::Nothing,
        )
        .await;
    assert_eq!(refused.unwrap_err().status(), 401);
}
