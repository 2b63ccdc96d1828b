//! The pages of administrators: who may see them, that every change needs a reason, a password and a form of ours, and what is refused.

use http::StatusCode;

use super::*;
use crate::gateway::config::{ConfigFile, Inputs, load_tables};

/// All that can be opened.
const PAGES: [&str; 11] = [
    "/admin",
    "/admin/people",
    "/admin/person?name=bob",
    "/admin/change?action=suspend-user&of=bob",
    "/admin/roles",
    "/admin/policy",
    "/admin/invitations",
    "/admin/invitations/new",
    "/admin/maintenance",
    "/admin/audit",
    "/admin/audit?action=key&since=2026-11-29",
];
/// All that takes a form.
const FORMS: [&str; 3] = ["/admin/change", "/admin/invitations", "/admin/maintenance"];

fn change<'a>(token: &'a str, action: &'a str, of: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("csrf", token), ("action", action), ("of", of), ("role", ""), ("reason", "as agreed")]
}

impl Site {
    async fn changed(&self, browser: &mut Browser, action: &str, of: &str) -> super::browser::Reply {
        let token = browser.get("/account").await.token();
        browser.post("/admin/change", &change(&token, action, of)).await
    }
}

#[tokio::test]
async fn for_others_these_pages_do_not_exist() {
    let site = Site::with_people().await;
    site.add("carol", Role::Maintainer).await;
    let mut stranger = site.browser();
    for name in ["bob", "carol"] {
        let mut browser = site.signed_in(name).await;
        let token = browser.get("/account").await.token();
        assert!(!browser.get("/account").await.has("/admin/"));
        let missing = browser.get("/settings/nonsense").await;
        let without_path = |body: &str| body.split("<main").nth(1).unwrap().to_owned();
        for path in PAGES {
            let reply = browser.get(path).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(without_path(&reply.body), without_path(&missing.body), "{path}");
            assert_eq!(stranger.get(path).await.location(), "/login", "{path}");
        }
        for path in FORMS {
            let fields = change(&token, "disable-user", "ada");
            assert_eq!(browser.post(path, &fields).await.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(stranger.post(path, &fields).await.location(), "/login", "{path}");
        }
    }
    assert!(site.gateway.directory.user_by_name("ada").unwrap().is_active());
    let mut ada = site.signed_in("ada").await;
    assert!(ada.get("/account").await.has("href=\"/admin\""));
    for path in PAGES {
        let reply = ada.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        assert_eq!(reply.headers[http::header::CACHE_CONTROL], "no-store", "{path}");
        assert!(!reply.has("<script"), "{path}");
    }
}

#[tokio::test]
async fn a_person_is_suspended_disabled_and_given_another_role() {
    let site = Site::with_people().await;
    let (mut ada, mut bob) = (site.signed_in("ada").await, site.signed_in("bob").await);
    let user = || site.gateway.directory.user_by_name("bob").unwrap();
    let reply = site.changed(&mut ada, "suspend-user", "bob").await;
    assert_eq!(reply.location(), "/admin/person?name=bob&done=suspend-user");
    let page = ada.get("/admin/person?name=bob&done=suspend-user").await;
    assert!(
        page.has("The account is suspended.") && page.has("as agreed") && page.has("Lift suspension"),
        "{}",
        page.body
    );
    assert_eq!(bob.get("/account").await.location(), "/login");
    assert_eq!(user().suspended.as_ref().unwrap().reason.as_deref(), Some("as agreed"));
    site.changed(&mut ada, "resume-user", "bob").await.location();
    site.changed(&mut ada, "disable-user", "bob").await.location();
    assert!(user().disabled && user().suspended.is_none());
    assert_eq!(bob.get("/account").await.location(), "/login", "the session ended");
    site.changed(&mut ada, "enable-user", "bob").await.location();
    let token = ada.get("/account").await.token();
    let mut fields = change(&token, "role", "bob");
    fields[3].1 = "maintainer";
    assert!(ada.get("/admin/change?action=role&of=bob&role=maintainer").await.has("<strong>maintainer</strong>"));
    ada.post("/admin/change", &fields).await.location();
    assert_eq!(user().role, Role::Maintainer);
    for action in ["user.suspended", "user.resumed", "user.disabled", "user.enabled", "user.role"] {
        let [event] = site.events(action).await.try_into().unwrap_or_else(|_| panic!("{action}"));
        assert_eq!((event.actor.as_str(), event.address.as_str()), ("user:ada", "192.0.2.1"), "{action}");
        assert!(event.detail.contains(r#"reason="as agreed""#), "{}", event.detail);
    }
}

#[tokio::test]
async fn keys_and_devices_of_a_person_are_shown_and_changed() {
    let site = Site::with_people().await;
    let mut bob = site.signed_in("bob").await;
    let (id, _) = site.key(&mut bob, "nightly").await;
    let device = DeviceKey::generate().unwrap().public().clone();
    let owner = site.user("bob");
    let (name, created_at) = ("laptop".to_owned(), site.now());
    let added = Device { key: device.clone(), user: owner, name, created_at, last_used_at: None, suspended: None };
    site.change(Change::AddDevice(added)).await;
    let mut ada = site.signed_in("ada").await;
    let page = ada.get("/admin/person?name=bob").await;
    assert!(
        page.has("nightly")
            && page.has(id.as_str())
            && page.has("laptop")
            && page.has(&device.grouped_fingerprint()[..6])
    );
    let (key, encoded) = (id.as_str(), device.encoded());
    let state = || site.gateway.directory.unended_key(&id).map(|known| known.credential.suspended.is_some());
    for (action, suspended) in [("suspend-key", Some(true)), ("resume-key", Some(false)), ("revoke-key", None)] {
        assert!(ada.get(&format!("/admin/change?action={action}&of={key}")).await.has("nightly"), "{action}");
        site.changed(&mut ada, action, key).await.location();
        assert_eq!(state(), suspended, "{action}");
    }
    let state = || site.gateway.directory.device(&device).map(|known| known.credential.suspended.is_some());
    for (action, suspended) in
        [("suspend-device", Some(true)), ("resume-device", Some(false)), ("disconnect-device", None)]
    {
        site.changed(&mut ada, action, &encoded).await.location();
        assert_eq!(state(), suspended, "{action}");
    }
    let page = ada.get("/admin/person?name=bob").await;
    assert!(!page.has("nightly") && !page.has("laptop"));
    assert!(ada.get("/admin/person?name=bob&revoked=true").await.has("nightly"));
    // What has ended cannot be suspended, and what is gone is not found.
    assert_eq!(site.changed(&mut ada, "suspend-key", key).await.status, StatusCode::CONFLICT);
    assert_eq!(site.changed(&mut ada, "suspend-device", &encoded).await.status, StatusCode::NOT_FOUND);
    for (action, of) in [
        ("suspend-user", "eve"),
        ("revoke-key", "key_4ZtT5kQGzNcGqYtVdYfG"),
        ("revoke-invitation", "inv_0123456789abcdef"),
    ] {
        assert_eq!(site.changed(&mut ada, action, of).await.status, StatusCode::NOT_FOUND, "{action}");
    }
    for (action, of) in
        [("", "bob"), ("explode", "bob"), ("role", "bob"), ("suspend-key", "x"), ("suspend-device", "x")]
    {
        assert_eq!(site.changed(&mut ada, action, of).await.status, StatusCode::BAD_REQUEST, "{action}");
    }
    assert_eq!(ada.get("/admin/person?name=eve").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_key_that_is_too_old_for_its_environment_is_shown_as_expired() {
    let site = Site::with_people().await;
    let rules = b"[environments.prod]\nmax-key-age = \"10d\"\n".to_vec();
    let file = Some(ConfigFile { path: "gateway.toml".into(), bytes: rules });
    let tables = load_tables(&Inputs { file, ..Inputs::default() }).unwrap().policy_tables();
    let mut bob = site.signed_in("bob").await;
    let form = bob.get("/settings/keys/new").await;
    let (token, id) = (form.token(), id_in(&form.body));
    let wish = [wish(&token, &id, "nightly"), vec![("environment", "prod")]].concat();
    assert_eq!(bob.post("/settings/keys", &wish).await.status, StatusCode::CREATED);
    site.gateway.directory.set_policy_tables(tables);
    for (days, is_shown) in [(9, false), (2, true)] {
        site.wait(days * 86_400);
        let page = site.signed_in("ada").await.get("/admin/person?name=bob").await;
        assert!(page.has("nightly") && page.has("Expired") == is_shown, "{days}: {}", page.body);
    }
}

#[tokio::test]
async fn the_last_administrator_cannot_be_locked_out() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    for action in ["suspend-user", "disable-user"] {
        let reply = site.changed(&mut ada, action, "ada").await;
        assert_eq!(reply.status, StatusCode::CONFLICT, "{action}");
        assert!(reply.has("only active administrator") && reply.has("role=\"alert\""), "{}", reply.body);
    }
    let token = ada.get("/account").await.token();
    let mut fields = change(&token, "role", "ada");
    fields[3].1 = "member";
    assert_eq!(ada.post("/admin/change", &fields).await.status, StatusCode::CONFLICT);
    fields[3].1 = "pilot";
    assert_eq!(ada.post("/admin/change", &fields).await.status, StatusCode::CONFLICT, "a role that is not defined");
    assert!(site.gateway.directory.user_by_name("ada").unwrap().is_active());
    // With a second one it is possible, and the first has no such pages any more.
    site.add("carol", Role::Admin).await;
    fields[3].1 = "member";
    ada.post("/admin/change", &fields).await.location();
    assert_eq!(ada.get("/admin/people").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_change_needs_a_form_of_ours_a_reason_and_a_password_that_was_typed_lately() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    let active = || site.gateway.directory.user_by_name("bob").unwrap().is_active();
    // Following a link changes nothing.
    ada.get("/admin/change?action=disable-user&of=bob").await;
    let other = site.signed_in("ada").await.get("/account").await.token();
    for wrong in ["", "00", &other] {
        for path in FORMS {
            let reply = ada.post(path, &change(wrong, "disable-user", "bob")).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    ada.headers = vec![("origin", "https://evil.example".into())];
    assert_eq!(ada.post("/admin/change", &change(&token, "disable-user", "bob")).await.status, StatusCode::FORBIDDEN);
    ada.headers.clear();
    for reason in ["", "  ", "a\nb", &"x".repeat(101)] {
        let mut fields = change(&token, "disable-user", "bob");
        fields[4].1 = reason;
        let reply = ada.post("/admin/change", &fields).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{reason:?}");
        assert!(reply.has("The reason must be one line"), "{}", reply.body);
    }
    site.wait(16 * 60);
    assert!(ada.get("/admin/change?action=disable-user&of=bob").await.has("autocomplete=\"current-password\""));
    for path in FORMS {
        let mut fields = change(&token, "disable-user", "bob");
        fields.extend([("expires", "7"), ("message", "x"), ("ends", "never")]);
        fields[3].1 = "member";
        assert_eq!(ada.post(path, &fields).await.status, StatusCode::FORBIDDEN, "{path} without a password");
        fields.push(("password", "wrong"));
        let reply = ada.post(path, &fields).await;
        assert!(reply.status == StatusCode::FORBIDDEN && reply.has("Wrong password."), "{path}: {}", reply.body);
    }
    assert!(active() && site.gateway.directory.maintenance(site.now()).is_none());
    assert!(site.gateway.directory.invitations().is_empty());
    let mut fields = change(&token, "disable-user", "bob");
    fields.push(("password", PASSWORD));
    ada.post("/admin/change", &fields).await.location();
    assert!(!active());
}

#[tokio::test]
async fn hostile_names_and_messages_are_escaped() {
    let site = Site::with_people().await;
    let hostile = "<script>alert(1)</script>\"'&\u{202e}evil\u{200b}";
    let mut bob = site.signed_in("bob").await;
    site.key(&mut bob, hostile).await;
    let key = DeviceKey::generate().unwrap().public().clone();
    let (user, created_at) = (site.user("bob"), site.now());
    let device = Device { key, user, name: hostile.into(), created_at, last_used_at: None, suspended: None };
    site.change(Change::AddDevice(device)).await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    let fields = [("csrf", &*token), ("message", hostile), ("ends", "120"), ("reason", hostile), ("refuse", "on")];
    assert_eq!(ada.post("/admin/maintenance", &fields).await.location(), "/admin/maintenance?done=set-maintenance");
    let fields = [("csrf", &*token), ("email", hostile), ("role", "member"), ("expires", "7"), ("reason", hostile)];
    let made = ada.post("/admin/invitations", &fields).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let search = "/admin/people?search=%3Cscript%3E%22&after=%3Cb%3E";
    let pages = [
        "/admin/person?name=bob",
        "/admin/maintenance",
        "/admin/invitations",
        search,
        "/account",
        "/admin/person?name=%3Cscript%3E",
    ];
    for path in pages {
        let reply = ada.get(path).await;
        assert!(!reply.has("<script") && !reply.body.contains(['\u{202e}', '\u{200b}']), "{path}: {}", reply.body);
        assert_eq!(reply.body.matches("<bdi").count(), reply.body.matches("dir=\"ltr\"").count(), "{path}");
    }
    assert!(ada.get("/settings/keys").await.has("Requests to models are refused meanwhile."), "the banner");
    assert!(!site.browser().get("/login").await.has("Maintenance"), "strangers do not see it");
}

#[tokio::test]
async fn an_invitation_is_made_shown_once_and_revoked() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    let fields = |name, role, expires| {
        [("csrf", &*token), ("name", name), ("email", ""), ("role", role), ("expires", expires), ("reason", "new here")]
    };
    for (name, role, expires) in
        [("Eve L", "member", "7"), ("eve", "pilot", "7"), ("eve", "member", "31"), ("bob", "member", "7")]
    {
        let reply = ada.post("/admin/invitations", &fields(name, role, expires)).await;
        assert!(reply.status.is_client_error() && reply.has("role=\"alert\""), "{name} {role}: {}", reply.body);
    }
    let made = ada.post("/admin/invitations", &fields("eve", "maintainer", "3")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let link = made.body.split("http://127.0.0.1:11435/invite?token=").nth(1).unwrap();
    let secret: String = link.chars().take_while(|c| *c != '<').collect();
    assert_eq!(secret.len(), 43);
    let list = ada.get("/admin/invitations").await;
    assert!(!list.has(&secret) && list.has("eve") && list.has(">Open<"), "{}", list.body);
    let [event] = site.events("invitation.created").await.try_into().unwrap();
    assert!(event.actor == "user:ada" && event.detail.contains("new here") && !event.detail.contains(&secret));

    let path = format!("/invite?token={secret}");
    let mut eve = site.browser();
    let csrf = eve.get(&path).await.token();
    let accept = [("csrf", &*csrf), ("token", &secret), ("email", ""), ("password", PASSWORD), ("again", PASSWORD)];
    // Who made it is no administrator for a while.
    site.add("carol", Role::Admin).await;
    site.change(Change::SetRole(site.user("ada"), Role::Member)).await;
    let reply = eve.post("/invite", &accept).await;
    assert!(reply.status == StatusCode::GONE && reply.has("no longer administrates"), "{}", reply.body);
    site.change(Change::SetRole(site.user("ada"), Role::Admin)).await;
    assert_eq!(eve.post("/invite", &accept).await.location(), "/account?welcome=true");
    assert_eq!(site.gateway.directory.user_by_name("eve").unwrap().role, Role::Maintainer);
    assert!(ada.get("/admin/invitations").await.has(">Used<"));

    ada.post("/admin/invitations", &fields("", "member", "1")).await;
    let id = site.gateway.directory.invitations().iter().find(|other| other.used_at.is_none()).unwrap().id.to_string();
    assert!(ada.get(&format!("/admin/change?action=revoke-invitation&of={id}")).await.has(&id));
    let reply = site.changed(&mut ada, "revoke-invitation", &id).await;
    assert_eq!(reply.location(), "/admin/invitations?done=revoke-invitation");
    assert!(ada.get("/admin/invitations").await.has(">Revoked<"));
}

#[tokio::test]
async fn of_two_browsers_with_one_link_one_gets_the_account() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    let fields = [("csrf", &*token), ("role", "member"), ("expires", "1"), ("reason", "x")];
    let made = ada.post("/admin/invitations", &fields).await;
    let link = made.body.split("/invite?token=").nth(1).unwrap();
    let secret: String = link.chars().take_while(|c| *c != '<').collect();
    let (mut one, mut two) = (site.browser(), site.browser());
    let path = format!("/invite?token={secret}");
    let (first, second) = (one.get(&path).await.token(), two.get(&path).await.token());
    let accept = |csrf, name| {
        [
            ("csrf", csrf),
            ("token", &*secret),
            ("name", name),
            ("email", ""),
            ("password", PASSWORD),
            ("again", PASSWORD),
        ]
    };
    let (first, second) = (accept(&*first, "eve"), accept(&*second, "mallory"));
    let (first, second) = tokio::join!(one.post("/invite", &first), two.post("/invite", &second));
    let mut statuses = [first.status, second.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::SEE_OTHER, StatusCode::GONE]);
    assert_eq!(site.gateway.directory.users().len(), 3);
    assert_eq!([&one, &two].iter().filter(|browser| browser.session().is_some()).count(), 1);
}

#[tokio::test]
async fn maintenance_is_set_and_removed() {
    let site = Site::with_people().await;
    let mut ada = site.signed_in("ada").await;
    let token = ada.get("/account").await.token();
    for (message, ends) in [("", "never"), ("a\nb", "never"), ("x", "soon")] {
        let fields = [("csrf", &*token), ("message", message), ("ends", ends), ("reason", "x")];
        assert_eq!(
            ada.post("/admin/maintenance", &fields).await.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{message:?}"
        );
    }
    let fields = [("csrf", &*token), ("message", "new GPU"), ("ends", "30"), ("reason", "planned")];
    ada.post("/admin/maintenance", &fields).await.location();
    let set = site.gateway.directory.maintenance(site.now()).unwrap();
    assert_eq!((set.refuses, set.until), (false, Some(site.now() + 1800)));
    assert!(ada.get("/admin/maintenance").await.has("Remove the message"));
    assert_eq!(
        site.changed(&mut ada, "end-maintenance", "").await.location(),
        "/admin/maintenance?done=end-maintenance"
    );
    assert!(site.gateway.directory.maintenance(site.now()).is_none());
    for action in ["maintenance.started", "maintenance.ended"] {
        let [event] = site.events(action).await.try_into().unwrap_or_else(|_| panic!("{action}"));
        assert!(event.actor == "user:ada" && event.detail.contains("reason="), "{action}: {}", event.detail);
    }
}

#[tokio::test]
async fn people_are_searched_and_shown_fifty_at_a_time() {
    let site = Site::with_people().await;
    for number in 0..60 {
        let (id, name) = (Uuid::new_v4(), format!("p{number:02}"));
        let user = User {
            id,
            name,
            email: "e@lab".into(),
            role: Role::Member,
            disabled: false,
            created_at: 1,
            suspended: None,
            addresses: Default::default(),
            groups: Vec::new(),
            limits: Default::default(),
        };
        site.change(Change::AddUser(user, None)).await;
    }
    let mut ada = site.signed_in("ada").await;
    let first = ada.get("/admin/people").await;
    assert!(
        first.has("62 accounts") && first.has("name=ada\"") && first.has("name=p47\"") && !first.has("name=p48\""),
        "{}",
        first.body
    );
    let more =
        first.body.split("id=\"more\"").nth(1).unwrap().split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let second = ada.get(&more.replace("&amp;", "&")).await;
    assert!(
        second.has("name=p48\"") && second.has("name=p59\"") && !second.has("name=p47\"") && !second.has("id=\"more\"")
    );
    let found = ada.get("/admin/people?search=P1").await;
    assert!(found.has("10 accounts") && found.has("name=p11\"") && !found.has("name=p21\""));
    assert!(ada.get("/admin/people?search=nobody").await.has("Nobody is found."));
    let roles = ada.get("/admin/roles").await;
    let policy = ada.get("/admin/policy").await;
    assert!(policy.has("# Scopes:\n") && policy.has("#   member: inference, models:read"), "{}", policy.body);
    assert!(roles.has("61 people have") && roles.has("1 person has"), "{}", roles.body);
}
