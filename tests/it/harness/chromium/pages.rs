//! Browser windows: navigation, tabs, cookies, the console, sizes, colour schemes, screenshots.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Chromium, screenshots};

/// How wide a page is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A window of 1280 by 900.
    Wide,
    /// A phone of 390 by 844, which obeys the page's word on its width as phones do.
    Phone,
    /// The narrowest phone in use, of 320 by 568.
    Narrow,
    /// A window of 800 by 900, for the pictures of the documentation.
    Documentation,
}

/// In which colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appearance {
    /// As on a sheet of paper.
    Light,
    /// As at night.
    Dark,
}

impl Chromium {
    /// Opens an address, as if it were typed in.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("POST", "url", &json!({ "url": url }));
    }

    /// Where it is.
    #[track_caller]
    pub fn url(&self) -> String {
        self.command("GET", "url", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// The path of where it is, without its query.
    #[track_caller]
    pub fn path(&self) -> String {
        url::Url::parse(&self.url()).map(|url| url.path().to_owned()).unwrap_or_default()
    }

    /// What the page is called.
    #[track_caller]
    pub fn title(&self) -> String {
        self.command("GET", "title", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// The page's markup as it is now.
    #[track_caller]
    pub fn source(&self) -> String {
        self.command("GET", "source", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// The back button.
    #[track_caller]
    pub fn back(&self) {
        self.command("POST", "back", &json!({}));
        self.wait_loaded();
    }

    /// The reload button. Where that would send a form again, it is sent again, as by a person who says yes to that.
    #[track_caller]
    pub fn reload(&self) {
        self.command("POST", "refresh", &json!({}));
        self.wait_loaded();
    }

    /// The tab that is looked at.
    #[track_caller]
    pub fn tab(&self) -> String {
        self.command("GET", "window", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// Opens another tab and looks at it.
    #[track_caller]
    pub fn new_tab(&self) -> String {
        let made = self.command("POST", "window/new", &json!({ "type": "tab" }));
        let tab = made["handle"].as_str().unwrap_or_default().to_owned();
        self.switch_to_tab(&tab);
        tab
    }

    /// Looks at another tab.
    #[track_caller]
    pub fn switch_to_tab(&self, tab: &str) {
        self.command("POST", "window", &json!({ "handle": tab }));
    }

    /// Where a frame of the page is; `None` while it is on its way from one place to another.
    #[track_caller]
    pub fn frame_address(&self, css: &str) -> Option<String> {
        self.command("POST", "frame", &json!({ "id": self.find(css).value() }));
        let script = json!({ "script": "return location.href", "args": [] });
        let address = self.send("POST", "execute/sync", &script).ok();
        self.command("POST", "frame", &json!({ "id": null }));
        address?.as_str().map(str::to_owned)
    }

    /// The cookies that the browser would send to this page, as it keeps them.
    #[track_caller]
    pub fn cookies(&self) -> Vec<Value> {
        self.command("GET", "cookie", &Value::Null).as_array().cloned().unwrap_or_default()
    }

    /// What was written to the console since the last time, each as `SOURCE LEVEL: text`.
    #[track_caller]
    pub fn console(&self) -> Vec<String> {
        let entries = self.command("POST", "se/log", &json!({ "type": "browser" }));
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let entries = entries.as_array().into_iter().flatten();
        entries
            .map(|entry| format!("{} {}: {}", text(entry, "source"), text(entry, "level"), text(entry, "message")))
            .collect()
    }

    /// Shows pages at that size from now on.
    #[track_caller]
    pub fn set_width(&self, width: Width) {
        let (width, height, mobile) = match width {
            Width::Wide => (1280, 900, false),
            Width::Phone => (390, 844, true),
            Width::Narrow => (320, 568, true),
            Width::Documentation => (800, 900, false),
        };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        self.devtools("Emulation.setTouchEmulationEnabled", &json!({ "enabled": mobile }));
    }

    /// Shows pages in those colours from now on.
    #[track_caller]
    pub fn set_appearance(&self, look: Appearance) {
        let value = match look {
            Appearance::Light => "light",
            Appearance::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// Keeps a picture of the whole page under that name.
    #[track_caller]
    pub fn screenshot(&self, name: &str) {
        let taken = self.devtools("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap_or_default()).expect("a picture");
        assert!(bytes.starts_with(b"\x89PNG"), "no picture of {name}");
        fs::write(screenshots().join(format!("{name}.png")), bytes).expect("a file for the picture");
    }
}
