//! `pull`, `push`, `list`, `show`, `ps`, `stop`, `rm`, `cp`: the models of a server, as stock Ollama's commands of these names.

use clap::Args;

use super::values::SpanArg;

/// `ollama-auth pull`, `ollama-auth push`
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Let the server use a registry without TLS, or with a certificate that it cannot check
    #[arg(long)]
    pub insecure: bool,
    /// Give up when nothing comes for this long [default: never]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<SpanArg>,
}

/// `ollama-auth list`, `ollama-auth ps`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only models whose names begin so
    #[arg(value_name = "PREFIX")]
    pub prefix: Option<String>,
}

/// `ollama-auth show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// What of it, when not all
    #[command(flatten)]
    pub part: ShowPart,
}

/// The one part that `show` prints.
#[derive(Debug, Clone, Copy, Default, Args)]
#[group(multiple = false)]
pub struct ShowPart {
    /// Print its license
    #[arg(long)]
    pub license: bool,
    /// Print its Modelfile
    #[arg(long)]
    pub modelfile: bool,
    /// Print its parameters
    #[arg(long)]
    pub parameters: bool,
    /// Print its system message
    #[arg(long)]
    pub system: bool,
    /// Print its template
    #[arg(long)]
    pub template: bool,
}

/// `ollama-auth stop`
#[derive(Debug, Args)]
pub struct StopArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
}

/// `ollama-auth rm`
#[derive(Debug, Args)]
pub struct RmArgs {
    /// The models
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<String>,
}

/// `ollama-auth cp`
#[derive(Debug, Args)]
pub struct CpArgs {
    /// The model to copy
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The name of the copy; a model that has it is replaced
    #[arg(value_name = "DESTINATION")]
    pub destination: String,
}
