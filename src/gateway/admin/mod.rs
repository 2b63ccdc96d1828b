//! Administration by commands on the gateway's machine.
//!
//! A command sends one [`AdminRequest`] to the running gateway through a Unix socket beside the database, so that it counts at
//! once; when none runs, it opens the database and performs the request itself.

mod message;
mod perform;
#[cfg(unix)]
mod socket;
#[cfg(unix)]
mod talk;
#[cfg(not(unix))]
mod without;

pub use message::{AdminError, AdminReply, AdminRequest, DeviceRef, UserRow};
pub use perform::{AdminContext, perform};
#[cfg(unix)]
pub use socket::{AdminSocket, AdminSocketError, serve};
#[cfg(unix)]
pub use talk::{AskError, ask};
#[cfg(not(unix))]
pub use without::{AdminSocket, AdminSocketError, AskError, ask, serve};

#[cfg(test)]
mod tests;
