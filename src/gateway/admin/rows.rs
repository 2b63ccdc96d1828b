//! What replies on the admin socket hold: responses under way, devices, API keys, invitations, accounts. Times are Unix seconds.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::gateway::Role;
use crate::gateway::directory::Loss;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{InvitationId, InvitationState, Suspension};
use crate::identity::PublicKey;
use crate::keyspec::{AddressList, AddressRules, KeyId, Models, RequestLimits, Scopes};

/// A response under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRow {
    /// The id of its request, 32 hexadecimal digits.
    pub id: String,
    /// The account's name.
    pub user: String,
    /// The credential: `device:FINGERPRINT` or `key:ID`.
    pub credential: String,
    /// What the device or the key is called: untrusted text.
    pub name: String,
    /// Where the request comes from.
    pub address: String,
    /// The path of its route.
    pub route: String,
    /// As the upstream server names it, once it has.
    pub model: Option<String>,
    /// When the request was accepted, in Unix seconds.
    pub since: i64,
    /// Lines or events so far: about as many as tokens.
    pub messages: u64,
    /// Of the response so far.
    pub bytes: u64,
    /// Which gateway sends it, where there may be several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// What would change if the gateway read a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCheck {
    /// What people and keys would lose: people by name, each before their keys.
    pub losses: Vec<Loss>,
    /// How many losses are left out.
    pub more: usize,
    /// The people who have a role that is not defined.
    pub without_role: Vec<String>,
    /// Whether no administrator would be left: then the gateway refuses it.
    pub locks_out: bool,
}

/// A device, with its account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// The account's name.
    pub user: String,
    /// What it is called: untrusted text.
    pub name: String,
    /// Of its key.
    pub fingerprint: String,
    /// Its key.
    pub public_key: PublicKey,
    /// When it was approved or added, in Unix seconds.
    pub created_at: i64,
    /// When it was used last, in Unix seconds.
    pub last_used_at: Option<i64>,
    /// That it is suspended.
    #[serde(flatten)]
    pub suspended: SuspensionRow,
}

/// An API key, with its account. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The account's name.
    pub user: String,
    /// Its public id.
    pub id: KeyId,
    /// What its owner calls it: untrusted text.
    pub name: String,
    /// Where it is used: untrusted text.
    pub environment: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// With which models; none means all.
    pub models: Models,
    /// How much it may use.
    #[serde(default)]
    pub limits: Option<RequestLimits>,
    /// From where; none means every address.
    #[serde(default)]
    pub from: AddressList,
    /// Its last four characters.
    pub hint: String,
    /// What created it: `device:FINGERPRINT`, `key:ID`, `session` or `admin`.
    #[serde(default)]
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it expires; `None` is never.
    pub expires_at: Option<i64>,
    /// When it was used last.
    pub last_used_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// That it is suspended.
    #[serde(flatten)]
    pub suspended: SuspensionRow,
    /// The accepted key that replaces it.
    pub replaced_by: Option<KeyId>,
}

/// An invitation. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRow {
    /// Its public id.
    pub id: InvitationId,
    /// The account's name, if the person may not choose it.
    pub name: Option<String>,
    /// The e-mail address that the form begins with: untrusted text.
    pub email: String,
    /// The account's role.
    pub role: Role,
    /// Who made it: `admin` (a command) or `user:NAME`.
    pub created_by: String,
    /// When it was made.
    pub created_at: i64,
    /// When it expires.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
    /// The name of the account that was made with it.
    pub used_by: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// Its state.
    pub state: InvitationState,
}

/// The maintenance message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRow {
    /// What it says; `None` if there is none.
    pub message: Option<String>,
    /// Whether requests for the upstream server are refused.
    pub refuses: bool,
    /// When it was set, in Unix seconds.
    pub since: Option<i64>,
    /// When it ends by itself, in Unix seconds.
    pub until: Option<i64>,
}

/// Who a person is at the provider where they sign in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityRow {
    /// The provider's issuer.
    pub issuer: String,
    /// The person's subject there: untrusted text.
    pub subject: String,
    /// When the person signed in there last, in Unix seconds.
    pub signed_in_at: i64,
}

/// Whether something is suspended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionRow {
    /// Since when, in Unix seconds; `None` if it is not.
    #[serde(default)]
    pub suspended_at: Option<i64>,
    /// What the administrator said: untrusted text.
    #[serde(default)]
    pub suspended_reason: Option<String>,
}

impl SuspensionRow {
    pub(super) fn of(suspension: Option<&Suspension>) -> Self {
        Self {
            suspended_at: suspension.map(|suspension| suspension.since),
            suspended_reason: suspension.and_then(|suspension| suspension.reason.clone()),
        }
    }
}

/// An account, with what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Its id.
    pub id: Uuid,
    /// What it signs in with.
    pub name: String,
    /// May be empty: untrusted text.
    pub email: String,
    /// What it may do.
    pub role: Role,
    /// Whether it is refused.
    pub disabled: bool,
    /// That it is suspended.
    #[serde(flatten)]
    pub suspended: SuspensionRow,
    /// The groups that it is in.
    #[serde(default)]
    pub groups: Vec<PolicyName>,
    /// Those of them that are not defined: they have no effect.
    #[serde(default)]
    pub undefined_groups: Vec<PolicyName>,
    /// How much it may use, besides what its role allows.
    #[serde(default)]
    pub limits: Option<RequestLimits>,
    /// From where it is accepted.
    #[serde(default)]
    pub addresses: AddressRules,
    /// Who the person is at a provider; without one the account has a password here.
    #[serde(default)]
    pub identity: Option<IdentityRow>,
    /// Unix seconds.
    pub created_at: i64,
    /// How many devices it has.
    pub devices: usize,
    /// How many API keys it has that are accepted now.
    pub keys: usize,
    /// When one of its devices or keys was used last, in Unix seconds.
    pub last_used_at: Option<i64>,
}
