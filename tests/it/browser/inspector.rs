//! That the inspection of pages finds what is wrong with one.

use serde_json::{Value, json};

use super::looks::INSPECT;
use crate::harness::chromium::{Appearance, Chromium, Width};
use crate::harness::http::{Reply, Server};

const BAD: &str = r##"<!doctype html><html><head><meta name="viewport" content="width=device-width"><title> </title><style>
    body { margin: 0; background: #fff; color: #000 } @media (prefers-color-scheme: dark) { body { background: #222 } }
</style></head><body>
    <h1>One</h1><h1>Two</h1><h3>Deep</h3>
    <div style="background: #eee"><p style="color: rgb(0 0 0 / 40%)">faint</p></div>
    <input name="nameless"><button></button><p aria-describedby="gone" id="same">x</p><p id="same">y</p>
    <form><label>ok <input style="height: 3rem; border: 1px solid #eee" value="v"></label></form>
    <p><a href="/">alone</a></p><p>in a <a href="/">sentence</a> it may be low</p>
    <div style="width: 500px">wide</div>
</body></html>"##;

#[test]
fn the_inspection_finds_what_is_wrong() {
    let server = Server::start(|_| Reply::new(200, BAD).header("Content-Type", "text/html; charset=utf-8"));
    let page = Chromium::start();
    page.set_width(Width::Phone);
    page.set_appearance(Appearance::Light);
    page.open(&server.url());
    let found = |look: Appearance| {
        page.set_appearance(look);
        let Value::Array(found) = page.run(INSPECT, &json!([390])) else { panic!("no list") };
        found.iter().map(|what| what.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let light = found(Appearance::Light);
    for wanted in [
        "the page names no language",
        "the page has no title",
        "2 h1",
        "0 main",
        "h3 \"Deep\" follows a heading of level 1",
        "input \"\" has no label",
        "button \"\" has no name",
        "#same is there twice",
        "p#same \"x\": aria-describedby names #gone, which is not there",
        "the page is 50",
        "div \"wide\" stands from 0 to 500",
        "p \"faint\": contrast 2.",
        "label \"ok\": contrast 1.",
        "a \"alone\" is ",
    ] {
        assert!(light.iter().any(|what| what.starts_with(wanted)), "{wanted:?} is not in {light:#?}");
    }
    assert!(!light.iter().any(|what| what.contains("sentence") || what.contains("h1 \"One\"")), "{light:#?}");
    // What can be read in light is black on black in dark.
    assert!(found(Appearance::Dark).iter().any(|what| what.starts_with("h1 \"One\": contrast 1.")));
}
