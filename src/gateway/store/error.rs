//! Why a store does not do what it should.

use thiserror::Error;

/// Why a store does not do what it should.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be opened; holds where it is and why.
    #[error("cannot open the database {place}: {reason}")]
    Open {
        /// Its path or address.
        place: String,
        /// Why.
        reason: String,
    },
    /// Another process has it open.
    #[error("the database {place} is in use by another ollama-auth process")]
    Busy {
        /// Its path.
        place: String,
    },
    /// Another account could read or change it.
    #[error("the database {place} is not safe to use: {reason}")]
    Unsafe {
        /// Its path.
        place: String,
        /// How.
        reason: String,
        /// What to do about it.
        fix: String,
    },
    /// It was written by a newer version.
    #[error("the database {place} was written by a newer version of ollama-auth")]
    Newer {
        /// Its path or address.
        place: String,
    },
    /// Only an older version has used it so far.
    #[error("the tables of the database {place} are of an older version of ollama-auth")]
    Older {
        /// Its address.
        place: String,
    },
    /// Something would be mixed with what is in it.
    #[error("the database {place} is not empty")]
    NotEmpty {
        /// Its path or address.
        place: String,
    },
    /// It is damaged.
    #[error("the database {place} is damaged: {reason}")]
    Damaged {
        /// Its path or address.
        place: String,
        /// In what way.
        reason: String,
    },
    /// Something with that name, id or key is there already.
    #[error("{0} is already taken")]
    Taken(String),
    /// A token was exchanged for an API key before.
    #[error("this token was exchanged for an API key before")]
    Exchanged,
    /// What was to be changed is not there any more.
    #[error("the record to be changed is not in the database {place}")]
    Missing {
        /// Its path or address.
        place: String,
    },
    /// Nothing was changed, since writing failed.
    #[error("cannot write the database {place}: {reason}")]
    Write {
        /// Its path or address.
        place: String,
        /// Why, such as a full disk.
        reason: String,
    },
    /// Its server was not reached, or is starting or ending. Nothing was changed.
    #[error("cannot reach the database {place}: {reason}")]
    Unreachable {
        /// Its address.
        place: String,
        /// Why.
        reason: String,
    },
    /// Its server did not prove who it is, or takes only unencrypted connections. Nothing was sent to it.
    #[error("cannot connect to the database {place}: {reason}")]
    Untrusted {
        /// Its address.
        place: String,
        /// Why.
        reason: String,
    },
    /// Its server does not accept the password, or got none.
    #[error("cannot open the database {place}: {reason}")]
    Password {
        /// Its address.
        place: String,
        /// What the server says.
        reason: String,
    },
    /// It is a standby, which cannot be written and may be behind.
    #[error("the database {place} is read-only: it is a standby or was set so")]
    ReadOnly {
        /// Its address.
        place: String,
    },
    /// The connection broke during a commit, and the database could not be asked since whether it was made.
    #[error("it is not known whether the database {place} has stored the change")]
    Doubtful {
        /// Its address.
        place: String,
    },
    /// Nothing could be read.
    #[error("cannot read the database {place}: {reason}")]
    Read {
        /// Its path or address.
        place: String,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// The next step for the person reading the message, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Busy { .. } => "stop the gateway or the other command that has it open, then try again".to_owned(),
            Self::Unsafe { fix, .. } => fix.clone(),
            Self::Newer { .. } => "update ollama-auth; the database was not changed".to_owned(),
            Self::Older { .. } => "start a gateway of this version on it once".to_owned(),
            Self::NotEmpty { .. } => "copy to a new file, or to a new PostgreSQL database".to_owned(),
            Self::Damaged { .. } => {
                "it was left as it is: restore a backup in its place, or move it away, with the files \
                                     whose names begin with its name, to start with an empty database"
                    .to_owned()
            }
            Self::Write { .. } => {
                "nothing was changed: make sure that the disk has space and is writable, then try again".to_owned()
            }
            Self::Unreachable { .. } => "check that the server runs and can be reached from here".to_owned(),
            Self::Untrusted { .. } => {
                "name the file of the authority that issued the certificate (?sslrootcert=FILE), and the server as its \
                 certificate does"
                    .to_owned()
            }
            Self::Password { .. } => {
                "give the password in a file (the setting database-password-file; for `gateway db copy` \
                 --from-password-file and --to-password-file), in PGPASSWORD or in ~/.pgpass"
                    .to_owned()
            }
            Self::ReadOnly { .. } => {
                "name the primary server, or all of them: postgres://USER@HOST,HOST/NAME".to_owned()
            }
            Self::Doubtful { .. } => "look whether it was made before you try again".to_owned(),
            Self::Open { .. } | Self::Read { .. } | Self::Taken(_) | Self::Exchanged | Self::Missing { .. } => {
                return None;
            }
        })
    }

    /// Whether the database does not answer or store anything now, and not how it was named or what is in it.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Untrusted { .. }
                | Self::ReadOnly { .. }
                | Self::Write { .. }
                | Self::Read { .. }
                | Self::Doubtful { .. }
        )
    }
}
