//! The limits on sign-in attempts, counted by all gateways on one database together. Each gateway applies its own first, so that a stranger
//! causes no more questions to the database than those allow.

use std::net::IpAddr;
use std::time::Duration;

use hmac::Mac as _;
use zeroize::Zeroizing;

use super::page_context::PageContext;
use super::sign_in_throttle::{Limit, OF_ADDRESS, OF_BROWSER, OF_NAME, OF_PAIR};
use crate::gateway::secret::{Secret, mac};
use crate::gateway::store::AttemptLimit;
use crate::http::server::network;

/// Makes hashes of what is counted: names that people type are stored nowhere.
pub struct SharedThrottle(Zeroizing<[u8; 32]>);

impl SharedThrottle {
    /// Gateways with the same secret count the same.
    pub fn new(secret: &Secret) -> Self {
        Self(secret.key("sign-in attempts"))
    }

    fn digest(&self, kind: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = mac(&self.0);
        for part in [&[kind], parts].concat() {
            mac.update(&part.len().to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn trusted(&self, name: &str, address: IpAddr) -> [u8; 32] {
        self.digest("trusted", &[name, &network(address).to_string()])
    }

    fn limits(&self, name: &str, address: IpAddr, browser: Option<&str>) -> Vec<AttemptLimit> {
        let limit = |Limit { burst, period }: Limit, kind, parts: &[&str], unless| AttemptLimit {
            digest: self.digest(kind, parts),
            burst,
            period,
            unless,
        };
        if let Some(browser) = browser {
            return vec![limit(OF_BROWSER, "browser", &[name, browser], None)];
        }
        let network = network(address).to_string();
        vec![
            limit(OF_ADDRESS, "address", &[&network], None),
            limit(OF_PAIR, "pair", &[name, &network], None),
            limit(OF_NAME, "name", &[name], Some(self.trusted(name, address))),
        ]
    }
}

/// Counts one attempt to sign in, here and at all gateways together. `browser` is the checked cookie of a browser in which this person has
/// signed in.
///
/// # Errors
/// When it exceeds a limit: how long to wait.
pub async fn count_attempt(context: &PageContext, name: &str, browser: Option<&str>) -> Result<(), Duration> {
    let pages = &context.pages;
    if !pages.directory.is_shared() {
        return pages.throttle.count_attempt(name, context.address, browser);
    }
    pages.throttle.count_at(name, context.address, browser)?;
    let limits = pages.shared_throttle.limits(name, context.address, browser);
    match pages.directory.count_attempt(limits).await {
        Ok(None) => Ok(()),
        Ok(Some(wait)) => Err(wait),
        // The password cannot be looked up either.
        Err(error) => {
            tracing::warn!(%error, "sign-in attempt could not be counted");
            Ok(())
        }
    }
}

/// Remembers that this person signed in from the address of this request.
pub async fn trust(context: &PageContext, name: &str) {
    let pages = &context.pages;
    if !pages.directory.is_shared() {
        return pages.throttle.trust(name, context.address);
    }
    if let Err(error) = pages.directory.trust(pages.shared_throttle.trusted(name, context.address)).await {
        tracing::warn!(%error, "sign-in could not be told to other gateways");
    }
}
