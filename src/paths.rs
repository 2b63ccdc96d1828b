//! Where our files lie: the platform's configuration and data folders.

use std::path::PathBuf;

use etcetera::BaseStrategy;

/// The folder in each base folder.
const FOLDER: &str = "ollama-auth";

/// Our folders. They are made when something is first written.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Profiles: `$XDG_CONFIG_HOME/ollama-auth` on Linux and macOS.
    pub config: PathBuf,
    /// Secrets in files: in the same way `$XDG_DATA_HOME/ollama-auth`.
    pub data: PathBuf,
    /// Dispensable state, such as the history of a chat: in the same way `$XDG_STATE_HOME/ollama-auth`.
    pub state: PathBuf,
    /// The home folder.
    pub home: PathBuf,
    /// The key of stock Ollama, `~/.ollama/id_ed25519`.
    pub stock_key: PathBuf,
}

/// The home folder is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the home folder is unknown, so there is no place for settings")]
pub struct NoHome;

impl Paths {
    /// The folders of the account that runs us.
    ///
    /// # Errors
    /// [`NoHome`] when neither the environment nor the system knows a home folder.
    pub fn of_this_account() -> Result<Self, NoHome> {
        let base = etcetera::choose_base_strategy().map_err(|_| NoHome)?;
        Ok(Self {
            config: base.config_dir().join(FOLDER),
            data: base.data_dir().join(FOLDER),
            state: base.state_dir().unwrap_or_else(|| base.data_dir()).join(FOLDER),
            home: base.home_dir().to_owned(),
            stock_key: base.home_dir().join(".ollama").join("id_ed25519"),
        })
    }
}
