//! The requests and replies of the admin socket: one line of JSON each. A password is hashed before it is sent.

use serde::{Deserialize, Serialize};

use super::error::AdminError;
use super::explanation::{Explanation, Question};
use super::rows::{DeviceRow, InvitationRow, KeyRow, MaintenanceRow, PolicyCheck, StreamRow, UserRow};
use super::usage_question::{UsageQuestion, UsageReply};
use crate::gateway::policy_name::PolicyName;
use crate::gateway::status::StatusReport;
use crate::gateway::store::{InvitationId, InvitationToken};
use crate::gateway::{EventFilter, EventPage, PasswordHash, RecordedEvent, Role};
use crate::identity::PublicKey;
use crate::keyspec::{AddressRules, KeyId, RequestLimits};

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
    /// How the gateway is.
    Status,
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
    /// Begin another event log.
    BeginLog {
        /// Why, for the first event of it.
        reason: String,
    },
    /// Record that the checkpoints are signed with a key from now on, or not any more.
    NoteAuditKey {
        /// Its verifier key.
        verifier: String,
        /// Whether it was removed.
        removed: bool,
    },
    /// Sign a checkpoint of the event log now.
    MakeCheckpoint,
    /// What was used.
    Usage(UsageQuestion),
    /// The latest events.
    Events {
        /// How many at most; the gateway has a limit of its own.
        limit: u32,
        /// Which of them.
        #[serde(default, flatten)]
        filter: EventFilter,
    },
    /// A page of the latest events. A request of its own, so that a gateway that does not know all filters refuses it.
    EventPage {
        /// How many at most; the gateway has a limit of its own.
        limit: u32,
        /// Which of them.
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
    /// The event log that was begun.
    LogBegun {
        /// Its origin.
        origin: String,
    },
    /// It is in the event log.
    Noted,
    /// A checkpoint is made of all events so far.
    CheckpointMade,
    /// What was used.
    Usage(UsageReply),
    /// The latest events, the newest first.
    Events(Vec<RecordedEvent>),
    /// A page of them.
    EventPage(EventPage),
    /// How the gateway is.
    Status(Box<StatusReport>),
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
