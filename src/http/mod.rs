//! The HTTP/1.1 code that gateway, proxy and client share. It depends on none of them.
//!
//! - Towards a server: [`Http1Client`]. It is all that the client of this program needs, and builds without the `gateway` feature.
//! - Towards callers: [`server`] listens and serves, [`CallerStream`] is a caller's connection, `server::ConnectionSlots` counts
//!   them, [`MinDataRateBody`] ends requests that are too slow.
//! - In between: `headers` says what is forwarded, [`Relay`] passes a response on.

#[cfg(feature = "gateway")]
mod caller_stream;
mod certificate;
mod client;
mod coalesced;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(feature = "gateway")]
pub mod headers;
pub mod listener;
#[cfg(target_os = "linux")]
mod listening_sockets;
#[cfg(feature = "gateway")]
mod min_data_rate;
#[cfg(feature = "gateway")]
mod relay;
#[cfg(feature = "gateway")]
pub mod server;
#[cfg(test)]
mod tests;

#[cfg(feature = "gateway")]
pub use caller_stream::{AuthenticatedFlag, CallerStream};
pub use certificate::certificate_problem;
pub use client::{BoxError, ConnectCheck, Http1Client, OutgoingRequest, RequestHead, ResponseBody, SendError};
pub use coalesced::CoalescedBody;
#[cfg(feature = "gateway")]
pub use min_data_rate::{MinDataRateBody, TooSlow};
#[cfg(feature = "gateway")]
pub use relay::{BodyFilter, Relay, ResetOnClose};
