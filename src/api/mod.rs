//! The HTTP client: which bytes go to a host, with which credential, and what its answers mean.
//!
//! `Transport` owns the connections, `Session` binds one host to one credential (a credential never leaves its session),
//! and the endpoint files turn answers into types. Nothing here knows a terminal.

mod account;
mod actions_token;
mod body;
mod clock;
mod credential;
mod error;
mod events;
#[cfg(feature = "gateway")]
mod forward;
mod host_facts;
mod key_expiry;
mod keys;
mod listener;
mod models;
mod ndjson;
mod raw;
mod renewal;
mod session;
mod transport;
mod usage;
mod workload_token;

pub use account::{AccountHost, ApiKeyCheck, CredentialCheck, Disconnect, HostKind, Look, Me};
pub use actions_token::ActionsTokens;
pub use clock::offset_in_words;
pub use credential::{Credential, holds_key, looks_like_key, looks_like_ollama_com_key};
pub use error::{ApiError, Conflict, ForbiddenReason, MissingProof, Remedy, TokenError, Unreachable, UserCode};
pub use events::{Chunk, ProgressChunk};
#[cfg(feature = "gateway")]
pub use forward::{Forwarded, Forwarder};
pub use host_facts::ClockRule;
pub use key_expiry::{KeyExpiry, KeyExpiryNotice};
pub use keys::{CreatedKey, KeyEntry, NewKey, Revocation};
pub use listener::Warning;
pub use models::{
    ChatRequest, CreateRequest, EmbedRequest, GenerateRequest, ListedModel, RunningModel, ShowResponse, Think,
};
#[cfg(any(test, fuzzing))]
pub use ndjson::LineBuffer;
pub use ndjson::{Batch, LineStream};
pub use raw::{BodyFeed, HeaderProblem, RawAnswer, RawBody, RawHeaders, RawRequest};
pub use renewal::Renewal;
pub use session::{Fetched, ProofSource, Session};
pub use transport::{Transport, TransportOptions};
pub use usage::{Meter, ModelUse, UsageReport, read_usage};
pub use workload_token::{FetchedToken, TokenClaims, TokenSource, WorkloadToken};
