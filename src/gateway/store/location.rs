//! Where a gateway's data is: a file, or a PostgreSQL database.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::{PostgresAddress, PostgresStore, SqliteStore, Store, StoreError};

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
}
