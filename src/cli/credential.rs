//! `token`, `exec`, `api`, `proxy` and `usage`: the credential, used by other programs or for single requests.

use std::ffi::OsString;
#[cfg(feature = "gateway")]
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::values::SpanArg;

/// Print the credential for another program
///
/// With an API key, prints the key; in a job with a token of its issuer, prints the token. With a device key, name the request: the printed
/// Authorization header is valid once, for a short time, and only for the URL that --json shows.
#[derive(Debug, Args)]
#[command(after_help = "\
# Print the API key
ollama-auth token

# Sign one request with the device key
ollama-auth token GET /api/tags --json")]
pub struct TokenArgs {
    /// Method of the request to sign, such as GET
    #[arg(requires = "path")]
    pub method: Option<MethodArg>,
    /// Path of the request to sign, with its query
    pub path: Option<String>,
    /// Print a whole header line, as in Authorization: …
    #[arg(long, requires = "path")]
    pub header: bool,
}

/// Run a program that uses your host and credential
///
/// Sets what programs for Ollama, OpenAI and Anthropic read: OLLAMA_HOST, OLLAMA_API_KEY, OLLAMA_API_BASE, CODEX_OSS_BASE_URL,
/// OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN. Settings for OpenAI or Anthropic that you have already stay.
/// A device key signs each request, and an OIDC token has to be renewed: with these the program gets a proxy of its own, which ends
/// with it.
#[derive(Debug, Args)]
#[command(after_help = "\
# Start a coding agent
ollama-auth exec -- claude --model qwen3-coder

# Let stock Ollama start one, at a gateway
ollama-auth exec --host https://gpu.example.com -- ollama launch codex

# Set the variables of your shell, from an API key
eval \"$(ollama-auth exec --print)\"")]
pub struct ExecArgs {
    /// Set the variables for these APIs only, and replace what is set: ollama, openai, anthropic (repeatable)
    #[arg(long = "for", value_enum, value_name = "API", value_delimiter = ',', hide_possible_values = true)]
    pub apis: Vec<ApiArg>,
    /// Start a proxy for an API key too, so that the program does not get the key
    #[cfg(feature = "gateway")]
    #[arg(long)]
    pub proxy: bool,
    /// Print the variables instead: shell, powershell or json
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "shell",
          hide_possible_values = true, conflicts_with = "command")]
    #[cfg_attr(feature = "gateway", arg(conflicts_with = "proxy"))]
    pub print: Option<PrintFormat>,
    /// Be the proxy for the program in this process. Not an option: see `commands::proxy_request`.
    #[cfg(all(unix, feature = "gateway"))]
    #[arg(skip)]
    pub proxy_for: Option<i32>,
    /// The program and its arguments
    #[arg(
        value_name = "COMMAND",
        required_unless_present = "print",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<OsString>,
}

/// `--for`: whose programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApiArg {
    /// Programs for Ollama
    Ollama,
    /// Programs for OpenAI
    #[value(name = "openai")]
    OpenAi,
    /// Programs for Anthropic
    Anthropic,
}

/// `--print`: for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrintFormat {
    /// A POSIX shell
    Shell,
    /// PowerShell
    Powershell,
    /// Programs: one JSON object a line
    Json,
}

/// Send one authenticated request and print the answer
///
/// Streams the answer as it arrives. The exit code tells the answer's status: 4 for 401, 5 for 403, 3 for 404.
#[derive(Debug, Args)]
#[command(after_help = "\
# List the models
ollama-auth api /api/tags

# Send a request body from a file
ollama-auth api /api/generate --data @request.json

# See the status and the headers too
ollama-auth api /api/version --include")]
pub struct ApiArgs {
    /// The path with its query, such as /api/tags
    pub path: String,
    /// The method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD", help_heading = "Request")]
    pub method: Option<MethodArg>,
    /// The body: text, @FILE, or - for standard input
    #[arg(short, long, value_name = "BODY", allow_hyphen_values = true, help_heading = "Request")]
    pub data: Option<String>,
    /// A header, as in "Accept: text/plain" (repeatable)
    #[arg(short = 'H', long = "header", value_name = "HEADER", help_heading = "Request")]
    pub headers: Vec<String>,
    /// Print the status line and the headers first
    #[arg(short, long, help_heading = "Answer")]
    pub include: bool,
    /// Give up when nothing arrives for this long [default: never]
    #[arg(long, value_name = "DURATION", help_heading = "Answer")]
    pub timeout: Option<SpanArg>,
}

/// Open a local port that adds your credential to requests
///
/// Programs that cannot sign requests send them to the port without a credential. Other users of this machine can reach the
/// port too: require a token if there are any.
#[cfg(feature = "gateway")]
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
# Start the proxy; programs then use http://127.0.0.1:11436
ollama-auth proxy

# Require a token from programs, and let a web page use it
ollama-auth proxy --token-file token.txt --allow-origin http://localhost:3000")]
pub struct ProxyArgs {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:11436")]
    pub listen: String,
    /// Require a token as API key, read from standard input
    #[arg(long, conflicts_with = "token_file", help_heading = "Access")]
    pub token_stdin: bool,
    /// Require a token, read from a file (mode 0600)
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub token_file: Option<PathBuf>,
    /// Let web pages of this origin use the proxy (repeatable)
    #[arg(long = "allow-origin", value_name = "ORIGIN", help_heading = "Access")]
    pub allow_origins: Vec<String>,
}

/// Show your usage of ollama.com
///
/// Prints the used and remaining allowance of your plan, and the requests of a period by model.
#[derive(Debug, Args)]
#[command(after_help = "\
# See this week's usage
ollama-auth usage

# See a month, for the whole team
ollama-auth usage --range 30d --team")]
pub struct UsageArgs {
    /// The period
    #[arg(long, value_enum, value_name = "RANGE", default_value = "7d")]
    pub range: RangeArg,
    /// Show the usage of the whole team
    #[arg(long)]
    pub team: bool,
}

/// `--range`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RangeArg {
    /// One day
    #[value(name = "24h")]
    Day,
    /// One week
    #[value(name = "7d")]
    Week,
    /// One month
    #[value(name = "30d")]
    Month,
}

impl RangeArg {
    /// The value in the host's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }
}

/// An HTTP method, in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodArg(pub String);

impl FromStr for MethodArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usable = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        // CONNECT would turn the connection into a tunnel.
        if !usable || text.eq_ignore_ascii_case("CONNECT") {
            return Err("expected a method such as GET, POST or DELETE".to_owned());
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}
