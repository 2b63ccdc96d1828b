//! `/admin`: what is wrong with the gateway is shown to administrators alone, and text that others chose harmlessly.

use std::sync::atomic::Ordering;

use http::StatusCode;

use super::*;
use crate::gateway::store::Maintenance;

#[tokio::test]
async fn what_is_wrong_is_shown_to_administrators_alone() {
    let site = Site::with_people().await;
    site.add("olga", Role::Auditor).await;
    for name in ["bob", "olga"] {
        let mut browser = site.signed_in(name).await;
        assert!(!browser.get("/account").await.has("href=\"/admin\""), "{name}");
        assert_eq!(browser.get("/admin").await.status, StatusCode::NOT_FOUND, "{name}");
    }
    let mut ada = site.signed_in("ada").await;
    let message = "</dd><script>alert(1)</script>\u{202e}".to_owned();
    let maintenance = Maintenance { message, refuses: true, since: site.now(), until: None };
    site.change(Change::SetMaintenance(Some(maintenance.into()))).await;
    site.pending_device();
    site.store.unreadable.store(true, Ordering::SeqCst);
    site.gateway.administration.status.observed.set_certificate(Some(site.now() - 7200));
    let page = ada.get("/admin").await;
    assert_eq!(page.status, StatusCode::OK);
    for code in ["upstream-unreachable", "database-unreadable", "certificate-expired"] {
        assert!(page.has(&format!("data-code=\"{code}\"")), "{code}: {}", page.body);
    }
    assert!(page.has("<h1 id=\"status\">3 problems</h1>"), "{}", page.body);
    assert!(page.has("The TLS certificate expired 2 hours ago") && page.has("kill -HUP"), "{}", page.body);
    assert!(page.has("3 people, 0 devices"), "{}", page.body);
    assert!(page.has("1 device asks for approval"), "{}", page.body);
    assert!(!page.has("<script") && !page.has("\u{202e}") && page.has("&lt;script&gt;"), "{}", page.body);
    assert!(page.has("aria-current=\"page\""));
}
