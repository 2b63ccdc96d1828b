//! A page of somebody else, open in the browser of a person who is signed in. It may be on this very host, on another port, so that
//! the browser takes it for the same site and sends our cookies along; or on another site. It shows, reads and approves nothing.

use serde_json::json;

use super::{Device, devices, sign_in_as_ada, with_ada};
use crate::harness::chromium::Chromium;
use crate::harness::http::{Reply, Server};
use crate::harness::poll;

/// A server that shows whatever stands in the query, as a page.
fn stranger() -> Server {
    Server::start(|request| {
        let html = request.query("html").unwrap_or_default();
        Reply::new(200, format!("<!doctype html><title>stranger</title>{html}")).header("Content-Type", "text/html")
    })
}

fn show(page: &Chromium, base: &str, html: &str) {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("html", html).finish();
    page.open(&format!("{base}/?{query}"));
    assert_eq!(page.title(), "stranger");
}

#[test]
fn a_page_of_another_site_shows_reads_and_approves_nothing() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    sign_in_as_ada(&page, &gateway);
    let account = page.text("main");
    // The stranger's own device is pending, and the stranger knows its link.
    let device = Device::request_approval(&gateway, "the stranger's");
    let (link, host) = (device.link.clone(), gateway.url());
    let encoded =
        link.split_once("&key=").or(link.split_once("?key=")).unwrap().1.split('&').next().unwrap().to_owned();
    let server = stranger();
    let bases = [server.url(), server.url().replace("127.0.0.1", "localhost")];

    for base in &bases {
        // Framed. A page of its own shows that a frame would work.
        let framed = |address: &str| {
            show(&page, base, &format!("<iframe src='{}'></iframe>", address.replace('&', "&amp;")));
            page.frame_address("iframe").expect("a frame")
        };
        assert_eq!(framed(&format!("{base}/")), format!("{base}/"));
        for address in
            [&link, &format!("{host}/account"), &format!("{host}/login"), &format!("{host}/settings/keys/new")]
        {
            assert_eq!(framed(address), "chrome-error://chromewebdata/", "{base} {address}");
        }
        // In a window that the stranger holds on to.
        show(&page, base, "<p>x");
        let own = page.tab();
        let script =
            "window.held = window.open(given[0]); while (!held.closed) await new Promise(go => setTimeout(go, 5));
                      return 'let go'";
        assert_eq!(page.run_async(script, &json!([link])), "let go");
        page.switch_to_tab(&own);

        // Sent as a form, with and without a token of any shape.
        for csrf in ["", "00", &"0".repeat(64)] {
            let fields = [("csrf", csrf), ("key", &encoded), ("name", "x"), ("decision", "approve")];
            let fields =
                fields.map(|(name, value)| format!("<input type=hidden name={name} value='{value}'>")).concat();
            show(
                &page,
                base,
                &format!("<form method=post action='{host}/connect'>{fields}<button>Win a prize</button></form>"),
            );
            page.press("Win a prize");
            assert_eq!(page.text("h1"), "Form rejected", "{}", page.text("body"));
        }
        // The same within a sandbox without an origin, and as text that only looks like a form.
        let form = format!(
            "<form method=post action={host}/connect enctype=text/plain><input name='key={encoded}&decision=approve&x' value=y>\
             <button>x</button></form><script>document.forms[0].submit()</script>"
        );
        show(&page, base, &format!("<iframe sandbox='allow-scripts allow-forms' srcdoc=\"{form}\"></iframe>"));

        // The response is refused in the frame, like all our pages.
        poll("the form to be sent", || {
            (page.frame_address("iframe")? == "chrome-error://chromewebdata/").then_some(())
        });

        // Asked for by a script, with the person's cookies.
        show(&page, base, "<p>x");
        let fetch = "const answer = await fetch(given[0], { credentials: 'include', ...given[1] });
                     return `${answer.type} ${answer.status} ${await answer.text()}`";
        let form = format!("key={encoded}&name=x&decision=approve&csrf=");
        let kind = json!({ "Content-Type": "application/x-www-form-urlencoded" });
        for (path, how) in [
            ("/account", json!({})),
            ("/connect", json!({ "method": "POST", "headers": kind, "body": form })),
            ("/connect", json!({ "method": "POST", "headers": { "X-Other": "1" }, "body": form })),
            ("/settings/keys", json!({})),
            (
                "/settings/keys",
                json!({ "method": "POST", "headers": kind, "body": "name=x&expires=never&scope-keys=on&csrf=" }),
            ),
            ("/settings/keys/revoke", json!({ "method": "POST", "headers": kind, "body": "id=x&csrf=" })),
            (
                "/settings/devices/disconnect",
                json!({ "method": "POST", "headers": kind, "body": format!("key={encoded}&csrf=") }),
            ),
            ("/logout", json!({ "method": "POST", "headers": kind, "body": "csrf=" })),
            ("/api/me", json!({ "method": "POST" })),
            ("/api/user/keys", json!({})),
            ("/api/user/keys", json!({ "method": "POST", "body": "{\"name\":\"x\"}" })),
            ("/api/user/keys/x", json!({ "method": "DELETE" })),
        ] {
            let said = page.run_async(fetch, &json!([format!("{host}{path}"), how]));
            let said = said.as_str().unwrap();
            assert!(said.starts_with("failed: TypeError"), "{base} {path} {how}: {said}");
            let mut blind = how.clone();
            blind["mode"] = json!("no-cors");
            let said = page.run_async(fetch, &json!([format!("{host}{path}"), blind]));
            let said = said.as_str().unwrap();
            assert!(said == "opaque 0 " || said.starts_with("failed: TypeError"), "{base} {path} {blind}: {said}");
        }
        // As something else than a page.
        let load = "const element = document.createElement(given[0]); element[given[1]] = given[2];
                    if (given[0] === 'link') element.rel = 'stylesheet';
                    return new Promise(go => { element.onload = () => go('loaded'); element.onerror = () => go('refused');
                                               document.body.append(element); })";
        for (tag, attribute) in [("script", "src"), ("link", "href"), ("img", "src")] {
            let said = page.run_async(load, &json!([tag, attribute, format!("{host}/account")]));
            assert_eq!(said, "refused", "{base} {tag}");
        }

        // Led there, with everything filled in: it is asked, and nothing has been answered.
        let more = format!("{link}&decision=approve&csrf=00");
        show(&page, base, &format!("<a href='{}'>Win a prize</a>", more.replace('&', "&amp;")));
        page.press("Win a prize");
        assert!(["Approve this device?", "Sign in", "This link is incomplete"].contains(&&*page.text("h1")));
        assert_eq!(devices(&gateway), 0, "from {base}");
    }

    // And ada is still signed in, with nothing that she did not have before.
    page.open(&format!("{host}/account"));
    assert_eq!(page.text("main"), account);
    assert!(gateway.admin(&["audit", "--json"]).expect_code(0).json().to_string().find("device.approved").is_none());
    device.terminal.signal(rustix::process::Signal::INT);
    assert_eq!(device.finish().0.code, 130);
}

#[test]
fn our_forms_and_links_lead_to_no_other_site() {
    let (_upstream, gateway) = with_ada();
    let page = Chromium::start();
    let server = stranger();
    let host = gateway.url();
    // A sign-in goes on to our own pages, whatever the address says.
    for next in ["next", "redirect", "return_to", "url", "name"] {
        page.open(&format!("{host}/login?{next}={}", server.url()));
        super::sign_in(&page, "ada", crate::harness::gateway::PASSWORD);
        assert_eq!(page.url(), format!("{host}/account"));
        page.press("Sign out");
    }
    // A form that something has changed sends nothing elsewhere, and a script that was put into a page does not run.
    page.open(&format!("{host}/login"));
    let action =
        "document.querySelector('main form').action = arguments[0]; document.querySelector('#name').value = 'ada';
                  document.querySelector('#password').value = 'secret'; document.querySelector('main form').submit()";
    page.run(action, &json!([server.url()]));
    let planted = "const script = document.createElement('script'); script.textContent = 'document.title = \"planted\"';
                   document.body.append(script); const image = new Image(); image.src = arguments[0]; document.body.append(image);
                   return document.title";
    assert_ne!(page.run(planted, &json!([server.url()])), "planted");
    let refused = || page.console().iter().filter(|line| line.contains("Content Security Policy")).count();
    let mut seen = 0;
    poll("the browser to refuse all three", || {
        seen += refused();
        (seen >= 3).then_some(())
    });
    assert_eq!(page.url(), format!("{host}/login"));
    assert_eq!(server.seen(), Vec::<String>::new());
}
