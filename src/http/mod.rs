//! What gateway, proxy and client share of HTTP/1.1: the client, connections of callers, and bodies on their way through. It knows none of
//! them.

pub mod client;
pub mod connection;
pub mod connection_slots;
pub mod descriptors;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod headers;
mod joined;
mod pace;
mod paced;
mod peer;
mod relay;

pub use client::{Outgoing, Upstream, UpstreamError};
pub use joined::Joined;
pub use paced::{Paced, TooSlow};
pub use peer::{AuthenticatedFlag, Peer};
pub use relay::{BodyFilter, Broken, CutOff, Relay};
