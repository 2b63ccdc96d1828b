//! The certified oidc-provider.

use serde_json::json;

use super::site::{CLIENT, SECRET, Site};
use super::walk::{Provider, RECHECK, removal, walk};
use crate::harness::chromium::Chromium;
use crate::harness::oidc_provider::OidcProvider;

impl Provider for OidcProvider {
    fn issuer(&self) -> String {
        (**self).issuer().to_owned()
    }

    fn register(&self, site: &Site) {
        OidcProvider::register(self, CLIENT, SECRET, &[&site.callback()], Some(&site.back_channel()));
    }

    fn add_ada(&self, groups: &[&str]) {
        let claims = json!({
            "preferred_username": "ada", "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true, "groups": groups,
        });
        self.set_account("1", &claims);
    }

    fn set_groups(&self, groups: &[&str]) {
        self.add_ada(groups);
    }

    fn sign_in(&self, browser: &Chromium) {
        if browser.title() == "Sign in at the provider" {
            OidcProvider::sign_in(self, browser, "ada");
        }
    }

    fn sign_out(&self, browser: &Chromium) {
        browser.press("Sign out");
    }

    fn end_sessions(&self) {
        assert!(OidcProvider::end_sessions(self, "1").iter().all(|told| told["status"] == 200));
    }

    fn disable(&self) {
        self.remove_account("1");
    }

    fn rotate_keys(&self) {
        OidcProvider::rotate_keys(self, false);
    }
}

#[test]
fn a_person_signs_in_at_a_gateway_on_sqlite() {
    let provider = OidcProvider::start();
    let site = Site::single(&Provider::issuer(&provider), "");
    walk(&site, &provider, &Chromium::start_two(false));
}

#[test]
fn a_person_signs_in_at_three_gateways_on_postgresql() {
    let provider = OidcProvider::start();
    let site = Site::replicas(&Provider::issuer(&provider), "");
    walk(&site, &provider, &Chromium::start_two(true));
}

#[test]
fn a_person_who_is_removed_at_the_provider_loses_everything() {
    let provider = OidcProvider::start();
    let site = Site::replicas(&Provider::issuer(&provider), RECHECK);
    removal(&site, &provider, &Chromium::start());
}
