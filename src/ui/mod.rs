//! The only writer to the terminal.
pub mod sanitize;
pub mod wrap;
