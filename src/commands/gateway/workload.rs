//! `gateway workload`: the rules that accept tokens of issuers, and what they say of one.

use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::config;
use crate::app::App;
use crate::cli::{DatabaseArgs, ServeArgs, WorkloadCommand, WorkloadExplainArgs, WorkloadListArgs};
use crate::disk::{Exposure, read_input};
use crate::exit::{Exit, Problem};
use crate::gateway::{Definitions, TokenExplanation, explain_token};
use crate::ui::{Column, Table};

/// The longest token that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Runs a subcommand.
///
/// # Errors
/// A configuration file or a token that cannot be read.
pub async fn run(app: &App, command: WorkloadCommand) -> anyhow::Result<Exit> {
    match command {
        WorkloadCommand::List(args) => list(app, args),
        WorkloadCommand::Explain(args) => explain(app, args).await,
    }
}

fn list(app: &App, args: WorkloadListArgs) -> anyhow::Result<Exit> {
    let serve = ServeArgs { database: args.database, ..ServeArgs::default() };
    let definitions = Definitions::new(&config::load(app, &serve)?);
    let rules = definitions.workloads();
    if app.printer.is_json() {
        app.printer.json(&json!({ "workloads": rules }))?;
        return Ok(Exit::Done);
    }
    if rules.is_empty() {
        no_rules(app, &serve.database)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(vec![
        Column::new("rule"),
        Column::new("issuer").shrinks_to(16),
        Column::new("audience").shrinks_to(12).optional(2),
        Column::new("claims").shrinks_to(20),
        Column::new("scopes").shrinks_to(12).optional(1),
        Column::new("models").shrinks_to(8).optional(3),
    ]);
    let texts = |value: &Value| match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        _ => "all".to_owned(),
    };
    for rule in rules {
        let mut claims = Vec::new();
        in_words("", &rule["claims"], &mut claims);
        let [name, issuer, audience, scopes, models] =
            ["name", "issuer", "audience", "scopes", "models"].map(|member| texts(&rule[member]));
        table.push(vec![name, issuer, audience, claims.join(", "), scopes, models]);
    }
    app.printer.table(&table)?;
    Ok(Exit::Done)
}

/// Prints that no rules are defined, and which file was read.
fn no_rules(app: &App, database: &DatabaseArgs) -> anyhow::Result<()> {
    match config::file(app, database)? {
        Some(file) => app.printer.note(&format!("There are no workload rules in {}.", file.path.display())),
        None => {
            app.printer.note("There are no workload rules, because no configuration file was found.");
            app.printer.hint("name the gateway's file: --config gateway.toml");
        }
    }
    Ok(())
}

/// Claims as `name=value`.
fn in_words(before: &str, claims: &Value, words: &mut Vec<String>) {
    for (name, value) in claims.as_object().into_iter().flatten() {
        let name = if before.is_empty() { name.clone() } else { format!("{before}.{name}") };
        match value {
            Value::Object(_) => in_words(&name, value, words),
            Value::Array(items) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                words.push(format!("{name}={}", items.join("|")));
            }
            value => words.push(format!("{name}={}", value.as_str().unwrap_or_default())),
        }
    }
}

async fn explain(app: &App, args: WorkloadExplainArgs) -> anyhow::Result<Exit> {
    let serve = ServeArgs { database: args.database, ..ServeArgs::default() };
    let config = config::load(app, &serve)?;
    let token = read(app, args.file.as_deref().filter(|path| *path != Path::new("-")))?;
    if config.workloads.all().next().is_none() {
        no_rules(app, &serve.database)?;
    }
    let explanation = explain_token(&config, token.expose_secret(), app.now).await;
    let exit = match &explanation {
        TokenExplanation { accepted_by: Some(_), .. } => Exit::Done,
        TokenExplanation { is_temporary: true, .. } => Exit::TryLater,
        _ => Exit::SignIn,
    };
    if app.printer.is_json() {
        app.printer.json(&explanation)?;
    } else {
        print(app, &explanation)?;
    }
    Ok(exit)
}

fn print(app: &App, explanation: &TokenExplanation) -> anyhow::Result<()> {
    let TokenExplanation { issuer, subject, run, expires_at, problem, accepted_by, rules, is_temporary: _ } =
        explanation;
    let printer = &app.printer;
    let ends = expires_at.and_then(|end| Timestamp::from_second(end).ok()).map(|end| end.to_string());
    let facts = [("issuer", issuer), ("subject", subject), ("run", run), ("valid until", &ends)];
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    printer.facts(&facts.collect::<Vec<_>>())?;
    if let Some(problem) = problem {
        printer.report(&format!("\nRefused: {problem}"));
        return Ok(());
    }
    let mut table = Table::new(vec![Column::new("rule"), Column::new("verdict"), Column::new("why").shrinks_to(30)]);
    for rule in rules {
        let verdict = match (rule.mismatches.is_empty(), accepted_by.as_ref() == Some(&rule.rule)) {
            (true, true) => "accepts",
            // An earlier rule decides.
            (true, false) => "would accept",
            (false, _) => "-",
        };
        table.push(vec![rule.rule.clone(), verdict.to_owned(), rule.mismatches.join("; ")]);
    }
    printer.table(&table)?;
    match accepted_by {
        Some(rule) => printer.success(&format!("The rule {rule} accepts the token")),
        None => printer.report("\nRefused: no rule matches the token"),
    }
    Ok(())
}

/// The token in a file, or on standard input.
fn read(app: &App, file: Option<&Path>) -> anyhow::Result<SecretString> {
    let problem = |message: String| Problem::new(Exit::Usage, message);
    let bytes = match file {
        Some(path) => read_input(path, Exposure::Anyone)?
            .ok_or_else(|| problem(format!("there is no file {}", path.display())))?,
        None if app.printer.stdin_is_terminal() => {
            return Err(problem("no token was given".to_owned())
                .hint("name a file with it: ollama-auth gateway workload explain TOKEN-FILE")
                .into());
        }
        None => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().take(LONGEST).read_to_end(&mut bytes)?;
            bytes
        }
    };
    let text = String::from_utf8(bytes).map_err(|_| problem("the token is not text".to_owned()))?;
    if text.trim().is_empty() {
        return Err(problem("no token was given: the input is empty".to_owned()).into());
    }
    Ok(SecretString::from(text.trim()))
}
