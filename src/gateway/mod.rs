//! The gateway: ollama.com's authentication in front of any Ollama server.
//!
//! A request goes through `stack`, top to bottom; what is forwarded upstream can only be built from a proof that it was
//! authorised. Accounts live in `directory`, in memory for reading and in `store` for keeping.

mod account;
pub mod admin;
mod authn;
mod callers;
mod clock;
mod config;
pub mod connection;
pub mod descriptors;
mod directory;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod headers;
pub mod host;
mod joined;
mod knocks;
mod link_watch;
mod pace;
mod pages;
mod password;
mod peer;
mod policy;
mod proxy;
mod refusal;
mod relay;
mod replays;
mod reports;
mod routes;
mod server;
mod stack;
mod state;
mod store;
mod target;
mod tls;
mod upstream;

pub use admin::{
    AdminContext, AdminError, AdminReply, AdminRequest, AdminSocket, AdminSocketError, DeviceRef, UserRow,
};
pub use clock::Clock;
pub use config::{Config, ConfigError, ConfigFile, FILE_VARIABLE, Flag, Inputs, commented_file, load, load_database};
pub use directory::{Directory, DirectoryError};
pub use joined::Joined;
pub use knocks::{Knock, Knocks};
pub use pages::Pages;
pub use password::{PasswordError, PasswordHash};
pub use peer::Peer;
pub use refusal::{Dialect, Refusal};
pub use relay::{Broken, Relay};
pub use routes::{Access, Account, find as find_route};
pub use server::{ServeError, Server};
pub use state::Gateway;
pub use store::{Change, Device, Event, RecordedEvent, Role, SqliteStore, StoreError, User};
pub use target::Target;
