//! What gateway, proxy and client share of HTTP/1.1: the client, connections of callers, and bodies on their way through. It knows none of
//! them.

mod caller_stream;
pub mod client;
mod coalesced;
pub mod connection_slots;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod headers;
mod min_data_rate;
mod relay;
pub mod server;

pub use caller_stream::{AuthenticatedFlag, CallerStream};
pub use client::{Http1Client, OutgoingRequest, SendError};
pub use coalesced::CoalescedBody;
pub use min_data_rate::{MinDataRateBody, TooSlow};
pub use relay::{BodyFilter, CutOff, Relay, ResetOnClose};
