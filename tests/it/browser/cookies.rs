//! What the browser itself says of our cookies.

use serde_json::Value;

use super::{sign_in_as_ada, with_ada};
use crate::harness::chromium::Chromium;

#[test]
fn cookies_are_hidden_from_scripts_and_other_sites() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    page.open(&format!("{}/login", gateway.url()));
    let visitor = page.cookies();
    sign_in_as_ada(&page, &gateway);
    let all = page.cookies();
    let kinds = |cookies: &[Value]| cookies.iter().map(|cookie| cookie["name"].as_str().unwrap().to_owned()).collect();
    let (before, after): (Vec<String>, Vec<String>) = (kinds(&visitor), kinds(&all));
    assert!(before.len() == 1 && before[0].starts_with("ollama-auth-visitor-"), "{before:?}");
    assert!(after.iter().any(|name| name.starts_with("ollama-auth-session-")), "{after:?}");
    for cookie in visitor.iter().chain(&all) {
        assert_eq!((&cookie["httpOnly"], &cookie["sameSite"]), (&true.into(), &"Strict".into()), "{cookie}");
        // Of this host alone, and gone when the browser is closed: but for the one that marks it as a browser of the account.
        let is_mark = cookie["name"].as_str().unwrap().starts_with("ollama-auth-browser-");
        assert_eq!((&cookie["domain"], cookie["expiry"].is_null()), (&"127.0.0.1".into(), !is_mark), "{cookie}");
    }
    assert_eq!(page.run("return document.cookie", &Value::Array(Vec::new())), "");
    // No page of ours asks the browser to keep anything else.
    let kept = page.run("return localStorage.length + sessionStorage.length", &Value::Array(Vec::new()));
    assert_eq!(kept, 0);
}
