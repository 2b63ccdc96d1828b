//! A real Keycloak.

use std::cell::RefCell;

use super::site::{CLIENT, Site};
use super::walk::{Provider, RECHECK, removal, walk};
use crate::harness::chromium::Chromium;
use crate::harness::keycloak::{Keycloak, Realm};

/// A realm, and ada in it.
struct Company {
    realm: Realm,
    ada: RefCell<String>,
}

impl Company {
    fn new() -> Self {
        Self { realm: Keycloak::shared().realm(), ada: RefCell::default() }
    }
}

const GROUPS: [&str; 2] = ["gpu-admins", "research"];

impl Provider for Company {
    fn issuer(&self) -> String {
        self.realm.issuer()
    }

    fn register(&self, site: &Site) {
        self.realm.register(CLIENT, &[&site.callback(), &site.url("/*")], Some(&site.back_channel()));
    }

    fn add_ada(&self, groups: &[&str]) {
        *self.ada.borrow_mut() = self.realm.add_person("ada", groups);
    }

    fn set_groups(&self, groups: &[&str]) {
        let ada = self.ada.borrow();
        for group in GROUPS {
            if groups.contains(&group) {
                self.realm.add_to_group(&ada, group);
            } else {
                self.realm.remove_from_group(&ada, group);
            }
        }
    }

    fn sign_in(&self, browser: &Chromium) {
        if browser.has("#kc-login") {
            self.realm.sign_in(browser, "ada");
        }
    }

    fn sign_out(&self, browser: &Chromium) {
        // With the ID token as a hint it does not ask.
        if browser.has("#kc-logout") {
            let button = browser.find("#kc-logout");
            browser.and_wait(|| browser.click(&button));
        }
    }

    fn end_sessions(&self) {
        self.realm.end_sessions(&self.ada.borrow());
    }

    fn disable(&self) {
        self.realm.enable(&self.ada.borrow(), false);
    }

    fn rotate_keys(&self) {
        self.realm.rotate_keys(false);
    }
}

#[test]
fn a_person_signs_in_at_keycloak() {
    let company = Company::new();
    let site = Site::single(&company.issuer(), "");
    walk(&site, &company, &Chromium::start_two(true));
}

#[test]
fn a_person_who_is_disabled_at_keycloak_loses_everything() {
    let company = Company::new();
    let site = Site::single(&company.issuer(), RECHECK);
    removal(&site, &company, &Chromium::start());
}
