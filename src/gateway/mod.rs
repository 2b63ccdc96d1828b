//! The gateway: ollama.com's authentication in front of any Ollama server.
//!
//! A request goes through `stack`, top to bottom; what is forwarded upstream can only be built from a proof that it was
//! authorised. Accounts live in `directory`, in memory for reading and in `store` for keeping.

mod account;
mod active_config;
pub mod admin;
mod append_file;
pub mod audit;
mod authn;
mod caps;
mod clock;
mod composition;
mod config;
mod cors;
mod definitions;
mod directory;
mod environments;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod groups;
mod health;
pub mod host;
mod key_expiry;
mod lenient_path;
mod limits;
mod local_day;
mod log_throttle;
mod maintenance;
mod metrics_listener;
mod model_access;
mod model_limits;
mod oidc;
mod origin;
mod pages;
mod password;
mod pending_devices;
mod policy;
mod policy_name;
mod policy_tables;
mod providers;
mod proxy;
mod refusal_code;
mod refusals;
mod rejection;
mod roles;
mod routes;
mod secret;
mod server;
mod signin_link;
mod signin_link_filter;
mod stack;
mod status;
mod status_metrics;
mod stdout_lines;
mod store;
mod target;
mod telemetry;
mod tls;
mod token_estimate;
mod token_explanation;
mod usage;
mod workload;

pub use admin::{
    AdminContext, AdminError, AdminReply, AdminRequest, AdminSocket, AdminSocketError, AdminSubject, DeviceRef,
    DeviceRow, Explanation, GroupChange, InvitationRow, KeyRow, MaintenanceRow, MakeCheckpoint, PolicyCheck, Question,
    ReplicaReply, StreamRow, SuspensionRow, UserRow, Verdict,
};
pub use clock::Clock;
pub use composition::{Gateway, LOCKED_OUT};
pub use config::{
    Config, ConfigError, ConfigFile, FILE_VARIABLE, Flag, Inputs, commented_file, load, load_database,
    load_policy_tables, load_public_url,
};
pub use definitions::Definitions;
pub use directory::{Directory, DirectoryError, machine};
pub use lenient_path::{decode_model, redirect};
pub use metrics_listener::MetricsListener;
pub use password::{PasswordError, PasswordHash};
pub use pending_devices::{PendingDevice, PendingDevices};
pub use policy_name::{PolicyName, PolicyNameError};
pub use policy_tables::PolicyTables;
pub use rejection::{Dialect, Rejection};
pub use routes::{Access, Account, find as find_route};
pub use secret::Secret;
pub use server::{ServeError, Server};
pub use status::{Problem as StatusProblem, Section as StatusSection, Signing, StatusReport};
pub use store::{
    AuditReader, Change, CopiedTable, DatabaseLocation, Device, Event, EventFilter, EventPage, InvitationId,
    InvitationState, LinePage, PostgresAddress, RecordedEvent, Role, RoleError, SqliteStore, Store, StoreError, User,
};
pub use target::Target;
pub use token_explanation::{TokenExplanation, explain_token};
pub use usage::{UsageBy, UsageReportRow, UsageTime};
