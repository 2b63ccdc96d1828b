//! What is fuzzed of the gateway: each function takes any bytes and panics when something that a caller relies on does not hold.
//!
//! What is accepted is read a second time, here, by code that shares nothing with the one that is tested: as the upstream server
//! would read it, which is written in Go.

mod authorization;
mod body;
mod go;
mod settings;
mod target;
mod usage;

use axum::http::Request;
use axum::http::request::Parts;

pub use authorization::authorization;
pub use body::body;
pub use settings::settings;
pub use target::target;
pub use usage::usage;

/// The head of a request that begins with such a line: `POST /api/me?ts=1`. `None` for what no server would hand on as a request.
fn head(line: &[u8]) -> Option<Parts> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    let request = Request::builder().method(&line[..at]).uri(&line[at + 1..]).body(()).ok()?;
    Some(request.into_parts().0)
}

/// The lines of an input, without the last line's end.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.strip_suffix(b"\n").unwrap_or(data).split(|byte| *byte == b'\n')
}
