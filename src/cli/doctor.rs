//! `doctor`

use clap::Args;

/// `ollama-auth doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at this machine only; ask no host
    #[arg(long)]
    pub offline: bool,
}
