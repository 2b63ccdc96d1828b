//! `run`

use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::values::{KeepAlive, ModelOption, SpanArg};

/// `ollama-auth run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The prompt; piped input is put in front of it. Without one, on a terminal: a conversation
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Think first: true, false, low, medium, high or max [default: true for models that can]
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub think: Option<ThinkArg>,
    /// Do not show the thinking
    #[arg(long)]
    pub hidethinking: bool,
    /// The form of the answer: json, a JSON schema, or a file that holds one
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// How long the model stays loaded, such as 5m; negative: for ever
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub keepalive: Option<KeepAlive>,
    /// Do not wrap words at the edge of the terminal
    #[arg(long)]
    pub nowordwrap: bool,
    /// Write the model's text to the terminal as it is, escape sequences and all
    #[arg(long)]
    pub raw: bool,
    /// Let the server pull a missing model from a registry without TLS
    #[arg(long)]
    pub insecure: bool,
    /// Embedding models: cut input that is too long (=false: refuse it)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub truncate: Option<bool>,
    /// Embedding models: the length of the vector
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub dimensions: Option<u32>,
    /// Replace the model's system message
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Set a model parameter, such as temperature=0.5; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub option: Vec<ModelOption>,
    /// The form of our output: the text, or one JSON object at the end
    #[arg(long, value_enum, value_name = "FORM", default_value = "text")]
    pub output: OutputFormat,
    /// Give up when nothing comes for this long [default: never]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<SpanArg>,
}

/// The form of our output.
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
    /// On or off.
    Switch(bool),
    /// How much.
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
    use clap::Parser;

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
