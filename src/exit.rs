//! Exit codes, and how an error becomes a message, a hint and a code. The only place that looks inside an error.

mod api;
mod code;
mod problem;

pub use api::{api_hint, clock_hint, refused_hint, unauthorized_hint};
pub use code::Exit;
pub use problem::Problem;
