//! `list`, `show`, `ps`, `pull`, `push`, `cp`, `rm`, `stop`: the models of a server, as stock Ollama's commands of these names.

use clap::Args;

use super::values::SpanArg;

/// `pull` and `push`.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Let the server use a registry without TLS
    #[arg(long)]
    pub insecure: bool,
    /// Give up when nothing arrives for this long [default: never]
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<SpanArg>,
}

/// `list` and `ps`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only models whose names begin with this
    #[arg(value_name = "MODEL")]
    pub prefix: Option<String>,
}

/// Show a model's details
///
/// Prints architecture, size, capabilities, parameters and licence. With --verbose it prints all metadata.
#[derive(Debug, Args)]
#[command(after_help = "\
# Show a model
ollama-auth show llama3.2

# Print its Modelfile only
ollama-auth show llama3.2 --modelfile")]
pub struct ShowArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The part to print; all of them otherwise
    #[command(flatten)]
    pub part: ShowPart,
}

/// The one part that `show` prints.
#[derive(Debug, Clone, Copy, Default, Args)]
#[group(multiple = false)]
pub struct ShowPart {
    /// Print its license only
    #[arg(long)]
    pub license: bool,
    /// Print its Modelfile only
    #[arg(long)]
    pub modelfile: bool,
    /// Print its parameters only
    #[arg(long)]
    pub parameters: bool,
    /// Print its system message only
    #[arg(long)]
    pub system: bool,
    /// Print its template only
    #[arg(long)]
    pub template: bool,
}

/// Unload a model from the server's memory
///
/// The model stays on the server's disk and is loaded again by the next request.
#[derive(Debug, Args)]
#[command(after_help = "\
# See what is loaded, then unload a model
ollama-auth ps
ollama-auth stop llama3.2")]
pub struct StopArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
}

/// Delete models from the server
///
/// Deletes them at once, without a question, as stock Ollama does.
#[derive(Debug, Args)]
#[command(after_help = "\
# Delete one model
ollama-auth rm llama3.2

# Delete several
ollama-auth rm llama3.2 ada/tiny")]
pub struct RmArgs {
    /// The models
    #[arg(value_name = "MODEL", required = true)]
    pub models: Vec<String>,
}

/// Copy a model to another name
///
/// The copy shares the data of the original. A model that already has the new name is replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
# Keep a copy under another name
ollama-auth cp llama3.2 llama-backup

# Name a model after your account, to publish it
ollama-auth cp llama3.2 ada/tiny")]
pub struct CpArgs {
    /// The model to copy
    #[arg(value_name = "MODEL")]
    pub source: String,
    /// The name of the copy
    #[arg(value_name = "NEW_NAME")]
    pub destination: String,
}
