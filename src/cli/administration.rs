//! `gateway user`, `gateway device` and `gateway key`: people, and what they sign in with.

use clap::{ArgGroup, Subcommand};

use super::database::DatabaseArgs;
use super::invitation::InviteArgs;
use crate::keyspec::{LimitValue, Network};

/// The same for every option that takes a role.
pub const ROLE_HELP: &str = "viewer (sees models), auditor (also reads the event log), member (runs models), maintainer (also pulls, \
                         creates and deletes them), admin, or a role of gateway.toml";

/// Manage accounts
///
/// Each person who uses the gateway has an account. Devices and API keys belong to it. Changes take effect at once, also
/// while the gateway runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Add an account and see all of them
ollama-auth gateway user add ada
ollama-auth gateway user list")]
pub enum UserCommand {
    /// Add an account
    ///
    /// Asks for the password, or reads it from standard input.
    #[command(after_help = "\
# Add an administrator
ollama-auth gateway user add ada --role admin

# Add a member from a script
ollama-auth gateway user add bob --email bob@example.com <password.txt")]
    Add {
        /// The account's name
        name: String,
        #[arg(long, value_name = "ROLE", default_value = "member", help = ROLE_HELP)]
        role: String,
        /// The e-mail address
        #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
        email: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    Invite(InviteArgs),
    /// List invitations
    ///
    /// Also shows those that were used, were revoked or have expired, until their records are deleted (setting `key-retention`).
    #[command(after_help = "\
# List the invitations
ollama-auth gateway user invitations

# The same for a script
ollama-auth gateway user invitations --json")]
    Invitations(DatabaseArgs),
    /// Revoke an invitation
    ///
    /// Its link no longer works. An account that was made with it stays.
    #[command(after_help = "\
# Revoke an invitation by its id
ollama-auth gateway user uninvite inv_4f2a9c31d07be865

# See which there are
ollama-auth gateway user invitations")]
    Uninvite {
        /// The invitation's id
        #[arg(value_name = "ID")]
        id: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List accounts
    ///
    /// Shows each account's role and state.
    #[command(after_help = "\
# List the accounts
ollama-auth gateway user list

# The same for a script
ollama-auth gateway user list --json")]
    List(DatabaseArgs),
    /// Suspend an account for a while
    ///
    /// Refuses its sign-ins, devices and API keys at once (403, code `suspended`), and cuts off its running responses. They stay as
    /// they are, and work again after `resume`. The person is told that an administrator can lift it; `disable` is for accounts that are closed.
    #[command(after_help = "\
# Suspend an account, and say why
ollama-auth gateway user suspend bob --reason \"laptop lost\"

# Lift it
ollama-auth gateway user resume bob")]
    Suspend {
        /// The account's name
        name: String,
        /// Why, for the event log, the lists and the person
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Lift the suspension of an account
    ///
    /// Its devices and API keys work again, unless they are suspended themselves, have expired or were revoked.
    #[command(after_help = "\
# Lift a suspension
ollama-auth gateway user resume bob

# Check the account's state
ollama-auth gateway user list")]
    Resume {
        /// The account's name
        name: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Block an account
    ///
    /// Refuses its sign-ins, devices and API keys at once, and cuts off its running responses (setting `cut-streams`). Nothing is
    /// deleted: `enable` reverses it.
    #[command(after_help = "\
# Block an account
ollama-auth gateway user disable bob

# Unblock it
ollama-auth gateway user enable bob")]
    Disable {
        /// The account's name
        name: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Unblock an account
    ///
    /// Its devices and API keys work again, unless they have expired or were revoked.
    #[command(after_help = "\
# Unblock an account
ollama-auth gateway user enable bob

# Check its state
ollama-auth gateway user list")]
    Enable {
        /// The account's name
        name: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Remove an account, with its devices and API keys
    ///
    /// Refuses them at once and deletes them. You cannot undo this: to block an account for a while, disable it. Its events stay in
    /// the event log. The last administrator cannot be removed.
    #[command(after_help = "\
# Remove an account
ollama-auth gateway user remove bob

# Remove it without asking
ollama-auth gateway user remove bob --yes")]
    Remove {
        /// The account's name
        name: String,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Set an account's password
    ///
    /// Asks for the password, or reads it from standard input. Ends the account's browser sessions.
    #[command(after_help = "\
# Set a password
ollama-auth gateway user passwd ada

# Set it from a script
ollama-auth gateway user passwd ada <password.txt")]
    Passwd {
        /// The account's name
        name: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Change what an account may do
    ///
    /// The role limits the account's devices and API keys too.
    #[command(after_help = "\
# Let an account pull, create and delete models
ollama-auth gateway user role bob maintainer

# Take the right away again
ollama-auth gateway user role bob member")]
    Role {
        /// The account's name
        name: String,
        #[arg(value_name = "ROLE", help = ROLE_HELP)]
        role: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Set an account's groups
    ///
    /// The people in a group share its limits. A group is defined in gateway.toml: [groups.NAME]. Without a group the account is
    /// in none from now on.
    #[command(after_help = "\
# Put an account into two groups
ollama-auth gateway user groups bob lab interns

# Take it out of one of them, and say why
ollama-auth gateway user groups bob --remove interns --reason \"hired\"

# Take it out of all groups
ollama-auth gateway user groups bob")]
    Groups {
        /// The account's name
        name: String,
        /// The groups that it is in
        #[arg(value_name = "GROUP")]
        groups: Vec<String>,
        /// Add this group (repeatable)
        #[arg(long, value_name = "GROUP", value_delimiter = ',', conflicts_with_all = ["groups", "remove"])]
        add: Vec<String>,
        /// Remove this group (repeatable)
        #[arg(long, value_name = "GROUP", value_delimiter = ',', conflicts_with = "groups")]
        remove: Vec<String>,
        /// Why, for the event log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Set limits of an account's own
    ///
    /// They come on top of the limits of its role: the tighter one of each holds. The given limits replace those that the account
    /// has.
    #[command(after_help = "\
# Limit an account
ollama-auth gateway user limits bob --limit rpm=30 --limit streams=1

# Remove its own limits, and say why
ollama-auth gateway user limits bob --clear --reason \"deadline\"")]
    Limits {
        /// The account's name
        name: String,
        /// Allow this much only: rpm=60, burst=10, streams=2, size=1MiB or tokens-per-day=1M (-hour, -month; repeatable)
        #[arg(long = "limit", value_name = "NAME=VALUE", value_delimiter = ',', required_unless_present = "clear")]
        limits: Vec<LimitValue>,
        /// Remove all limits of its own
        #[arg(long, conflicts_with = "limits")]
        clear: bool,
        /// Why, for the event log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Set from which addresses an account is accepted
    ///
    /// Replaces both lists. Requests from other addresses are refused at once (403, code `address`), with devices, API keys and in
    /// browsers, and running responses to them are cut off. The lists of the gateway, the role and an API key apply, too.
    #[command(override_usage = "ollama-auth gateway user addresses [OPTIONS] <NAME>")]
    #[command(after_help = "\
# Accept an account from two networks only
ollama-auth gateway user addresses bob \\
    --allow 10.0.0.0/8,2001:db8::/32 --reason \"office and VPN\"

# Accept it from every address again
ollama-auth gateway user addresses bob --clear")]
    #[command(group = ArgGroup::new("lists").required(true).multiple(true).args(["allow", "deny", "clear"]))]
    Addresses {
        /// The account's name
        name: String,
        /// Accept requests from these networks only (repeatable)
        #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
        allow: Vec<Network>,
        /// Refuse requests from these networks, also if they are allowed (repeatable)
        #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
        deny: Vec<Network>,
        /// Accept requests from every address
        #[arg(long, conflicts_with_all = ["allow", "deny"])]
        clear: bool,
        /// Why, for the event log
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// Manage the devices of all accounts
///
/// Use it on the gateway's machine, for example to disconnect a stolen laptop. Changes take effect at once.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# See the devices of an account
ollama-auth gateway device list --user bob

# Disconnect one of them
ollama-auth gateway device disconnect \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4")]
pub enum GatewayDeviceCommand {
    /// List devices
    ///
    /// Shows the account, the name and the fingerprint of each device, and when it was used last.
    #[command(after_help = "\
# List all devices
ollama-auth gateway device list

# List those of one account, for a script
ollama-auth gateway device list --user bob --json")]
    List {
        /// Only the devices of this account
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Add a device by its public key
    ///
    /// For a machine that shows no link, such as a stock Ollama server: it writes its public key to its log when it starts for
    /// the first time. The device need not have asked.
    #[command(
        override_usage = "ollama-auth gateway device add --user <NAME> --name <TEXT> <KEY>...",
        after_help = "\
# Add a server by the public key in its log
ollama-auth gateway device add \"$(cat server.pub)\" \\
    --user bob --name build-server"
    )]
    Add {
        /// The public key: ssh-ed25519 AAAA…
        #[arg(value_name = "KEY", required = true)]
        key: Vec<String>,
        /// The account that the device belongs to
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What the device is called
        #[arg(long, value_name = "TEXT")]
        name: String,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Suspend a device for a while
    ///
    /// Refuses its requests at once (403, code `suspended`), and cuts off its running responses. It stays connected. API keys that it created
    /// continue. Its owner can connect another device: to keep a person out, suspend the account.
    #[command(after_help = "\
# Suspend a device
ollama-auth gateway device suspend \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4

# Suspend it, and say why
ollama-auth gateway device suspend --reason \"laptop lost\" \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4")]
    Suspend {
        /// The device's fingerprint (spaces allowed), or its public key
        #[arg(value_name = "DEVICE", required = true)]
        device: Vec<String>,
        /// Why, for the event log, the lists and the owner
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Lift the suspension of a device
    ///
    /// Its requests are accepted again at once.
    #[command(after_help = "\
# Lift a suspension
ollama-auth gateway device resume \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4

# Check the state of all devices
ollama-auth gateway device list")]
    Resume {
        /// The device's fingerprint (spaces allowed), or its public key
        #[arg(value_name = "DEVICE", required = true)]
        device: Vec<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Disconnect a device of any account
    ///
    /// Its requests are refused at once. To use the gateway again it must be approved again.
    #[command(after_help = "\
# Disconnect a device
ollama-auth gateway device disconnect \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4

# Disconnect it without asking
ollama-auth gateway device disconnect --yes \\
    SHA256:F7HPAkHjN3UkVKv/jnUucDkvB6UnuxiOtJD3IQzOzu4")]
    Disconnect {
        /// The device's fingerprint (spaces allowed), or its public key
        #[arg(value_name = "DEVICE", required = true)]
        device: Vec<String>,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
}

/// Manage the API keys of all accounts
///
/// Use it on the gateway's machine, for example to revoke a leaked key. Changes take effect at once.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# See the API keys of an account
ollama-auth gateway key list --user bob

# Revoke one of them
ollama-auth gateway key revoke ci --user bob")]
pub enum GatewayKeyCommand {
    /// List API keys
    ///
    /// Shows the account, the rights and the state of each key. Revoked keys are left out.
    #[command(after_help = "\
# List all keys
ollama-auth gateway key list

# List those of one account, revoked ones too, for a script
ollama-auth gateway key list --user bob --revoked --json")]
    List {
        /// Only the keys of this account
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Show revoked keys too
        #[arg(long)]
        revoked: bool,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Suspend an API key for a while
    ///
    /// Refuses its requests at once (403, code `suspended`), also to create, replace and revoke keys, and cuts off its running responses.
    /// Nothing else changes: it expires when it would have expired. Keys that it created continue.
    #[command(after_help = "\
# Suspend a key, and say why
ollama-auth gateway key suspend ci --user bob --reason \"seen in a log\"

# Suspend a key by its id
ollama-auth gateway key suspend key_4ZtT5kQGzNcGqYtVdYfG")]
    Suspend {
        /// The key's id, or its name
        #[arg(value_name = "KEY")]
        key: String,
        /// The account that the key belongs to
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Why, for the event log, the lists and the owner
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Lift the suspension of an API key
    ///
    /// Its requests are accepted again at once, unless it has expired.
    #[command(after_help = "\
# Lift a suspension
ollama-auth gateway key resume ci --user bob

# Check the state of the account's keys
ollama-auth gateway key list --user bob")]
    Resume {
        /// The key's id, or its name
        #[arg(value_name = "KEY")]
        key: String,
        /// The account that the key belongs to
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Revoke an API key of any account
    ///
    /// Its requests are refused at once. You cannot undo this. Keys that replaced it stay valid.
    #[command(after_help = "\
# Revoke a key by its name
ollama-auth gateway key revoke ci --user bob

# Revoke a key by its id, without asking
ollama-auth gateway key revoke key_4ZtT5kQGzNcGqYtVdYfG --yes")]
    Revoke {
        /// The key's id, or its name
        #[arg(value_name = "KEY")]
        key: String,
        /// The account that the key belongs to
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
}
