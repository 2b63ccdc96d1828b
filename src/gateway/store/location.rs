//! Where a gateway's data is: a file, or a PostgreSQL database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::transfer::{self, CopiedTable, RecordedBy};
use super::{AuditReader, Event, PostgresAddress, PostgresStore, SqliteStore, Store, StoreError, postgres, sqlite};

/// See the module. Shown without a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseLocation {
    /// An SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresAddress>),
}

impl DatabaseLocation {
    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        matches!(self, Self::Postgres(address) if address.has_password())
    }

    /// With that password. A file needs none.
    pub fn with_password(self, password: SecretString) -> Self {
        match self {
            Self::Postgres(address) => Self::Postgres(Box::new(address.with_password(password))),
            file @ Self::File(_) => file,
        }
    }

    /// Opens it, and makes or updates its tables.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::File(path) => Arc::new(SqliteStore::open(path).await?),
            Self::Postgres(address) => Arc::new(PostgresStore::open(address).await?),
        })
    }

    /// Copies everything but what is about gateways that run to another database, which must be empty and becomes all of it or stays
    /// empty. No gateway may run on either. If a table could not be verified, nothing is stored. The event, of the machine `replica`, begins a
    /// log in the copy.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn copy_to(&self, target: &Self, event: &Event, replica: &str) -> Result<Vec<CopiedTable>, StoreError> {
        let from = match self {
            Self::File(path) => sqlite::transfer::source(path).await?,
            Self::Postgres(address) => postgres::transfer::source(address, false).await?,
        };
        let to = match target {
            Self::File(path) => sqlite::transfer::target(path).await?,
            Self::Postgres(address) => postgres::transfer::target(address).await?,
        };
        transfer::copy(from, to, Some(&RecordedBy { event, replica })).await
    }

    /// Opens it to read its event log, as it is at one moment. Gateways may run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(&self) -> Result<Box<dyn AuditReader>, StoreError> {
        match self {
            Self::File(path) => sqlite::transfer::audit(path).await,
            Self::Postgres(address) => postgres::transfer::audit(address).await,
        }
    }

    /// Writes everything as it is at one moment into `file`, which is empty and becomes an SQLite database. Gateways may run. `shown` is
    /// the name of the file for errors.
    ///
    /// # Errors
    /// [`StoreError`]. What is in the file then is of no use.
    pub async fn back_up(&self, file: &Path, shown: &Path) -> Result<Vec<CopiedTable>, StoreError> {
        match self {
            Self::File(path) => sqlite::transfer::back_up(path, file, shown).await,
            Self::Postgres(address) => {
                let from = postgres::transfer::source(address, true).await?;
                transfer::copy(from, sqlite::transfer::target_in(file, shown).await?, None).await
            }
        }
    }
}
