//! A loopback HTTP/1.1 server on plain threads. A test scripts each response, chunk by chunk if needed, and sees every request. At
//! drop the server reports unexpected and missing requests.

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
