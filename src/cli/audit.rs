//! `gateway audit`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::database::DatabaseArgs;
use super::values::AgeArg;

/// Show the event log: sign-ins, approvals, keys and accounts
///
/// Prints the newest events: who did what, from which address, and why something was refused. Of refusals that repeat, the first is one
/// line, and the others are counted in a second one. With several filters, a bounded number of events is examined; the list then says where
/// to continue.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Show the last 100 events
ollama-auth gateway audit

# Show what an account's keys were used to change since yesterday
ollama-auth gateway audit --user ada --action key --since 1d

# Watch what happens to API keys
ollama-auth gateway audit --follow --action key")]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// What to do with the log instead of showing it
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Number of events
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Only events before the one with this number, to continue an earlier list
    #[arg(long, value_name = "ID")]
    pub before: Option<i64>,
    /// Print new events as they happen, the oldest first, until Ctrl-C
    #[arg(long, conflicts_with = "before")]
    pub follow: bool,
    /// Which events
    #[command(flatten)]
    pub filters: EventFilterArgs,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Which events of the log are wanted.
#[derive(Debug, Clone, Default, Args)]
pub struct EventFilterArgs {
    /// Only events that concern this account: its name or id
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    pub user: Option<String>,
    /// Only events of this actor, as the list shows it: user:ada, key:key_…, admin or gateway
    #[arg(long, value_name = "ACTOR", help_heading = "Filters")]
    pub actor: Option<String>,
    /// Only events about or by the API key with this id
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub key: Option<String>,
    /// Only this action, such as key.created, or a group, such as key
    #[arg(long, value_name = "ACTION", help_heading = "Filters")]
    pub action: Option<String>,
    /// Only events about or by this key id, fingerprint or user name
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub subject: Option<String>,
    /// Only events from this address
    #[arg(long, value_name = "ADDRESS", help_heading = "Filters")]
    pub address: Option<std::net::IpAddr>,
    /// Only refusals for this reason, such as expired_key or scope
    #[arg(long, value_name = "CODE", help_heading = "Filters")]
    pub code: Option<String>,
    /// Only events of the request with this id
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub request: Option<String>,
    /// Only events at or after this time: 2h, 7d, 2026-11-29 or 2026-11-29T08:00:00Z
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub since: Option<TimeArg>,
    /// Only events at or before this time
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub until: Option<TimeArg>,
}

/// `gateway audit …`.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Verify the event log: find changed, removed and added events
    ///
    /// Every event is a leaf of a Merkle tree (RFC 6962). This computes the tree from the stored events, and compares it with the stored
    /// hashes. An attacker who can write the database can also write the hashes: against that, keep checkpoints elsewhere. It can run
    /// beside a gateway. The exit code is 8 if something is wrong.
    #[command(after_help = "\
# Verify the log of the gateway on this machine
ollama-auth gateway audit verify

# Prove that the log extends checkpoints that were kept elsewhere
ollama-auth gateway audit verify --checkpoints checkpoints.txt

# Verify an export
ollama-auth gateway audit verify events.jsonl --checkpoints checkpoints.txt")]
    Verify(AuditVerifyArgs),
    /// Export the event log as JSON lines
    ///
    /// Writes each event as it is stored, one line each, the oldest first. An auditor can verify the file without the database, unless it
    /// was exported with filters.
    #[command(after_help = "\
# Export the whole log
ollama-auth gateway audit export events.jsonl

# Export what concerns an account
ollama-auth gateway audit export --user ada | jq -r .action")]
    Export(AuditExportArgs),
    /// Print the verifier key of the checkpoints
    ///
    /// With this key, an auditor can check checkpoints and proofs without the gateway, also with other programs for C2SP signed notes.
    /// Give it to the auditor before there is something to prove.
    #[command(after_help = "\
# Print the verifier key
ollama-auth gateway audit key

# Create a key for gateways on a PostgreSQL database
ollama-auth gateway audit key --create audit.key")]
    Key(AuditKeyArgs),
    /// Replace the key of the checkpoints
    ///
    /// Adds a new key to the key file. Checkpoints are then signed with both keys, so that the old key vouches for the new one. Give the new verifier key to your auditors and the file to the other gateways, then remove the old key with --finish. Both
    /// steps are events in the log.
    #[command(after_help = "\
# Add a new key
ollama-auth gateway audit rotate-key

# Sign a checkpoint with both
ollama-auth gateway audit checkpoint --now

# Remove the old key
ollama-auth gateway audit rotate-key --finish")]
    RotateKey(AuditRotateKeyArgs),
    /// Print the latest checkpoint of the log
    ///
    /// A running gateway makes one after 1,000 events, after 5 minutes if there were any, and once in a day. Keep it where the gateway
    /// cannot change it.
    #[command(after_help = "\
# Keep the latest checkpoint
ollama-auth gateway audit checkpoint >>checkpoints.txt

# Make one of all events so far, and print it
ollama-auth gateway audit checkpoint --now")]
    Checkpoint(AuditCheckpointArgs),
    /// Prove that an event is in the log
    ///
    /// Prints a proof (C2SP tlog-proof). It can be checked with the verifier key, without the database. --record writes the event itself
    /// to a file. With --from, the proof is that the latest checkpoint extends an earlier one.
    #[command(after_help = "\
# Prove the first event
ollama-auth gateway audit prove 0 --record event.json >event.proof

# Prove that the log extends a checkpoint with one event
ollama-auth gateway audit prove --from 1 >consistency.proof")]
    Prove(AuditProveArgs),
    /// Begin another log, after the database was restored
    ///
    /// A gateway whose database went back signs nothing, since it would contradict what was signed before. This begins a log with another
    /// origin, whose first event says where the one before ended. What is in the earlier logs stays, and is verified with them.
    #[command(after_help = "\
# Go on after a backup was restored
ollama-auth gateway audit new-log --reason \"disk failed, backup restored\"")]
    NewLog(AuditNewLogArgs),
}

/// `gateway audit new-log`.
#[derive(Debug, Clone, Args)]
pub struct AuditNewLogArgs {
    /// Why, for the event log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit key`.
#[derive(Debug, Clone, Args)]
pub struct AuditKeyArgs {
    /// Create this file with a new key first: the setting audit-key-file names it
    #[arg(long, value_name = "FILE")]
    pub create: Option<PathBuf>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit rotate-key`.
#[derive(Debug, Clone, Args)]
pub struct AuditRotateKeyArgs {
    /// Remove the old key, once a checkpoint is signed with both
    #[arg(long)]
    pub finish: bool,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit checkpoint`.
#[derive(Debug, Clone, Args)]
pub struct AuditCheckpointArgs {
    /// Make one first, unless there is nothing new
    #[arg(long)]
    pub now: bool,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit prove`.
#[derive(Debug, Clone, Args)]
pub struct AuditProveArgs {
    /// The index of the event, as `gateway audit` shows it
    #[arg(value_name = "INDEX", required_unless_present = "from", conflicts_with = "from")]
    pub index: Option<u64>,
    /// Prove instead that the log extends its checkpoint of this size
    #[arg(long, value_name = "SIZE")]
    pub from: Option<u64>,
    /// Write the event, as it is stored, to this file
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub record: Option<PathBuf>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit export`.
#[derive(Debug, Clone, Args)]
pub struct AuditExportArgs {
    /// The file to create; without it, standard output
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which events
    #[command(flatten)]
    pub filters: EventFilterArgs,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// `gateway audit verify`.
#[derive(Debug, Clone, Args)]
pub struct AuditVerifyArgs {
    /// An export of the whole log, or a database such as a backup; otherwise the gateway's database
    #[arg(value_name = "FILE", conflicts_with = "database")]
    pub source: Option<String>,
    /// Compare with the checkpoints in this file, which was kept elsewhere
    #[arg(long, value_name = "FILE")]
    pub checkpoints: Option<PathBuf>,
    /// A verifier key of the checkpoints; otherwise those of this machine's key file. Repeat it for earlier keys
    #[arg(long, value_name = "KEY", requires = "checkpoints")]
    pub key: Vec<String>,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// A point in time: a distance from now, or a date or time (UTC unless it says otherwise).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeArg {
    /// That many seconds ago; of a time to come, from now.
    Ago(u64),
    /// That Unix second.
    At(i64),
}

impl TimeArg {
    /// In Unix seconds.
    pub fn resolve(self, now: i64) -> i64 {
        match self {
            Self::Ago(seconds) => now.saturating_sub_unsigned(seconds),
            Self::At(at) => at,
        }
    }

    /// The same for a time to come.
    pub fn resolve_ahead(self, now: i64) -> i64 {
        match self {
            Self::Ago(seconds) => now.saturating_add_unsigned(seconds),
            Self::At(at) => at,
        }
    }
}

impl FromStr for TimeArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(AgeArg(seconds)) = text.parse() {
            return Ok(Self::Ago(seconds));
        }
        let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
        // A date with a time but without a zone is no timestamp: it could be meant in any zone.
        let at = text.parse::<Timestamp>().ok().or_else(|| (text.len() == 10).then(day).flatten());
        at.map(|at| Self::At(at.as_second())).ok_or_else(|| {
            "expected a duration such as 2h or 7d, a date such as 2026-11-29, or a time such as 2026-11-29T08:00:00Z".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_durations_dates_or_timestamps() {
        assert_eq!("2h".parse(), Ok(TimeArg::Ago(7200)));
        assert_eq!("2026-11-29".parse(), Ok(TimeArg::At(1_795_910_400)));
        assert_eq!("2026-11-29T01:00:00+01:00".parse(), Ok(TimeArg::At(1_795_910_400)));
        assert_eq!((TimeArg::Ago(10).resolve(100), TimeArg::At(7).resolve(100)), (90, 7));
        assert_eq!((TimeArg::Ago(10).resolve_ahead(100), TimeArg::At(7).resolve_ahead(100)), (110, 7));
        for wrong in ["", "yesterday", "2026-11-29T01:00:00", "2026-13-01", "-1h", "1795910400"] {
            assert!(wrong.parse::<TimeArg>().is_err(), "{wrong}");
        }
    }
}
