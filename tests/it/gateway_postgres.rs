//! Several gateways on one PostgreSQL database: what one grants and takes away the others know, and what they do while it does not answer.

mod certificates;
mod outage;
mod unusable;

use serde_json::json;

use crate::harness::cmd::Sandbox;
use crate::harness::gateway::{Answer, Gateway, PASSWORD};
use crate::harness::http::{Reply, Server};
use crate::harness::pages::{FORM, between, cookie};
use crate::harness::poll;
use crate::harness::postgres::{LOCKED, Postgres};
use crate::harness::signature::TestDevice;

fn upstream() -> Server {
    Server::start(|_| Reply::json(200, json!({ "models": [], "version": "0.99.1" })))
}

fn ask(gateway: &Gateway, method: &str, target: &str, key: &str) -> Answer {
    gateway.ask(method, target, &[&format!("Authorization: Bearer {key}")], "")
}

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.status_of(key)
}

/// A key that manages keys, and its id.
fn key(gateway: &Gateway, device: &Sandbox) -> (String, String) {
    let create = ["keys", "create", "ci", "--scope", "inference,models:read,keys", "--json"];
    let made = device.command(create).run().expect_code(0).json();
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let key = (text("key"), text("id"));
    assert_eq!(status(gateway, &key.0), 200);
    key
}

fn path_of(id: &str) -> String {
    use base64::Engine as _;
    format!("/api/user/keys/{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id))
}

#[test]
fn what_one_gateway_grants_and_takes_away_the_others_know() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    one.add_user("ada", "admin");
    let device = one.device_added_to("ada");
    let (secret, id) = key(&one, &device);
    poll("the key at the other gateway", || (status(&other, &secret) == 200).then_some(()));
    device.command(["keys", "revoke", &id, "--yes"]).run().expect_code(0);
    assert_eq!(status(&one, &secret), 401);
    poll("the revocation at the other gateway", || (status(&other, &secret) == 401).then_some(()));
    assert!(ask(&other, "GET", "/api/tags", &secret).text().contains("was revoked"));

    // A command on another machine needs nothing but the database.
    let (secret, _) = key(&one, &device);
    poll("the second key at the other gateway", || (status(&other, &secret) == 200).then_some(()));
    one.add_user("bob", "admin");
    other.admin(&["user", "disable", "ada"]).expect_code(0);
    for gateway in [&one, &other] {
        poll("that the account is disabled", || (status(gateway, &secret) == 403).then_some(()));
    }
    let audit = one.admin(&["audit"]).expect_code(0);
    assert!(audit.stdout().contains("user.disabled") && audit.stdout().contains("key.revoked"), "{}", audit.stdout());
}

#[test]
fn a_device_that_asked_at_one_gateway_can_be_approved_at_another_and_by_a_command() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    one.add_user("ada", "admin");
    let new = || {
        let mut device = Sandbox::new();
        device.set_env("OLLAMA_AUTH_STORE", "plaintext");
        device
    };
    let [by_command, by_page, denied] = [new(), new(), new()];
    let sign_in = |device: &Sandbox| device.command(["signin", "--host", &one.url(), "--no-wait"]).run();
    let link_of = |device: &Sandbox| sign_in(device).expect_code(4).stdout().trim().to_owned();
    let at_other = |link: &str| link.replace(&one.address(), &other.address());

    one.admin(&["approve", &link_of(&by_command), "--user", "ada"]).expect_code(0);
    poll("the approval by a command", || (sign_in(&by_command).code() == 0).then_some(()));

    let link = link_of(&by_page);
    let page = poll("the request at the other gateway", || {
        let output = other.browse(&at_other(&link), "ada", "Approve");
        (output.code() == 0).then(|| output.stdout().to_owned())
    });
    assert!(page.contains("Device approved"), "{page}");
    poll("the approval at the other gateway", || (sign_in(&by_page).code() == 0).then_some(()));
    // Nobody can approve it a second time.
    one.admin(&["approve", &link, "--user", "ada"]).expect_code(3);

    let link = link_of(&denied);
    poll("the second request at the other gateway", || {
        (other.browse(&at_other(&link), "ada", "Deny").code() == 0).then_some(())
    });
    one.admin(&["approve", &link, "--user", "ada"]).expect_code(3);
    poll("the denial", || (sign_in(&denied).code() != 4).then_some(()));
}

/// As behind a load balancer: each request of a browser may go to another gateway.
#[test]
fn a_browser_is_signed_in_at_all_gateways_until_it_signs_out_at_one() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let more = ["--public-url", "http://127.0.0.1:18999"];
    let one = Gateway::start_on(&database, &upstream.url(), &more);
    let other = Gateway::start_on(&database, &upstream.url(), &more);
    one.add_user("ada", "member");
    poll("the account", || other.admin(&["user", "list"]).stdout().contains("ada").then_some(()));
    let sign_in = || {
        let form = one.ask("GET", "/login", &[], "");
        let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
        let body = format!("csrf={token}&name=ada&password={}", PASSWORD.replace(' ', "+"));
        // The form of one, answered by the other.
        let signed_in = other.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM], &body);
        assert_eq!(signed_in.status, 303, "{}", signed_in.text());
        cookie(&signed_in, "session")
    };
    let is_in = |gateway: &Gateway, session: &str| {
        let page = gateway.ask("GET", "/settings/keys", &[session], "");
        assert!([200, 303].contains(&page.status), "{}", page.text());
        page.status == 200
    };
    let session = sign_in();
    // At once: the gateway that has not heard of it asks.
    assert!(is_in(&one, &session) && is_in(&other, &session));
    let page = one.ask("GET", "/settings/keys", &[&session], "");
    let token = between(page.text(), "name=\"csrf\" value=\"", "\"");
    let out = one.ask("POST", "/logout", &[&session, FORM], &format!("csrf={token}"));
    assert_eq!(out.status, 303, "{}", out.text());
    assert!(!is_in(&one, &session));
    poll("the sign-out at the other gateway", || (!is_in(&other, &session)).then_some(()));

    // Another password ends them all.
    let session = sign_in();
    assert!(is_in(&one, &session));
    one.admin_with(&["user", "passwd", "ada"], "another horse battery\n").expect_code(0);
    for gateway in [&one, &other] {
        poll("the end of the sessions", || (!is_in(gateway, &session)).then_some(()));
    }
}

#[test]
fn a_sign_out_without_the_database_counts_at_all_gateways_once_it_is_back() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let more = ["--public-url", "http://127.0.0.1:18999"];
    let one = Gateway::start_on(&database, &upstream.url(), &more);
    let other = Gateway::start_on(&database, &upstream.url(), &more);
    one.add_user("ada", "member");
    poll("the account", || one.admin(&["user", "list"]).stdout().contains("ada").then_some(()));
    let page = |gateway: &Gateway, session: &str| gateway.ask("GET", "/settings/keys", &[session], "");
    let [ended, kept] = [(); 2].map(|()| {
        poll("the sign-in", || {
            let form = one.ask("GET", "/login", &[], "");
            let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
            let body = format!("csrf={token}&name=ada&password={}", PASSWORD.replace(' ', "+"));
            let signed_in = one.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM], &body);
            (signed_in.status == 303).then(|| cookie(&signed_in, "session"))
        })
    });
    assert_eq!([&ended, &kept].map(|session| page(&other, session).status), [200; 2]);
    let token = between(page(&one, &ended).text(), "name=\"csrf\" value=\"", "\"");

    server.end("INT");
    let out = one.ask("POST", "/logout", &[&ended, FORM], &format!("csrf={token}"));
    assert_eq!(out.status, 303, "{}", out.text());
    // The page of a session that lasts says that the keys cannot be read.
    assert_eq!((page(&one, &ended).status, page(&other, &ended).status), (303, 503));

    server.start_again();
    poll("the sign-out at the other gateway", || (page(&other, &ended).status == 303).then_some(()));
    assert_eq!(
        [&one, &other].map(|gateway| (page(gateway, &ended).status, page(gateway, &kept).status)),
        [(303, 200); 2]
    );
}

/// Behind a load balancer the guesses of one go to all gateways.
#[test]
fn wrong_passwords_are_counted_by_all_gateways_together() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let more = ["--set", "trusted-proxies=127.0.0.1", "--public-url", "http://127.0.0.1:18999"];
    let one = Gateway::start_on(&database, &upstream.url(), &more);
    let other = Gateway::start_on(&database, &upstream.url(), &more);
    one.add_user("ada", "member");
    let sign_in = |gateway: &Gateway, from: u8, password: &str| {
        let from = format!("X-Forwarded-For: 192.0.2.{from}");
        let form = gateway.ask("GET", "/login", &[&from], "");
        let token = between(form.text(), "name=\"csrf\" value=\"", "\"");
        let body = format!("csrf={token}&name=ada&password={}", password.replace(' ', "+"));
        gateway.ask("POST", "/login", &[&cookie(&form, "visitor"), FORM, &from], &body).status
    };
    for (gateway, from) in [(&one, 7), (&other, 8)] {
        poll("the account", || (sign_in(gateway, from, PASSWORD) == 303).then_some(()));
    }
    let tried: Vec<u16> = (0..12).map(|number| sign_in([&one, &other][number % 2], 1, "wrong")).collect();
    let looked_at = tried.iter().filter(|status| **status == 401).count();
    // One more is due every ten seconds, if the machine is that slow.
    assert!((5..=10).contains(&looked_at) && tried.contains(&429), "{tried:?}");
    // From where nobody guesses the person gets in. Guesses of many addresses do not change that where the person is known, at any gateway.
    assert_eq!(sign_in(&other, 2, PASSWORD), 303);
    for from in 10..60 {
        sign_in([&one, &other][usize::from(from) % 2], from, "wrong");
    }
    assert_eq!(sign_in(&other, 7, PASSWORD), 303);
    let kept =
        Postgres::shared().sql(&database, "SELECT string_agg(encode(digest, 'escape'), '') FROM sign_in_attempts");
    assert!(!kept.is_empty() && !kept.contains("ada"), "{kept}");
}

#[test]
fn a_gateway_with_another_secret_or_none_does_not_start() {
    let database = Postgres::shared().database();
    let one = Gateway::start_on(&database, "http://127.0.0.1:9", &[]);
    let sandbox = one.sandbox();
    let serve = |more: &[&str]| {
        let args = ["gateway", "serve", "--listen", "127.0.0.1:0", "--database", &database];
        sandbox.command([&args, more].concat()).run()
    };
    let without = serve(&[]).expect_code(2);
    assert!(without.stderr().contains("secret-file is missing"), "{}", without.stderr());
    let secret = |content: &str| {
        let file = sandbox.write("other-secret", content);
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        serve(&["--set", &format!("secret-file={}", file.display())])
    };
    let short = secret("short").expect_code(2);
    assert!(short.stderr().contains("less than 32 bytes"), "{}", short.stderr());
    let other = secret("another one than the other gateways have").expect_code(1);
    assert!(other.stderr().contains("another gateway on this database has another secret-file"), "{}", other.stderr());
}

/// Copied on its way and sent to another gateway, from another address.
#[test]
fn a_signature_changes_something_once_at_all_gateways_together() {
    let (upstream, database) = (upstream(), Postgres::shared().database());
    let more = ["--set", "trusted-proxies=127.0.0.1"];
    let one = Gateway::start_on(&database, &upstream.url(), &more);
    let other = Gateway::start_on(&database, &upstream.url(), &more);
    one.add_user("ada", "maintainer");
    let device = TestDevice::new(11);
    one.admin(&["device", "add", &device.key().line, "--user", "ada", "--name", "laptop"]).expect_code(0);
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let send = |gateway: &Gateway, from: u8, (method, path, body): (&str, &str, &str), ts: u64| {
        let target = format!("{path}?ts={ts}");
        let header = format!("Authorization: {}", device.sign(&format!("{method},{target}")));
        gateway.ask(method, &target, &[&header, &format!("X-Forwarded-For: 192.0.2.{from}")], body)
    };
    let tags = ("GET", "/api/tags", "");
    for gateway in [&one, &other] {
        poll("the device", || (send(gateway, 1, tags, now()).status == 200).then_some(()));
    }
    for request in [("POST", "/api/user/keys", r#"{"name":"x"}"#), ("DELETE", "/api/delete", r#"{"model":"a"}"#)] {
        let ts = now();
        let first = send(&one, 1, request, ts);
        assert!(first.status < 300, "{request:?}: {}", first.text());
        let stolen = send(&other, 2, request, ts);
        assert_eq!(stolen.status, 401, "{request:?}: {}", stolen.text());
        assert!(stolen.text().contains("used from another address"), "{}", stolen.text());
    }
    let once = ("POST", "/api/user/keys", r#"{"name":"y"}"#);
    let ts = now() + 1;
    assert!(send(&other, 1, once, ts).status < 300);
    let repeated = send(&one, 1, once, ts);
    assert!(repeated.status == 401 && repeated.text().contains("used already"), "{}", repeated.text());
    // What changes nothing is not compared: a stolen signature can be used at the other gateways as long as it is of now.
    let ts = now();
    assert_eq!((send(&one, 1, tags, ts).status, send(&other, 2, tags, ts).status), (200, 200));
    poll("the replay in the event log", || {
        other.admin(&["audit"]).expect_code(0).stdout().contains("signature.replayed").then_some(())
    });
}

#[test]
fn without_its_database_a_gateway_grants_nothing_and_still_takes_away() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    let hasty = Gateway::start_on(&database, &upstream.url(), &["--set", "offline-grace=1s"]);
    one.add_user("ada", "admin");
    let device = one.device_added_to("ada");
    let ((kept, _), (lost, id)) = (key(&one, &device), key(&one, &device));
    poll("the keys at the other gateway", || (status(&hasty, &kept) == 200).then_some(()));

    server.end("INT");
    assert_eq!(status(&one, &kept), 200);
    let refused = one.ask("POST", "/api/user/keys", &[&format!("Authorization: Bearer {kept}")], r#"{"name":"x"}"#);
    assert_eq!(refused.status, 503, "{}", refused.text());
    // A good result is kept for some seconds, and the sign-in of the device may have asked for one.
    let ready = poll("that it is not ready", || Some(one.ask("GET", "/readyz", &[], "")).filter(|it| it.status == 503));
    assert_eq!(ready.json()["database"], "unavailable");
    poll("the end of the grace period", || (status(&hasty, &kept) == 503).then_some(()));

    let mut script = Sandbox::new();
    script.set_env("OLLAMA_API_KEY", &kept);
    // The second time it is already in effect, and still not stored.
    for _ in 0..2 {
        let revoke = script.command(["keys", "revoke", &id, "--yes", "--host", &one.url()]).run().expect_code(7);
        assert!(revoke.stderr().contains("other gateways do not know it"), "{}", revoke.stderr());
    }
    assert_eq!((status(&one, &lost), status(&one, &kept)), (401, 200));

    server.start_again();
    poll("the other gateway", || (status(&hasty, &kept) == 200).then_some(()));
    poll("that the revocation is stored", || (status(&hasty, &lost) == 401).then_some(()));
    assert_eq!((status(&one, &lost), status(&one, &kept)), (401, 200));
    let new = one.ask("POST", "/api/user/keys", &[&format!("Authorization: Bearer {kept}")], r#"{"name":"x"}"#);
    assert_eq!(new.status, 201, "{}", new.text());
}

/// As behind a network that drops everything: no connection breaks, and nothing is answered.
#[test]
fn a_frozen_database_holds_nobody_up_for_long() {
    let (upstream, server) = (upstream(), Postgres::start());
    let database = server.database();
    let one = Gateway::start_on(&database, &upstream.url(), &[]);
    one.add_user("ada", "admin");
    let device = one.device_added_to("ada");
    let ((kept, _), (lost, id)) = (key(&one, &device), key(&one, &device));
    server.freeze();
    assert_eq!(status(&one, &kept), 200);
    let revoked = ask(&one, "DELETE", &path_of(&id), &kept);
    assert_eq!((revoked.status, revoked.json()["code"].as_str()), (503, Some("not_stored")), "{}", revoked.text());
    assert_eq!((status(&one, &lost), status(&one, &kept)), (401, 200));
    server.thaw();
    let other = Gateway::start_on(&database, &upstream.url(), &[]);
    poll("that the revocation is stored", || (status(&other, &lost) == 401).then_some(()));
    assert_eq!((status(&other, &kept), status(&one, &kept), status(&one, &lost)), (200, 200, 401));
}

#[test]
fn the_password_comes_from_a_file_the_environment_or_pgpass() {
    let server = Postgres::shared();
    let database = server.database();
    let name = database.split_once("@/").unwrap().1.split('?').next().unwrap();
    let secret = "s3cret: with \\ and @";
    let role = format!("CREATE ROLE {LOCKED} LOGIN PASSWORD '{secret}'; GRANT ALL ON SCHEMA public TO {LOCKED}");
    server.sql(&database, &role);
    let address = database.replace("gate@", "locked@");
    let private = |sandbox: &Sandbox, path: &str, content: &str| {
        let file = sandbox.write(path, content);
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let list = |sandbox: &Sandbox| sandbox.command(["gateway", "user", "list", "--database", &address]).run();

    let mut sandbox = Sandbox::new();
    let refused = list(&sandbox).expect_code(1);
    assert!(refused.stderr().contains("password"), "{}", refused.stderr());
    sandbox.set_env("PGPASSWORD", "another");
    let refused = list(&sandbox).expect_code(1);
    assert!(refused.stderr().contains("password authentication failed"), "{}", refused.stderr());
    assert!(refused.stderr().contains("database-password-file"), "{}", refused.stderr());
    // The file wins.
    let file = private(&sandbox, "password", &format!("{secret}\n"));
    sandbox.set_env("OLLAMA_AUTH_GATEWAY_DATABASE_PASSWORD_FILE", file);
    list(&sandbox).expect_code(0);

    let mut sandbox = Sandbox::new();
    sandbox.set_env("PGPASSWORD", secret);
    list(&sandbox).expect_code(0);

    let sandbox = Sandbox::new();
    let escaped = secret.replace('\\', "\\\\").replace(':', "\\:");
    private(&sandbox, "home/.pgpass", &format!("*:*:{name}:somebody:wrong\n*:*:{name}:{LOCKED}:{escaped}\n"));
    list(&sandbox).expect_code(0);

    // The first host does not answer.
    let folder = address.split_once("host=").unwrap().1.replace('/', "%2F");
    let several = format!("postgres://gate@127.0.0.1:1,{folder}/{name}");
    Sandbox::new().command(["gateway", "user", "list", "--database", &several]).run().expect_code(0);
}

#[test]
fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let sandbox = Sandbox::new();
    let list = |database: &str| sandbox.command(["gateway", "user", "list", "--database", database]).run();
    let nobody = list("postgres://ada@127.0.0.1:1/gate").expect_code(1);
    assert!(
        nobody.stderr().contains("cannot reach the database postgres://ada@127.0.0.1:1/gate: Connection refused"),
        "{}",
        nobody.stderr()
    );
    for (database, says) in [
        ("postgres://ada:s3cret@127.0.0.1:1/gate", "every account of this machine could read"),
        ("postgres://ada@127.0.0.1:1/gate?password=s3cret", "every account of this machine could read"),
        ("postgres://ada:s3cret@127.0.0.1:one/gate", "postgres://USER@HOST:PORT/NAME"),
    ] {
        let refused = list(database).expect_code(2);
        assert!(refused.stderr().contains(says) && !refused.stderr().contains("s3cret"), "{}", refused.stderr());
    }
    let file = sandbox.write("gateway.toml", "database = \"postgres://ada:s3cret@127.0.0.1:1/gate\"\n");
    let listed = |mode: u32| {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        sandbox.command(["gateway", "user", "list", "--config", file.to_str().unwrap()]).run()
    };
    let shown = listed(0o644).expect_code(2);
    assert!(shown.stderr().contains("holds the password of the database"), "{}", shown.stderr());
    let private = listed(0o600).expect_code(1);
    assert!(private.stderr().contains("cannot reach") && !private.stderr().contains("s3cret"), "{}", private.stderr());
}
