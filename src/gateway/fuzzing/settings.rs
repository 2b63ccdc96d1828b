//! The gateway's configuration file: any bytes are settings or an error that can be shown on one line.

use std::path::PathBuf;

use crate::gateway::config::ConfigFile;
use crate::gateway::config::file::read;

/// Reads a `gateway.toml`.
///
/// # Panics
/// When an error cannot be shown.
pub fn settings(data: &[u8]) {
    let file = ConfigFile { path: PathBuf::from("gateway.toml"), bytes: data.to_vec() };
    match read(&file) {
        Ok(settings) => {
            for (at, (name, _)) in settings.iter().enumerate() {
                assert!(!settings[..at].iter().any(|(earlier, _)| earlier == name), "{name} is there twice");
            }
        }
        Err(error) => assert!(error.to_string().contains("gateway.toml"), "{error}"),
    }
}
