//! Which database an error is about, and rows that make no sense: those mean a damaged database, nothing is guessed.

use std::str::FromStr;

use super::StoreError;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Open,
    Read,
    Write,
}

/// Which database it is about, for the message: a path, or an address without a password.
#[derive(Clone, Debug)]
pub(super) struct Place(pub String);

impl Place {
    pub(super) fn damaged(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Damaged { place: self.0.clone(), reason: reason.into() }
    }

    /// Reads a text of the database.
    pub(super) fn parse<T: FromStr>(&self, text: &str, what: &str) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.damaged(format!("{text:?} is no {what}")))
    }
}

/// What is there already, of what must be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    UserName,
    KeyId,
    KeyHash,
    ExchangedToken,
    Other,
}

impl Taken {
    pub(super) fn of(table: &str, column: &str) -> Self {
        match (table, column) {
            ("users", "name") => Self::UserName,
            ("api_keys", "id") => Self::KeyId,
            ("api_keys", "hash") => Self::KeyHash,
            ("api_keys", "exchanged_for") => Self::ExchangedToken,
            _ => Self::Other,
        }
    }
}
