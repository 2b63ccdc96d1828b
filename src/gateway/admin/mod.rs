//! Administration by commands on the gateway's machine.
//!
//! A command sends one [`AdminRequest`] to the running gateway through a Unix socket beside the database, so that it takes effect at
//! once. While the gateway is not running, the command opens the database and performs the request itself.

mod credentials;
mod message;
mod perform;
#[cfg(unix)]
mod socket;
#[cfg(not(unix))]
mod socket_unsupported;

pub use message::{AdminError, AdminReply, AdminRequest, DeviceRef, DeviceRow, KeyRow, UserRow};
pub use perform::{AdminContext, perform};
#[cfg(unix)]
pub use socket::{AdminSocket, AdminSocketError, AskError, ask, serve};
#[cfg(not(unix))]
pub use socket_unsupported::{AdminSocket, AdminSocketError, AskError, ask, serve};

#[cfg(test)]
mod tests;
