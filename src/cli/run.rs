//! `run`

use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::values::{KeepAlive, ModelOption, SpanArg};

/// Run a model: once with a prompt, or in a conversation
///
/// Without a prompt, a terminal gets a conversation in which /? lists the commands. Piped input is put in front of the
/// prompt. Has every flag of `ollama run`.
#[derive(Debug, Args)]
#[command(after_help = "\
# Have a conversation
ollama-auth run llama3.2

# Ask once
ollama-auth run llama3.2 \"Why is the sky blue?\"

# Ask about a file, and get the answer as JSON
ollama-auth run llama3.2 \"Summarise this:\" --output json <notes.txt")]
pub struct RunArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The prompt; without one, a conversation
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Replace the model's system message
    #[arg(long, value_name = "TEXT", help_heading = "Model")]
    pub system: Option<String>,
    /// Set a parameter, as in temperature=0.5 (repeatable)
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Model")]
    pub option: Vec<ModelOption>,
    /// Think first: true, false, low, medium, high or max
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Model")]
    pub think: Option<ThinkArg>,
    /// Answer as json, or by a JSON schema (a file or its text)
    #[arg(long, value_name = "FORMAT", help_heading = "Model")]
    pub format: Option<String>,
    /// Keep the model loaded this long; negative: forever
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Model")]
    pub keepalive: Option<KeepAlive>,
    /// Let the server pull from a registry without TLS
    #[arg(long, help_heading = "Model")]
    pub insecure: bool,
    /// Print text as it arrives, or one JSON object at the end
    #[arg(long, value_enum, value_name = "FORM", default_value = "text", help_heading = "Output")]
    pub output: OutputFormat,
    /// Do not show the thinking
    #[arg(long, help_heading = "Output")]
    pub hidethinking: bool,
    /// Do not wrap lines at words
    #[arg(long, help_heading = "Output")]
    pub nowordwrap: bool,
    /// Do not remove escape sequences from the model's text
    #[arg(long, help_heading = "Output")]
    pub raw: bool,
    /// Give up when nothing arrives for this long [default: never]
    #[arg(long, value_name = "DURATION", help_heading = "Output")]
    pub timeout: Option<SpanArg>,
    /// If the host is busy or a limit is reached, wait and try again, for at most 10m or =DURATION in all
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", help_heading = "Output")]
    pub wait: Option<SpanArg>,
    /// Cut input that is too long (=false: refuse it)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Embedding models")]
    pub truncate: Option<bool>,
    /// Length of the vector
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Embedding models")]
    pub dimensions: Option<u32>,
}

/// How `run` prints the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The model's text as it comes
    Text,
    /// One JSON object at the end
    Json,
}

/// `--think`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThinkArg {
    /// Think or not.
    Switch(bool),
    /// How much to think.
    Level(String),
}

impl FromStr for ThinkArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "true" => Ok(Self::Switch(true)),
            "false" => Ok(Self::Switch(false)),
            "low" | "medium" | "high" | "max" => Ok(Self::Level(text.to_owned())),
            _ => Err("it is true, false, low, medium, high or max".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    fn run(args: &[&str]) -> Result<RunArgs, clap::Error> {
        let all = ["ollama-auth", "run"].iter().chain(args);
        match Cli::try_parse_from(all)?.command {
            Command::Run(run) => Ok(*run),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_may_come_after_the_prompt_and_think_never_eats_it() {
        let args = run(&["m", "--think", "hello", "there", "--hidethinking"]).unwrap();
        assert_eq!(args.think, Some(ThinkArg::Switch(true)));
        assert_eq!(args.prompt, ["hello", "there"]);
        assert!(args.hidethinking);
        assert_eq!(run(&["m", "--think=high"]).unwrap().think, Some(ThinkArg::Level("high".into())));
        assert!(run(&["m", "--think=hard"]).is_err());
        assert_eq!(run(&["m", "--truncate=false", "x"]).unwrap().truncate, Some(false));
    }

    #[test]
    fn options_are_typed_as_json_where_they_can_be() {
        let args = run(&["m", "--option", "temperature=0.5", "--option", "stop=\"a\"", "--option", "x=y z"]).unwrap();
        let values: Vec<_> = args.option.iter().map(|option| option.value.to_string()).collect();
        assert_eq!(values, ["0.5", "\"a\"", "\"y z\""]);
        assert!(run(&["m", "--option", "temperature"]).is_err());
    }
}
