//! The limits on sign-in attempts, counted by all gateways on one database together. Each gateway applies its own limits for an address
//! first, and asks the database for a few at a time: strangers leave connections to it for others.

use std::net::IpAddr;
use std::time::Duration;

use hmac::Mac as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::sign_in_throttle::{Limit, OF_ADDRESS, OF_BROWSER, OF_NAME, OF_PAIR, SignInThrottle};
use crate::gateway::directory::Directory;
use crate::gateway::secret::{Secret, mac};
use crate::gateway::store::AttemptLimit;
use crate::http::server::network;

/// Attempts for which the database is asked at a time.
const AT_A_TIME: usize = 2;
/// How long an attempt waits for its turn.
const TURN: Duration = Duration::from_secs(5);

/// Makes hashes of what is counted: names that people type are stored nowhere.
pub struct SharedThrottle {
    key: Zeroizing<[u8; 32]>,
    turns: Semaphore,
}

impl SharedThrottle {
    /// Gateways with the same secret count the same.
    pub fn new(secret: &Secret) -> Self {
        Self { key: secret.key("sign-in attempts"), turns: Semaphore::new(AT_A_TIME) }
    }

    fn digest(&self, kind: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = mac(&self.key);
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

/// Who tries to sign in. `browser` is the checked cookie of a browser in which this person has signed in.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// What was typed as a name.
    pub name: &'a str,
    /// From where.
    pub address: IpAddr,
    /// The browser, if it is known.
    pub browser: Option<&'a str>,
}

impl SharedThrottle {
    /// Counts one attempt, here and at all gateways together.
    ///
    /// # Errors
    /// When it exceeds a limit: how long to wait.
    pub async fn count(
        &self,
        here: &SignInThrottle,
        directory: &Directory,
        attempt: Attempt<'_>,
    ) -> Result<(), Duration> {
        let Attempt { name, address, browser } = attempt;
        if !directory.is_shared() {
            return here.count_attempt(name, address, browser);
        }
        here.count_at(name, address, browser)?;
        let Ok(Ok(_turn)) = timeout(TURN, self.turns.acquire()).await else { return Err(TURN) };
        match directory.count_attempt(self.limits(name, address, browser)).await {
            Ok(None) => Ok(()),
            Ok(Some(wait)) => Err(wait),
            // A database that cannot be written may still give the hash of the password. Then this gateway counts alone.
            Err(error) => {
                tracing::warn!(%error, "sign-in attempt could not be counted by all gateways");
                here.count_name(name, address, browser)
            }
        }
    }

    /// Remembers that this person signed in from this address.
    pub async fn trust(&self, here: &SignInThrottle, directory: &Directory, name: &str, address: IpAddr) {
        if !directory.is_shared() {
            return here.trust(name, address);
        }
        if let Err(error) = directory.trust(self.trusted(name, address)).await {
            tracing::warn!(%error, "trusted address could not be saved");
        }
    }
}
