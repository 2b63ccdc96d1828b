//! What `fuzz/` calls, and one test here: each target takes any bytes and panics when something does not hold that others rely on.
//!
//! Only there while fuzzing and in tests. The targets of the gateway are in `gateway::fuzzing`; these are the rest: what comes from
//! servers and files, and how patterns of models are compared.

mod text;

#[cfg(feature = "gateway")]
pub use crate::gateway::fuzzing::{authorization, body, settings, target, usage};
pub use crate::http::fuzzing::response;
#[cfg(feature = "gateway")]
pub use text::log_text;
pub use text::{keyfile, models, ndjson, sanitize};

/// A target, by the name of its folder of examples.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    #[cfg(feature = "gateway")]
    ("authorization", authorization),
    #[cfg(feature = "gateway")]
    ("target", target),
    #[cfg(feature = "gateway")]
    ("body", body),
    #[cfg(feature = "gateway")]
    ("settings", settings),
    #[cfg(feature = "gateway")]
    ("usage", usage),
    #[cfg(feature = "gateway")]
    ("log_text", log_text),
    ("response", response),
    ("keyfile", keyfile),
    ("models", models),
    ("ndjson", ndjson),
    ("sanitize", sanitize),
];

#[cfg(test)]
mod tests;
