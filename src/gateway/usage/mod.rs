//! Usage: what each request used of the upstream server.
//!
//! [`response`] reads the tokens of a response while it is relayed.

pub mod response;
