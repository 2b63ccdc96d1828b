//! Why a request on the admin socket failed, and what to do then.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::identity::group_fingerprint;
use crate::keyspec::KeyId;

/// Why a request failed. Then nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "kebab-case")]
pub enum AdminError {
    /// No account of that name.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// Another user has that name.
    #[error("the user {0:?} already exists")]
    NameTaken(String),
    /// The text cannot be a name.
    #[error("invalid user name {0:?}: use 1 to 64 of a-z, 0-9, `.`, `_`, `-`")]
    BadName(String),
    /// The text cannot be an e-mail address.
    #[error("invalid e-mail address: at most 254 bytes, without control characters")]
    BadEmail,
    /// Without it no account could manage the others.
    #[error("{0:?} is the only active administrator")]
    LastAdmin(String),
    /// The account of a workload rule has no password, devices or other role.
    #[error("{0:?} is the service account of a workload rule: the configuration says what it may do")]
    ServiceAccount(String),
    /// The person of the account signs in at the provider with that issuer, not with a password.
    #[error("{0:?} signs in at {1} and has no password here")]
    AtProvider(String, String),
    /// The rule of a service account is still there.
    #[error("{0:?} is the service account of a workload rule that is in effect")]
    RuleInEffect(String),
    /// A service account that is disabled or suspended would be active again when its rule makes it anew.
    #[error("{0:?} is a service account that is disabled or suspended")]
    BlockedServiceAccount(String),
    /// No role of that name is defined.
    #[error("there is no role {0:?}")]
    NoRole(String),
    /// No group of that name is defined.
    #[error("there is no group {0:?}")]
    NoGroup(String),
    /// So many groups can an account be in.
    #[error("an account can be in at most {0} groups")]
    TooManyGroups(usize),
    /// A disabled account gets no devices.
    #[error("the user {0:?} is disabled")]
    Disabled(String),
    /// A suspended account gets no devices.
    #[error("the user {0:?} is suspended")]
    Suspended(String),
    /// The device is not pending; holds its fingerprint. On the socket it keeps the name that version 0.1.0 gave it.
    #[serde(rename = "no-knock")]
    #[error("no device with the fingerprint {} asked to sign in within the last 10 minutes", group_fingerprint(.0))]
    NotPending(String),
    /// No device with that fingerprint.
    #[error("there is no device {}", group_fingerprint(.0))]
    NoDevice(String),
    /// It belongs to that account.
    #[error("this device belongs to the user {0:?}")]
    DeviceTaken(String),
    /// The text cannot be a device's name.
    #[error("invalid device name {0:?}: use one line of 1 to 100 characters")]
    BadDeviceName(String),
    /// The text cannot be a reason.
    #[error("invalid reason {0:?}: use one line of 1 to 100 characters")]
    BadReason(String),
    /// No invitation with that id.
    #[error("there is no invitation {0}")]
    NoInvitation(String),
    /// An account was made with it already.
    #[error("the invitation {0} was used")]
    UsedInvitation(String),
    /// It would be usable for too long, or not at all.
    #[error("an invitation expires within 30 days")]
    BadExpiry,
    /// More than anybody looks through.
    #[error("there are 1000 invitations that can be used")]
    TooManyInvitations,
    /// The person who asks in a browser lost the right meanwhile.
    #[error("you are no longer an administrator")]
    NotAdministrator,
    /// The text cannot be a maintenance message.
    #[error("invalid message {0:?}: use one line of 1 to 200 characters")]
    BadMessage(String),
    /// The end of a maintenance is not in the future.
    #[error("the maintenance would end in the past")]
    PastEnd,
    /// Rules that accept no address, and why.
    #[error("invalid addresses: {0}")]
    BadAddresses(String),
    /// It is not accepted any more, whether suspended or not.
    #[error("the API key {0} was revoked or has expired")]
    Ended(KeyId),
    /// No key with that id.
    #[error("there is no API key {0}")]
    NoKey(String),
    /// Devices are pending at a running gateway only.
    #[error("the gateway is not running, so no device is pending")]
    NotRunning,
    /// Only a running gateway has responses under way.
    #[error("the gateway is not running")]
    NotServing,
    /// No response to a request whose id begins so.
    #[error("no response to a request {0} is under way")]
    NoStream(String),
    /// More than one.
    #[error("the ids of several requests begin with {0}")]
    SeveralStreams(String),
    /// A time that ends before it begins.
    #[error("--until must be later than --since")]
    NoTime,
    /// So many rows, of so many that one reply may have.
    #[error("usage has {0} rows here, and one reply at most {1}")]
    TooMuchUsage(usize, usize),
    /// The database does not answer a command. Never sent.
    #[error("{message}")]
    Unavailable {
        /// What.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// Everything else.
    #[error("{message}")]
    Failed {
        /// What.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
}

impl AdminError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoUser(_) => "list the users: ollama-auth gateway user list",
            Self::NameTaken(name) => {
                return Some(format!(
                    "choose another name, or change that user's password: ollama-auth gateway user passwd {name}"
                ));
            }
            Self::LastAdmin(_) => "make another user an administrator first: ollama-auth gateway user role NAME admin",
            Self::NoRole(name) => {
                return Some(format!(
                    "define it in gateway.toml as [roles.{name}], have the gateway read that (SIGHUP), and try again; \
                     while no gateway runs, name the file with --config"
                ));
            }
            Self::ServiceAccount(_) => "change the rule in gateway.toml: it is in [[workload]]",
            Self::AtProvider(..) => {
                "change the password at the provider; for a separate account with a password: ollama-auth gateway user add NAME"
            }
            Self::RuleInEffect(name) => {
                return Some(format!(
                    "remove the rule from gateway.toml and have the gateway read that (SIGHUP); to refuse its tokens now: \
                     ollama-auth gateway user disable {name}"
                ));
            }
            Self::BlockedServiceAccount(_) => {
                "if its rule is still in effect at a gateway, the account would be made again, and be active: remove the rule everywhere first, then enable or resume it, and remove it"
            }
            Self::NoGroup(name) => {
                return Some(format!(
                    "define it in gateway.toml as [groups.{name}], have the gateway read that (SIGHUP), and try again; \
                     while no gateway runs, name the file with --config"
                ));
            }
            Self::TooManyGroups(_) => "let one group be within another: in gateway.toml, within = \"OTHER\"",
            Self::Disabled(name) => {
                return Some(format!("enable the user first: ollama-auth gateway user enable {name}"));
            }
            Self::Suspended(name) => {
                return Some(format!("lift the suspension first: ollama-auth gateway user resume {name}"));
            }
            Self::NotPending(_) => {
                "run `ollama-auth signin` on the device again, compare the fingerprint, then approve it"
            }
            Self::NoDevice(_) => "list the devices: ollama-auth gateway device list",
            Self::DeviceTaken(_) => "disconnect it first: ollama-auth gateway device disconnect FINGERPRINT",
            Self::NoKey(_) => "list the keys: ollama-auth gateway key list --revoked",
            Self::NotRunning => {
                "start it with `ollama-auth gateway serve`, or name its database with --database; then sign in on the device again"
            }
            Self::NotServing => "start it with `ollama-auth gateway serve`, or name its database with --database",
            Self::NoStream(_) => "list them: ollama-auth gateway top --once; give at least 4 digits of the id",
            Self::SeveralStreams(_) => "give more digits of the id",
            Self::Failed { hint, .. } | Self::Unavailable { hint, .. } => return hint.clone(),
            Self::NoInvitation(_) => "list them: ollama-auth gateway user invitations",
            Self::UsedInvitation(_) => {
                "to keep the person out, disable the account: ollama-auth gateway user disable NAME"
            }
            Self::BadExpiry => "give a time such as 12h or 7d, at most 30d",
            Self::TooManyInvitations => {
                "revoke those that nobody needs: ollama-auth gateway user uninvite ID; they are listed by: \
                 ollama-auth gateway user invitations"
            }
            Self::NoTime => {
                "both may be dates, times such as 2026-11-01T08:00:00Z, or durations before now such as 30d"
            }
            Self::TooMuchUsage(..) => "ask for a shorter time, or for fewer things with --by",
            Self::PastEnd => "give a time that is still to come, or a duration from now, such as 2h",
            Self::BadName(_)
            | Self::BadEmail
            | Self::BadDeviceName(_)
            | Self::BadReason(_)
            | Self::BadMessage(_)
            | Self::NotAdministrator
            | Self::BadAddresses(_)
            | Self::Ended(_) => return None,
        };
        Some(hint.to_owned())
    }
}
