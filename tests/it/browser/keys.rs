//! `/settings/keys`: a key is made, shown once, copied, used, revoked; a device is disconnected.

use serde_json::json;

use super::{Device, assert_quiet, devices, sign_in_as_ada, with_ada, without_blanks};
use crate::harness::chromium::Chromium;
use crate::harness::gateway::Gateway;
use crate::harness::poll;

/// The status that a request with that key is answered with.
fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.ask("GET", "/api/tags", &[&format!("Authorization: Bearer {key}")], "").status
}

/// Makes a key of that name, and gives what is shown.
#[track_caller]
pub fn create(page: &Chromium, gateway: &Gateway, name: &str) -> String {
    page.open(&format!("{}/settings/keys", gateway.url()));
    page.press("Create a key");
    page.fill("#name", name);
    page.press("Create the key");
    assert_eq!(page.text("h1"), "Your new API key", "{}", page.text("main"));
    page.text("#key")
}

/// The names in the list of keys.
#[track_caller]
fn listed(page: &Chromium, gateway: &Gateway) -> Vec<String> {
    page.open(&format!("{}/settings/keys", gateway.url()));
    page.all(".keys .name").iter().map(|name| page.text_of(name)).collect()
}

#[test]
fn a_new_key_can_be_copied_used_and_revoked() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    // Asked for before the sign-in, it is where the sign-in leads.
    page.open(&format!("{}/settings/keys", gateway.url()));
    super::sign_in(&page, "ada", crate::harness::gateway::PASSWORD);
    assert_eq!(page.path(), "/settings/keys");
    let key = create(&page, &gateway, "nightly <b>summaries</b>");
    assert!(key.len() > 30 && !page.url().contains(&key) && page.path() == "/settings/keys", "{}", page.url());

    let clipboard =
        json!({ "origin": gateway.url(), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    page.devtools("Browser.grantPermissions", &clipboard);
    page.click(&page.find("#copy"));
    page.wait_text("Copied.");
    let copied = || page.run_async("return navigator.clipboard.readText()", &json!([]));
    assert_eq!(copied(), key.as_str());
    let lines = [
        ("ollama", format!("export OLLAMA_HOST={}\nexport OLLAMA_API_KEY={key}", gateway.url())),
        ("openai", format!("export OPENAI_BASE_URL={}/v1\nexport OPENAI_API_KEY=\"$OLLAMA_API_KEY\"", gateway.url())),
        ("curl", format!("curl -H \"Authorization: Bearer $OLLAMA_API_KEY\" {}/api/tags", gateway.url())),
    ];
    for (id, lines) in lines {
        page.click(&page.find(&format!("[data-copies={id}]")));
        poll("the lines on the clipboard", || (copied() == lines.as_str()).then_some(()));
    }
    assert_eq!(status(&gateway, &key), 200);
    assert_quiet(&page);

    // The form sent again by a reload makes no second key and does not show the first.
    page.reload();
    assert_eq!(page.text("h1"), "This key was already created");
    assert!(!page.source().contains(&key));
    assert_eq!(listed(&page, &gateway), ["nightly <b>summaries</b>"]);
    assert!(!page.source().contains(&key));
    gateway.sandbox().assert_no_secret(&key, &[], &[]);

    // Revoked, after a question that can be answered with no.
    page.press("Revoke");
    assert_eq!(page.text("h1"), "Revoke this key?");
    assert!(page.text("main").contains("nightly <b>summaries</b>"));
    assert_eq!(status(&gateway, &key), 200, "a question changes nothing");
    page.press("Keep the key");
    assert_eq!(status(&gateway, &key), 200);
    page.press("Revoke");
    page.press("Revoke the key");
    assert_eq!(status(&gateway, &key), 401);
    assert_eq!(listed(&page, &gateway), Vec::<String>::new());
    // Asked and answered once more, it is as it was wished.
    page.back();
    page.back();
    if page.text("h1") == "Revoke this key?" {
        page.press("Revoke the key");
    }
    assert_eq!(status(&gateway, &key), 401);
    assert_quiet(&page);
}

#[test]
fn going_back_does_not_show_the_key_again() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    let key = create(&page, &gateway, "once");
    page.press("I have copied it");
    assert!(!page.source().contains(&key));
    page.back();
    assert!(!page.source().contains(&key), "the key is shown a second time:\n{}", page.text("main"));
}

#[test]
fn a_form_that_is_sent_twice_creates_one_key() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    page.open(&format!("{}/settings/keys/new", gateway.url()));
    page.fill("#name", "twice");
    // As fast as a machine can press.
    let twice =
        "const form = document.querySelector('#create-key'); const body = new URLSearchParams(new FormData(form));
                 return [body.toString(), form.action]";
    let form = page.run(twice, &json!([]));
    let cookies: Vec<String> = page
        .cookies()
        .iter()
        .map(|cookie| format!("{}={}", cookie["name"].as_str().unwrap(), cookie["value"].as_str().unwrap()))
        .collect();
    let (cookie, body) = (format!("Cookie: {}", cookies.join("; ")), form[0].as_str().unwrap());
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| gateway.ask("POST", "/settings/keys", &[&cookie, kind], body).status))
            .collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert_eq!(listed(&page, &gateway), ["twice"]);
}

#[test]
fn a_disconnected_device_is_refused_at_once() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    let device = Device::request_approval(&gateway, "ada's laptop");
    page.open(&device.link);
    page.press("Approve");
    let fingerprint = device.fingerprint.clone();
    let (finished, sandbox) = device.finish();
    assert_eq!(finished.code, 0, "{}", finished.screen);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);

    page.press("Keys and devices");
    page.press("Disconnect");
    assert_eq!((page.text("h1").as_str(), devices(&gateway)), ("Disconnect this device?", 1));
    let text = page.text("main");
    assert!(text.contains("ada's laptop") && without_blanks(&text).contains(&fingerprint), "{text}");
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(0);
    page.press("Disconnect the device");
    assert_eq!(devices(&gateway), 0);
    sandbox.command(["run", "tiny", "hi"]).run().expect_code(4);
    let status = sandbox.command(["status", "--json"]).run();
    assert_eq!(status.json()["signed_in"], false, "{}", status.snapshot());
    assert_quiet(&page);
}
