//! Signing a device in by the short code that it shows, where its link can be neither opened nor copied.

use crate::given::{says, with_store};
use crate::harness::cloud::{Cloud, Fault};
#[cfg(feature = "gateway")]
use crate::harness::{
    gateway::{Gateway, PASSWORD},
    pages::{FORM, between, cookie},
    postgres::Postgres,
};

/// Types a code on the page of a gateway as that person, and approves the device that it leads to.
#[cfg(feature = "gateway")]
fn approve_by_code(gateway: &Gateway, name: &str, code: &str) {
    let csrf = |page: &crate::harness::gateway::Answer| between(page.text(), "name=\"csrf\" value=\"", "\"");
    let page = gateway.ask("GET", "/connect", &[], "");
    let body = format!("csrf={}&to=code&name={name}&password={}", csrf(&page), PASSWORD.replace(' ', "+"));
    let signed_in = gateway.ask("POST", "/login", &[&cookie(&page, "visitor"), FORM], &body);
    assert_eq!(signed_in.header("location"), Some("/connect"), "{}", signed_in.text());
    let (session, origin) = (cookie(&signed_in, "session"), format!("Origin: {}", gateway.url()));
    let page = gateway.ask("GET", "/connect", &[&session], "");
    let body = format!("csrf={}&code={}&name=a+server", csrf(&page), code.to_lowercase());
    let found = gateway.ask("POST", "/connect/code", &[&session, FORM, &origin], &body);
    let link = found.header("location").unwrap_or_else(|| panic!("{}", found.text())).to_owned();
    let page = gateway.ask("GET", &link, &[&session], "");
    let key = between(page.text(), "name=\"key\" value=\"", "\"");
    let body = format!("csrf={}&key={key}&name=a+server&decision=approve", csrf(&page));
    let approved = gateway.ask("POST", "/connect", &[&session, FORM, &origin], &body);
    assert!(approved.text().contains("Device approved"), "{}", approved.text());
}

/// The code in what was printed.
#[cfg(feature = "gateway")]
fn code(text: &str) -> String {
    let (_, rest) = text.split_once("type the code ").unwrap_or_else(|| panic!("no code in {text}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

#[cfg(feature = "gateway")]
#[test]
fn a_code_that_is_typed_on_the_page_signs_the_device_in() {
    let gateway = Gateway::start("http://127.0.0.1:9");
    gateway.add_user("ada", "member");
    let device = with_store("plaintext");
    let child = device.command(["signin", "--host", &gateway.url(), "--no-browser"]).spawn();
    let shown = child.wait_stderr(|text| text.contains("Fingerprint"));
    assert!(shown.contains(&format!(" at:\n\n  {}/connect\n", gateway.url())), "{shown}");
    approve_by_code(&gateway, "ada", &code(&shown));
    says(&child.finish().expect_code(0), &["Signed in to", "as ada"]);
    let trail = gateway.admin(&["audit", "--json"]).expect_code(0).json().to_string();
    assert!(trail.contains("device.approved") && trail.contains("a server"), "{trail}");
}

#[cfg(feature = "gateway")]
#[test]
fn a_code_of_one_gateway_works_at_the_next() {
    let database = Postgres::shared().database();
    let one = Gateway::start_on(&database, "http://127.0.0.1:9", &[]);
    let other = Gateway::start_on(&database, "http://127.0.0.1:9", &[]);
    one.add_user("ada", "member");
    let device = with_store("plaintext");
    let child = device.command(["signin", "--host", &one.url(), "--no-browser"]).spawn();
    let shown = child.wait_stderr(|text| text.contains("Fingerprint"));
    approve_by_code(&other, "ada", &code(&shown));
    says(&child.finish().expect_code(0), &["Signed in to", "as ada"]);
}

#[test]
fn a_code_is_shown_beside_the_link_of_a_gateway_and_nowhere_else() {
    let (device, cloud) = (with_store("plaintext"), Cloud::start());
    cloud.auto_approve(false);
    let args = ["signin", "--host", &cloud.url(), "--no-wait"];
    let output = device.command(args).run().expect_code(4);
    assert!(!output.stderr().contains("Code"), "{}", output.stderr());
    cloud.offer_keys();
    let output = device.command(args).run().expect_code(4);
    says(&output, &[&format!("Code         WDJB-MJHT (to be typed at {}/connect)", cloud.url())]);
    assert!(output.stdout().trim().starts_with(&format!("{}/connect?name=", cloud.url())), "the link alone");
    let report = device.command(args).args(["--json"]).run().expect_code(4).json();
    assert_eq!(report["user_code"], "WDJB-MJHT");
    assert_eq!(report["verification_uri"], format!("{}/connect", cloud.url()));
    // What is no code is not shown.
    for other in ["\u{1b}[2J", "WDJB-MJHT at https://evil.example", ""] {
        cloud.inject("/api/me", Fault::UserCode(other.to_owned()));
        let output = device.command(args).run().expect_code(4);
        assert!(!output.stderr().contains("Code"), "{}", output.stderr());
        cloud.clear_faults();
    }
}
