//! How much a directory and its store hold.

use std::path::PathBuf;

use super::{Directory, ending};
use crate::gateway::store::{LogState, StoreError};

/// How many of each a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryCounts {
    /// Accounts of people.
    pub people: usize,
    /// Accounts of workload rules.
    pub service_accounts: usize,
    /// Devices.
    pub devices: usize,
    /// API keys that have not ended, as of the last look for expired ones.
    pub keys: usize,
}

impl Directory {
    /// How many accounts, devices and keys there are.
    pub fn counts(&self) -> DirectoryCounts {
        let memory = self.read();
        let service_accounts = memory.users.values().filter(|user| user.is_service_account()).count();
        DirectoryCounts {
            people: memory.users.len() - service_accounts,
            service_accounts,
            devices: memory.devices.len(),
            keys: memory.keys.len(),
        }
    }

    /// The file of the database, if it is one.
    pub fn file(&self) -> Option<PathBuf> {
        self.0.store.file().map(Into::into)
    }

    /// The event log that grows, with its last checkpoint, and the Unix second of the first record that this does not name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn log_state(&self) -> Result<Option<(LogState, Option<i64>)>, StoreError> {
        let store = self.0.store.clone();
        let asked = self.0.runtime.spawn(async move {
            let Some(state) = store.log_state().await? else { return Ok(None) };
            let signed = state.last.as_ref().map_or(0, |last| last.size);
            let unsigned = match state.log.size > signed {
                true => store.audit_rows(state.log.number, signed, 1).await?.pop().map(|row| row.columns.at),
                false => None,
            };
            Ok(Some((state, unsigned)))
        });
        asked.await.map_err(|_| ending())?
    }
}
