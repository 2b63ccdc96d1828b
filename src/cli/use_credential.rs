//! What can be typed after `token`, `exec`, `api` and `usage`: commands that use the credential for something else.

use std::ffi::OsString;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::values::SpanArg;

/// `ollama-auth token`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The method of the request that it is for, such as GET; a device key signs each request
    #[arg(requires = "path")]
    pub method: Option<MethodArg>,
    /// The path of that request, with its query
    pub path: Option<String>,
    /// Print the whole header line, for METHOD PATH
    #[arg(long, requires = "path")]
    pub header: bool,
}

/// `ollama-auth exec`
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The program to run, and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// `ollama-auth api`
#[derive(Debug, Args)]
pub struct ApiArgs {
    /// The path, with its query, such as /api/tags
    pub path: String,
    /// The method [default: GET, or POST with a body]
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<MethodArg>,
    /// The body: the text itself, @FILE for a file, - for standard input
    #[arg(short, long, value_name = "BODY|@FILE|-", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// A header to send (can be repeated); a body is JSON unless Content-Type says otherwise
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Print the status line and the headers of the answer first
    #[arg(short, long)]
    pub include: bool,
    /// Give up when nothing comes for this long [default: never]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<SpanArg>,
}

/// `ollama-auth usage`
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// The time to look back on
    #[arg(long, value_enum, value_name = "RANGE", default_value = "7d")]
    pub range: RangeArg,
    /// The usage of the whole team
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
    /// As the host writes it.
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
        // It would turn the connection into something else than a request and its answer.
        if !usable || text.eq_ignore_ascii_case("CONNECT") {
            return Err("it is a method such as GET, POST or DELETE".to_owned());
        }
        Ok(Self(text.to_ascii_uppercase()))
    }
}
