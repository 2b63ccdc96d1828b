//! A loopback HTTP/1.1 server on plain threads. A test decides each answer, chunk by chunk if it likes, and sees
//! every request; at drop the server complains about what came unexpectedly or did not come.

mod expect;
mod gate;
mod reply;
mod request;
mod server;
mod wire;

pub use expect::Expectation;
pub use gate::Gate;
pub use reply::{Reply, Step};
pub use request::Request;
pub use server::Server;
