//! Elements of a page: finding, filling, clicking and typing. An action that leads to another page waits for that page.

use serde_json::{Value, json};

use super::{Chromium, Failure};
use crate::harness::poll;

/// The name by which WebDriver tells an element from other values.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Something on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element(String);

impl Element {
    fn from(value: &Value) -> Self {
        Self(value[ELEMENT].as_str().expect("an element").to_owned())
    }

    /// As an argument of a script.
    pub fn value(&self) -> Value {
        json!({ ELEMENT: self.0 })
    }
}

/// The keys of WebDriver.
pub mod key {
    /// The next field.
    pub const TAB: &str = "\u{e004}";
    /// Submits, presses.
    pub const ENTER: &str = "\u{e007}";
    /// Ticks, presses.
    pub const SPACE: &str = " ";
}

impl Chromium {
    /// All elements of a CSS selector.
    #[track_caller]
    pub fn all(&self, css: &str) -> Vec<Element> {
        let found = self.command("POST", "elements", &json!({ "using": "css selector", "value": css }));
        found.as_array().into_iter().flatten().map(Element::from).collect()
    }

    /// Whether there is one.
    #[track_caller]
    pub fn has(&self, css: &str) -> bool {
        !self.all(css).is_empty()
    }

    /// The first element of a CSS selector; fails with the page's text without one.
    #[track_caller]
    pub fn find(&self, css: &str) -> Element {
        self.all(css).into_iter().next().unwrap_or_else(|| panic!("no {css} at {}:\n{}", self.url(), self.text("body")))
    }

    /// The text that can be seen of it.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.text_of(&self.find(css))
    }

    /// The same of an element.
    #[track_caller]
    pub fn text_of(&self, element: &Element) -> String {
        let text = self.command("GET", &format!("element/{}/text", element.0), &Value::Null);
        text.as_str().unwrap_or_default().to_owned()
    }

    /// A property of the first element, as a script sees it.
    #[track_caller]
    pub fn property(&self, css: &str, name: &str) -> Value {
        self.command("GET", &format!("element/{}/property/{name}", self.find(css).0), &Value::Null)
    }

    /// Puts a text into a field, in place of what is in it.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).0;
        self.command("POST", &format!("element/{field}/clear"), &json!({}));
        self.command("POST", &format!("element/{field}/value"), &json!({ "text": text }));
    }

    /// Clicks an element that leads nowhere else.
    #[track_caller]
    pub fn click(&self, element: &Element) {
        self.command("POST", &format!("element/{}/click", element.0), &json!({}));
    }

    /// The button or link with that text.
    #[track_caller]
    pub fn labelled(&self, text: &str) -> Element {
        let found = self.all("button, a, summary").into_iter().find(|element| self.text_of(element) == text);
        found.unwrap_or_else(|| panic!("nothing is called {text:?} at {}:\n{}", self.url(), self.text("body")))
    }

    /// Presses the button or link with that text, and waits for the page that it leads to.
    #[track_caller]
    pub fn press(&self, text: &str) {
        let element = self.labelled(text);
        self.and_wait(|| self.click(&element));
    }

    /// Does something that leads to another page, and waits for that page.
    #[track_caller]
    pub fn and_wait(&self, act: impl FnOnce()) {
        let old = self.find("html");
        act();
        poll("the next page", || {
            let gone = self.send("GET", &format!("element/{}/name", old.0), &Value::Null);
            matches!(gone, Err(Failure { ref kind, .. }) if kind.contains("stale") || kind.contains("no such element"))
                .then_some(())
        });
        self.wait_loaded();
    }

    /// Waits until the page is there whole.
    #[track_caller]
    pub fn wait_loaded(&self) {
        poll("the page to be whole", || {
            let state =
                self.send("POST", "execute/sync", &json!({ "script": "return document.readyState", "args": [] }));
            (state.ok()? == "complete").then_some(())
        });
    }

    /// Waits until the page shows that text.
    #[track_caller]
    pub fn wait_text(&self, text: &str) {
        poll(&format!("{text:?} on the page"), || self.text("body").contains(text).then_some(()));
    }

    /// Types into whatever has the focus.
    #[track_caller]
    pub fn keys(&self, keys: &str) {
        let each = keys.chars().flat_map(|c| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": c })));
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": each.collect::<Vec<_>>() }] });
        self.command("POST", "actions", &actions);
    }

    /// What has the focus.
    #[track_caller]
    pub fn focused(&self) -> Element {
        Element::from(&self.command("GET", "element/active", &Value::Null))
    }
}
