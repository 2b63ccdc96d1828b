//! Which database the commands of a gateway's administrator work on. `gateway db`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Which database a command works on.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseArgs {
    /// The database: sqlite:PATH, a path, or postgres://USER@HOST/NAME
    #[arg(long, value_name = "URL", help_heading = "Configuration")]
    pub database: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
}

/// Back up the gateway's database, or move it to another
///
/// A database is an SQLite file or a PostgreSQL database. Both hold the same, so you can move from one to the other and back.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
# Back up the database while the gateway runs
ollama-auth gateway db backup backup.db

# Restore the backup into a new database
ollama-auth gateway db copy backup.db restored.db")]
pub enum DbCommand {
    Backup(BackupArgs),
    Copy(CopyArgs),
}

/// Write a backup, also while gateways run
///
/// The backup is one SQLite file that only you can read, whichever database the gateway uses. It holds everything as it was at one
/// moment. It is checked before it gets its name. Restore it with `gateway db copy`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Back up the gateway's database
ollama-auth gateway db backup gateway-backup.db

# Back up a PostgreSQL database, and show the tables as JSON
ollama-auth gateway db backup gateway-backup.db --json \\
    --database postgres://gate@db.example.com/gateway")]
pub struct BackupArgs {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which database
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Copy everything to another database
///
/// Copies accounts with their passwords, devices, API keys and the event log into an empty database, and compares both. Stop all
/// gateways before. If something fails, the target stays empty. Browser sessions and pending devices are not copied.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Restore a backup into a new file
ollama-auth gateway db copy backup.db gateway/gateway.db

# Move to PostgreSQL
ollama-auth gateway db copy gateway/gateway.db \\
    postgres://gate@db.example.com/gateway --to-password-file password")]
pub struct CopyArgs {
    /// The database to read: sqlite:PATH, a path, or postgres://USER@HOST/NAME
    #[arg(value_name = "FROM")]
    pub from: String,
    /// The database to write, which must be empty
    #[arg(value_name = "TO")]
    pub to: String,
    /// A file with the password of FROM [default: PGPASSWORD, then ~/.pgpass]
    #[arg(long, value_name = "FILE")]
    pub from_password_file: Option<PathBuf>,
    /// A file with the password of TO [default: PGPASSWORD, then ~/.pgpass]
    #[arg(long, value_name = "FILE")]
    pub to_password_file: Option<PathBuf>,
}
