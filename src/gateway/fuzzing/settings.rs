//! The gateway's configuration file: any bytes are settings or an error that can be shown on one line.

use crate::gateway::config::{ConfigFile, Inputs, load};

/// Reads a `gateway.toml`.
///
/// # Panics
/// When an error does not name the file and fit on a line.
pub fn settings(data: &[u8]) {
    let file = ConfigFile { path: "gateway.toml".into(), bytes: data.to_vec() };
    if let Err(error) = load(&Inputs { file: Some(file), ..Inputs::default() }) {
        let message = error.to_string();
        assert!(message.contains("gateway.toml") && !message.contains('\n'), "{message:?}");
    }
}
