//! `gateway maintenance`.

use clap::Subcommand;

use super::audit::TimeArg;
use super::database::DatabaseArgs;

/// Tell everyone about maintenance, and refuse requests meanwhile
///
/// The message is a header of every answer to an authenticated request, the commands of ollama-auth show it, and the web pages show
/// it to everyone who is signed in. All gateways on one database have the same message.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Announce maintenance
ollama-auth gateway maintenance on --message \"new GPU on Friday, 14:00 UTC\"

# Remove the message
ollama-auth gateway maintenance off")]
pub enum MaintenanceCommand {
    /// Show the message
    ///
    /// Also shows since when, until when, and whether requests are refused.
    #[command(after_help = "\
# Show the message
ollama-auth gateway maintenance show

# The same for a script
ollama-auth gateway maintenance show --json")]
    Show(DatabaseArgs),
    /// Set the message
    ///
    /// Replaces the message before. With `--refuse` requests for the upstream server are refused (503, code `maintenance`), those of
    /// administrators too. Responses under way continue, and keys, devices and the web pages can still be used.
    #[command(after_help = "\
# Announce maintenance for everyone
ollama-auth gateway maintenance on --message \"new GPU on Friday, 14:00 UTC\"

# Refuse requests for two hours, and say why
ollama-auth gateway maintenance on --message \"new GPU\" --refuse --until 2h")]
    On {
        /// What to say, in one line of at most 200 characters
        #[arg(short, long, value_name = "TEXT")]
        message: String,
        /// End by itself then: in 30m, 2h or 1d, on 2026-11-29, or at 2026-11-29T08:00:00Z
        #[arg(long, value_name = "WHEN")]
        until: Option<TimeArg>,
        /// Refuse requests for the upstream server
        #[arg(long)]
        refuse: bool,
        /// Which database
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Remove the message
    ///
    /// Requests are accepted again.
    #[command(after_help = "\
# Remove the message
ollama-auth gateway maintenance off

# See that there is none
ollama-auth gateway maintenance show")]
    Off(DatabaseArgs),
}
