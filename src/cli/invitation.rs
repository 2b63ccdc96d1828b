//! `gateway user invite`: its options.

use clap::Args;

use super::database::DatabaseArgs;
use super::values::AgeArg;

/// Invite a person by a one-time link
///
/// Prints a link. Who opens it chooses a password, and a name unless you give one, and has an account. The link works once. Send
/// it as you would send a password.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Invite a member, who chooses a name
ollama-auth gateway user invite

# Invite eve as a maintainer, for two days
ollama-auth gateway user invite eve --role maintainer --expires 2d")]
pub struct InviteArgs {
    /// The account's name [default: the person chooses it]
    pub name: Option<String>,
    #[arg(long, value_name = "ROLE", default_value = "member", help = super::administration::ROLE_HELP)]
    pub role: String,
    /// The e-mail address, which the person can change
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub email: String,
    /// How long the link works: 12h or 7d, at most 30d
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    pub expires: AgeArg,
    /// Why, for the event log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}
