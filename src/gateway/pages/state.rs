//! What the pages need of the gateway, and their own state.

use std::ops::Deref;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::cookies::Csrf;
use super::password_check::PasswordCheck;
use super::shared_throttle::SharedThrottle;
use super::sign_in_throttle::{SignInThrottle, ThrottleClock};
use crate::gateway::account::AccountService;
use crate::gateway::active_config::ConfigHandle;
use crate::gateway::admin::RunningGateway;
use crate::gateway::authn::{Authenticator, Sessions};
use crate::gateway::clock::Clock;
use crate::gateway::directory::Directory;
use crate::gateway::log_throttle::LogThrottle;
use crate::gateway::pending_devices::PendingDevices;
use crate::gateway::providers::ProviderService;
use crate::gateway::refusals::Refusals;
use crate::gateway::secret::Secret;

/// The most devices of one account that were approved or added on the pages: they are all on one page, and anybody can make a device
/// ask.
pub const MOST_DEVICES: usize = 1000;

/// The parts of the gateway that the pages use.
pub struct PagesParts {
    /// What administration uses of the gateway.
    pub administration: Arc<RunningGateway>,
    /// Tells who is signed in.
    pub authenticator: Arc<Authenticator>,
    /// Makes, lists and ends keys and devices.
    pub accounts: Arc<AccountService>,
    /// The accounts, devices and keys.
    pub directory: Directory,
    /// The unknown keys that can be approved.
    pub pending_devices: Arc<PendingDevices>,
    /// The browser sessions.
    pub sessions: Arc<Sessions>,
    /// Counts failed sign-ins.
    pub refusals: Arc<Refusals>,
    /// Asks providers, and admits people who signed in there.
    pub providers: Arc<ProviderService>,
    /// The configuration in effect.
    pub config: Arc<ConfigHandle>,
    /// Limits how often requests alone make the gateway write to its log.
    pub log_throttle: Arc<LogThrottle>,
    /// The time.
    pub clock: Clock,
}

/// The parts of the gateway that the pages use, and what belongs to the pages alone.
pub struct Pages {
    parts: PagesParts,
    setup_token: SecretString,
    pub(super) csrf: Csrf,
    pub(super) throttle: SignInThrottle,
    pub(super) shared_throttle: SharedThrottle,
    pub(super) passwords: PasswordCheck,
}

impl Deref for Pages {
    type Target = PagesParts;

    fn deref(&self) -> &PagesParts {
        &self.parts
    }
}

impl Pages {
    /// Forms and the setup link of gateways with the same secret are the same.
    pub fn new(parts: PagesParts, secret: &Secret) -> Self {
        Self {
            parts,
            setup_token: SecretString::from(URL_SAFE_NO_PAD.encode(*secret.key("setup"))),
            csrf: Csrf::new(secret),
            throttle: SignInThrottle::new(ThrottleClock::default()),
            shared_throttle: SharedThrottle::new(secret),
            passwords: PasswordCheck::default(),
        }
    }

    /// The one-time token (256 bits) of the link that makes the first administrator: `/setup?token=…`. It is worth nothing once
    /// there is an account.
    pub fn setup_token(&self) -> &str {
        self.setup_token.expose_secret()
    }

    /// Whether that is the setup token, in constant time.
    pub(super) fn is_setup_token(&self, token: &str) -> bool {
        self.setup_token().as_bytes().ct_eq(token.as_bytes()).into()
    }
}
