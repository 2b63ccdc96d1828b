//! Exit codes, and how an error becomes a message, a hint and a code. The only place that looks inside an error.

mod api;
mod code;
mod problem;

#[cfg(feature = "gateway")]
pub use api::unauthorized_hint;
pub use api::{api_hint, clock_hint, refused_hint};
pub use code::Exit;
pub use problem::Problem;
