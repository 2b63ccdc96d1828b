//! A browser that keeps cookies as browsers do: those that are `SameSite=Strict` are not sent where another site leads to.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::harness::gateway::{Answer, Gateway};
use crate::harness::pages::{FORM, between};
use crate::harness::plain_http;

/// See the module.
pub struct Browser<'a> {
    gateway: &'a Gateway,
    /// By name: the value, and whether it is sent where another site leads to.
    jar: RefCell<BTreeMap<String, (String, bool)>>,
}

/// What a page leads to by itself.
#[track_caller]
pub fn leads_to(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.text());
    between(page.text(), "http-equiv=\"refresh\" content=\"0; url=", "\"").replace("&amp;", "&")
}

impl<'a> Browser<'a> {
    pub fn new(gateway: &'a Gateway) -> Self {
        Self { gateway, jar: RefCell::default() }
    }

    /// With the same cookies.
    pub fn copy(&self) -> Self {
        Self { gateway: self.gateway, jar: self.jar.clone() }
    }

    fn header(&self, is_foreign: bool) -> String {
        let jar = self.jar.borrow();
        let sent = jar.iter().filter(|(_, (_, is_lax))| *is_lax || !is_foreign);
        let pairs: Vec<_> = sent.map(|(name, (value, _))| format!("{name}={value}")).collect();
        format!("Cookie: {}", pairs.join("; "))
    }

    fn keep(&self, answer: Answer) -> Answer {
        let mut jar = self.jar.borrow_mut();
        for (_, set) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (pair, attributes) = set.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(attributes.contains("HttpOnly"), "{set}");
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), (value.to_owned(), attributes.contains("SameSite=Lax")));
            }
        }
        drop(jar);
        answer
    }

    /// The cookies whose names contain that.
    pub fn cookies(&self, part: &str) -> Vec<String> {
        let jar = self.jar.borrow();
        jar.iter().filter(|(name, _)| name.contains(part)).map(|(_, (value, _))| value.clone()).collect()
    }

    /// Opens a page of the gateway from another one.
    pub fn get(&self, path: &str) -> Answer {
        self.keep(self.gateway.ask("GET", path, &[&self.header(false)], ""))
    }

    /// Sends a form from a page of the gateway.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.keep(self.gateway.ask("POST", path, &[&self.header(false), FORM], &body))
    }

    /// Another site leads to that address of the gateway.
    pub fn arrive(&self, url: &str) -> Answer {
        let path = url.strip_prefix(&self.gateway.url()).unwrap_or(url);
        self.keep(self.gateway.ask("GET", path, &[&self.header(true)], ""))
    }

    /// Presses the button of the page at `path`, and gives the address at the provider.
    #[track_caller]
    pub fn begin_at(&self, path: &str, more: &[(&str, &str)]) -> String {
        let page = self.get(path);
        let csrf = between(page.text(), "name=\"csrf\" value=\"", "\"");
        let fields = [&[("csrf", csrf.as_str())], more].concat();
        leads_to(&self.post("/oidc/company/start", &fields))
    }

    /// The same from the page for the sign-in.
    #[track_caller]
    pub fn begin(&self) -> String {
        self.begin_at("/login", &[])
    }

    /// The address to which the provider leads back.
    #[track_caller]
    pub fn at_provider(&self, url: &str) -> String {
        let answer = plain_http::ask("GET", url, &[], "");
        answer.header("location").unwrap_or_else(|| panic!("{url}: {}", answer.text())).to_owned()
    }

    /// All of it: the page at the end.
    #[track_caller]
    pub fn sign_in(&self) -> Answer {
        self.arrive(&self.at_provider(&self.begin()))
    }

    /// The same, which has to succeed.
    #[track_caller]
    pub fn signed_in(self) -> Self {
        let page = self.sign_in();
        assert_eq!(leads_to(&page), "/account", "{}", page.text());
        assert!(self.is_signed_in());
        self
    }

    /// Whether the session is good.
    pub fn is_signed_in(&self) -> bool {
        self.get("/account").status == 200
    }

    /// The CSRF token of the session.
    #[track_caller]
    pub fn csrf(&self) -> String {
        between(self.get("/account").text(), "name=\"csrf\" value=\"", "\"")
    }
}
