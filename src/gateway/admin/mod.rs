//! Administration by commands on the gateway's machine.
//!
//! A command sends one [`AdminRequest`] to the running gateway through a Unix socket beside the database, so that it takes effect at
//! once. While the gateway is not running, the command opens the database and performs the request itself.
//!
//! On a database that gateways share the command does that first. If the database does not answer, each gateway of this machine is asked
//! through a socket of its own to take rights away in its memory. What only a running gateway knows, its responses under way, it is asked for
//! in the same way.

mod addresses;
mod checkpoint;
mod credentials;
mod error;
mod explain;
mod explanation;
mod groups;
mod invitations;
mod maintenance;
mod message;
mod perform;
mod policy;
mod rows;
mod running;
#[cfg(unix)]
mod socket;
#[cfg(unix)]
mod socket_folder;
#[cfg(not(unix))]
mod socket_unsupported;
mod status;
mod streams;
mod suspend;
mod usage;
mod usage_question;
mod withdraw;

pub use error::AdminError;
pub use explanation::{Explanation, Question, Verdict};
pub use message::{AdminReply, AdminRequest, AdminSubject, DeviceRef, GroupChange, ReplicaReply};
pub use perform::{AdminContext, Administrator, perform};
pub use rows::{DeviceRow, InvitationRow, KeyRow, MaintenanceRow, PolicyCheck, StreamRow, SuspensionRow, UserRow};
pub use running::{MakeCheckpoint, RunningGateway};
#[cfg(unix)]
pub use socket::{AdminSocket, AdminSocketError, AskError, ask, serve};
#[cfg(unix)]
pub use socket_folder::ask_all;
#[cfg(not(unix))]
pub use socket_unsupported::{AdminSocket, AdminSocketError, AskError, ask, ask_all, serve};
pub use usage_question::{UsageQuestion, UsageReply};

#[cfg(test)]
mod tests;
