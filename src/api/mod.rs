//! The HTTP client: which bytes go to a host, with which credential, and what its answers mean.
//!
//! `Transport` owns the connections, `Session` binds one host to one credential (a credential never leaves its session),
//! and the endpoint files turn answers into types. Nothing here knows a terminal.

mod account;
mod body;
mod coalesce;
mod credential;
mod dates;
mod error;
mod events;
mod keys;
mod look;
mod models;
mod ndjson;
mod session;
mod transport;

pub use account::{AccountHost, Disconnect, HostKind, KeyCheck, Me, Standing};
pub use credential::{Credential, looks_like_ollama_com_key};
pub use error::{ApiError, Unreachable};
pub use events::{Chunk, ProgressChunk};
pub use keys::{CreatedKey, KeyEntry, NewKey, Revocation};
pub use look::Look;
#[cfg(feature = "gateway")]
pub use models::ListedModel;
pub use models::{EmbedRequest, GenerateRequest, ShowResponse, Think};
pub use ndjson::{Batch, LineStream};
pub use session::Session;
pub use transport::{Transport, TransportOptions};
