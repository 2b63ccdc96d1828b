//! The requests and replies of the admin socket: one line of JSON each. A password is hashed before it is sent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::AdminError;
use super::explanation::{Explanation, Question};
use crate::gateway::directory::Loss;
use crate::gateway::policy_name::PolicyName;
use crate::gateway::store::{InvitationId, InvitationState, InvitationToken, Suspension};
use crate::gateway::{EventFilter, PasswordHash, RecordedEvent, Role};
use crate::identity::PublicKey;
use crate::keyspec::{AddressList, AddressRules, KeyId, Models, RequestLimits, Scopes};

/// What an administrator asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminRequest {
    /// Create an account.
    AddUser {
        /// See [`User::is_name`](crate::gateway::User::is_name).
        name: String,
        /// May be empty.
        email: String,
        /// What it may do.
        role: Role,
        /// What it signs in with.
        #[serde(with = "hash")]
        password: PasswordHash,
    },
    /// All accounts.
    ListUsers,
    /// Disable or enable an account.
    SetDisabled {
        /// Its name.
        name: String,
        /// Whether to disable it.
        disabled: bool,
    },
    /// Suspend an account, a device or an API key: it is refused until an administrator lifts that.
    Suspend {
        /// Which one.
        what: AdminSubject,
        /// Why, in one line.
        reason: Option<String>,
    },
    /// Lift a suspension.
    Resume {
        /// Of what.
        what: AdminSubject,
    },
    /// Set another password.
    SetPassword {
        /// The account's name.
        name: String,
        /// What it signs in with from now on.
        #[serde(with = "hash")]
        password: PasswordHash,
    },
    /// Set another role.
    SetRole {
        /// The account's name.
        name: String,
        /// What it may do from now on.
        role: Role,
    },
    /// Set the groups of an account.
    SetGroups {
        /// The account's name.
        name: String,
        /// Which ones.
        groups: GroupChange,
        /// Why, for the event log.
        reason: Option<String>,
    },
    /// Set the limits of an account's own.
    SetLimits {
        /// The account's name.
        name: String,
        /// All of them.
        limits: RequestLimits,
        /// Why, for the event log.
        reason: Option<String>,
    },
    /// Set from which addresses an account is accepted.
    SetAddresses {
        /// The account's name.
        name: String,
        /// From now on.
        addresses: AddressRules,
        /// For the event log.
        reason: Option<String>,
    },
    /// Remove an account with its devices and keys.
    RemoveUser {
        /// Its name.
        name: String,
    },
    /// The devices of an account, or of all.
    ListDevices {
        /// The account's name.
        user: Option<String>,
    },
    /// Add a device that need not be pending.
    AddDevice {
        /// Its key.
        key: PublicKey,
        /// The account's name.
        user: String,
        /// What the device is called.
        name: String,
    },
    /// Disconnect a device of any account.
    DisconnectDevice {
        /// Its key.
        key: PublicKey,
    },
    /// The API keys of an account, or of all.
    ListKeys {
        /// The account's name.
        user: Option<String>,
        /// Revoked ones too.
        revoked: bool,
        /// Only those with this id or name.
        matching: Option<String>,
    },
    /// Revoke an API key of any account.
    RevokeKey {
        /// Its id.
        id: KeyId,
    },
    /// Approve a pending device for an account.
    Approve {
        /// Which one.
        device: DeviceRef,
        /// The account's name.
        user: String,
    },
    /// What would change if the gateway read that configuration.
    CheckPolicy {
        /// The configuration file: TOML.
        text: String,
        /// The one that is in effect, where no gateway runs to say so.
        before: Option<String>,
    },
    /// What would become of a request.
    ExplainPolicy(Box<Question>),
    /// The responses under way.
    ListStreams,
    /// End one of them.
    EndStream {
        /// The beginning of its request's id.
        id: String,
        /// For the event log.
        reason: Option<String>,
    },
    /// Invite a person.
    Invite {
        /// The account's name; `None`: the person chooses it.
        name: Option<String>,
        /// The e-mail address that the form begins with; may be empty.
        email: String,
        /// What the account may do.
        role: Role,
        /// How long the invitation can be used, in seconds.
        expires_in: u64,
        /// For the event log.
        reason: Option<String>,
    },
    /// All invitations.
    ListInvitations,
    /// Revoke an invitation.
    RevokeInvitation {
        /// Its id.
        id: InvitationId,
    },
    /// The maintenance message.
    ShowMaintenance,
    /// Set it.
    StartMaintenance {
        /// One line.
        message: String,
        /// Whether requests for the upstream server are refused.
        refuses: bool,
        /// When it ends by itself, in Unix seconds.
        until: Option<i64>,
    },
    /// Remove it.
    EndMaintenance,
    /// The latest events.
    Events {
        /// How many at most; the gateway has a limit of its own.
        limit: u32,
        /// Which of them.
        #[serde(default, flatten)]
        filter: EventFilter,
    },
}

impl AdminRequest {
    /// Whether it does nothing but take rights away.
    pub fn takes_away(&self) -> bool {
        matches!(
            self,
            Self::RevokeKey { .. }
                | Self::DisconnectDevice { .. }
                | Self::RemoveUser { .. }
                | Self::Suspend { .. }
                | Self::SetDisabled { disabled: true, .. }
        )
    }
}

/// What a request is about, of any account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminSubject {
    /// An account, by its name.
    User(String),
    /// A device.
    Device(PublicKey),
    /// An API key.
    Key(KeyId),
}

/// What becomes of the groups of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupChange {
    /// It is in these alone.
    Set(Vec<PolicyName>),
    /// In these, too.
    Add(Vec<PolicyName>),
    /// Not in these any more.
    Remove(Vec<PolicyName>),
}

/// How a pending device is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRef {
    /// By what a connect link says.
    Key {
        /// Its key.
        key: PublicKey,
        /// What it calls itself: untrusted text.
        name: String,
    },
    /// By `SHA256:…`.
    Fingerprint(String),
    /// The same, with a name for the device. A variant of its own, so that a gateway that does not know it refuses it.
    NamedFingerprint {
        /// `SHA256:…`
        fingerprint: String,
        /// What to call the device.
        name: String,
    },
}

/// The reply to a request that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminReply {
    /// The account as it is now; a removed one as it was.
    User(UserRow),
    /// All accounts, by name.
    Users(Vec<UserRow>),
    /// The device belongs to the account.
    Approved {
        /// The account's name.
        user: String,
        /// What the device is called: untrusted text.
        device: String,
        /// Of its key.
        fingerprint: String,
    },
    /// The latest events, the newest first.
    Events(Vec<RecordedEvent>),
    /// The responses under way, the oldest first.
    Streams(Vec<StreamRow>),
    /// One that was ended, as it was.
    StreamEnded(StreamRow),
    /// A new invitation.
    Invited {
        /// The invitation.
        invitation: InvitationRow,
        /// The secret of its link, which is shown this once.
        token: InvitationToken,
        /// The link, if the gateway runs: only it knows its address.
        link: Option<String>,
    },
    /// All invitations, the newest first.
    Invitations(Vec<InvitationRow>),
    /// An invitation after the request.
    Invitation {
        /// The invitation.
        invitation: InvitationRow,
        /// Whether the request changed anything.
        changed: bool,
    },
    /// The maintenance message after the request.
    Maintenance {
        /// The message.
        maintenance: MaintenanceRow,
        /// Whether the request changed anything.
        changed: bool,
    },
    /// What a configuration would change.
    PolicyChecked(PolicyCheck),
    /// What would become of a request.
    PolicyExplained(Explanation),
    /// Devices, by account, the newest first.
    Devices(Vec<DeviceRow>),
    /// A device after the request.
    Device {
        /// The device.
        device: DeviceRow,
        /// Whether the request changed anything.
        changed: bool,
    },
    /// API keys, by account, the newest first.
    Keys {
        /// The keys.
        keys: Vec<KeyRow>,
        /// Whether there are more than one reply holds.
        more: bool,
    },
    /// An API key after the request.
    Key {
        /// The key.
        key: KeyRow,
        /// Whether the request changed anything.
        changed: bool,
    },
}

/// What a gateway that shares its database answers a command that cannot reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaReply {
    /// Where it listens, and its process.
    pub gateway: String,
    /// Whether what it changed is stored.
    pub stored: bool,
    /// The reply itself.
    pub reply: Result<AdminReply, AdminError>,
}

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
    /// Unix seconds.
    pub created_at: i64,
    /// How many devices it has.
    pub devices: usize,
    /// How many API keys it has that are accepted now.
    pub keys: usize,
    /// When one of its devices or keys was used last, in Unix seconds.
    pub last_used_at: Option<i64>,
}

/// A password hash is written out for the socket, and nowhere else.
mod hash {
    use secrecy::SecretString;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::gateway::PasswordHash;

    /// Longer than any that we make.
    const LONGEST: usize = 512;

    pub fn serialize<S: Serializer>(hash: &PasswordHash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hash.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PasswordHash, D::Error> {
        let text = SecretString::from(String::deserialize(deserializer)?);
        let shown = secrecy::ExposeSecret::expose_secret(&text);
        if !shown.starts_with("$argon2id$") || shown.len() > LONGEST {
            return Err(de::Error::custom("not a password hash"));
        }
        Ok(PasswordHash::kept(text))
    }
}
