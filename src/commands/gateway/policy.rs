//! `gateway policy`: checks a configuration file against the people and keys on record, and shows what it defines.

use serde_json::json;

use super::user::count;
use super::{admin, config, database};
use crate::app::App;
use crate::cli::{DatabaseArgs, PolicyCheckArgs, PolicyCommand, PolicyExplainArgs, PolicyShowArgs, ServeArgs};
use crate::commands::keys::short;
use crate::exit::{Exit, Problem};
use crate::gateway::{
    AdminReply, AdminRequest, ConfigFile, DatabaseLocation, Definitions, Explanation, LOCKED_OUT, PolicyCheck,
    Question, Verdict,
};
use crate::ui::{Column, Table};

/// The most losses that a table shows. JSON has all.
const MOST_SHOWN: usize = 100;

/// Runs a subcommand.
///
/// # Errors
/// A file that cannot be read or is not valid.
pub async fn run(app: &App, command: PolicyCommand) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::Check(args) => check(app, args).await,
        PolicyCommand::Show(args) => show(app, args),
        PolicyCommand::Explain(args) => explain(app, *args).await,
    }
}

async fn check(app: &App, args: PolicyCheckArgs) -> anyhow::Result<Exit> {
    let current = config::file(app, &args.database)?;
    let checked = DatabaseArgs { config: args.file.or(args.database.config), database: args.database.database };
    let file = config::file(app, &checked)?.ok_or_else(|| {
        Problem::new(Exit::Usage, "no configuration file found").hint("name it: ollama-auth gateway policy check FILE")
    })?;
    let path = file.path.display().to_string();
    let serve = ServeArgs { database: checked.clone(), ..ServeArgs::default() };
    let definitions = Definitions::new(&config::load(app, &serve)?);
    let is_there = match database::configured(app, &checked)? {
        DatabaseLocation::File(path) => admin::require_file(&path).is_ok(),
        DatabaseLocation::Postgres(_) => true,
    };
    let found = match is_there {
        false => None,
        true => {
            let before = current.map(text).transpose()?;
            let request = AdminRequest::CheckPolicy { text: text(file)?, before };
            let AdminReply::PolicyChecked(found) = admin::request(app, &checked, request).await? else {
                return Err(admin::unexpected_reply().into());
            };
            Some(found)
        }
    };
    let printer = &app.printer;
    let locks_out = found.as_ref().is_some_and(|found| found.locks_out);
    if printer.is_json() {
        let none = PolicyCheck::default();
        let PolicyCheck { losses, more, without_role, .. } = found.as_ref().unwrap_or(&none);
        printer.json(&json!({
            "file": path, "compared": found.is_some(), "accepted": !locks_out, "losses": losses, "more_losses": more,
            "people_without_role": without_role,
        }))?;
    } else if !locks_out {
        printer.success(&format!("{path} is valid: {}", definitions.summary()));
    }
    match &found {
        None => printer.note("No database yet: only the file was checked."),
        Some(found) if !printer.is_json() => print(app, found)?,
        Some(_) => {}
    }
    if locks_out {
        return Err(Problem::new(Exit::Failed, format!("{path}: {LOCKED_OUT}"))
            .hint("the gateway refuses this file: keep the role of an administrator as it is, or make somebody else one: ollama-auth gateway user role NAME admin")
            .into());
    }
    Ok(Exit::Done)
}

fn print(app: &App, found: &PolicyCheck) -> anyhow::Result<()> {
    let PolicyCheck { losses, more, without_role, .. } = found;
    let printer = &app.printer;
    for name in without_role {
        printer.warn(&format!("the role of {name} is not defined: the gateway refuses this account"));
    }
    if losses.is_empty() {
        printer.note("No account or API key loses a right.");
        return Ok(());
    }
    let keys = losses.iter().filter(|loss| loss.key.is_some()).count();
    let people = losses.len() - keys;
    let who = [(people, "account"), (keys, "API key")].map(|(number, what)| (number > 0).then(|| count(number, what)));
    let who: Vec<String> = who.into_iter().flatten().collect();
    let lose = if people + keys == 1 { "loses" } else { "lose" };
    printer.report(&format!("When it takes effect, {} {lose} rights:", who.join(" and ")));
    let mut table = Table::new(vec![
        Column::new("user").shrinks_to(8),
        Column::new("role").shrinks_to(8).optional(2),
        Column::new("key").shrinks_to(10),
        Column::new("loses").shrinks_to(24),
    ]);
    for loss in losses.iter().take(MOST_SHOWN) {
        let key = match (&loss.name, &loss.key) {
            (Some(name), Some(id)) => format!("{} ({id})", short(name)),
            _ => "-".to_owned(),
        };
        table.push(vec![loss.user.clone(), loss.role.to_string(), key, loss.to_string()]);
    }
    printer.table(&table)?;
    let left_out = losses.len().saturating_sub(MOST_SHOWN) + more;
    if left_out > 0 {
        printer.note(&format!("{left_out} more are not shown; --json has more of them."));
    }
    Ok(())
}

fn show(app: &App, args: PolicyShowArgs) -> anyhow::Result<Exit> {
    let serve = ServeArgs { database: args.database, ..ServeArgs::default() };
    let definitions = Definitions::new(&config::load(app, &serve)?);
    match app.printer.is_json() {
        true => app.printer.json(&definitions)?,
        false => app.printer.data(&definitions.to_string())?,
    }
    Ok(Exit::Done)
}

async fn explain(app: &App, args: PolicyExplainArgs) -> anyhow::Result<Exit> {
    let usage = |message: String| Problem::new(Exit::Usage, message);
    let (method, path) = args.route.trim().split_once(' ').ok_or_else(|| {
        usage(format!("--route: expected a method and a path such as 'POST /api/chat', not {:?}", args.route))
    })?;
    let key = args.key.map(|id| id.parse().map_err(|error| usage(format!("--key: {error}")))).transpose()?;
    let question = Question {
        key,
        user: args.user,
        method: method.to_ascii_uppercase(),
        path: path.trim().to_owned(),
        model: args.model,
        from: args.from,
        to_host: args.to_host,
        configuration: config::file(app, &args.database)?.map(text).transpose()?,
    };
    let request = AdminRequest::ExplainPolicy(Box::new(question));
    let AdminReply::PolicyExplained(explanation) = admin::request(app, &args.database, request).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let refusing = explanation.refusing();
    if app.printer.is_json() {
        app.printer
            .json(&json!({ "allowed": refusing.is_none(), "decided_by": refusing, "rules": explanation.steps }))?;
    } else {
        print_rules(app, &explanation)?;
        match refusing {
            None => app.printer.success("No rule refuses the request"),
            Some(step) => {
                let code = step.code.as_deref().unwrap_or_default();
                app.printer.report(&format!("\nRefused with the code {code}: {} ({})", step.detail, step.of));
            }
        }
    }
    Ok(if refusing.is_none() { Exit::Done } else { Exit::Forbidden })
}

fn print_rules(app: &App, explanation: &Explanation) -> anyhow::Result<()> {
    let mut table = Table::new(vec![
        Column::new("rule"),
        Column::new("of").shrinks_to(14),
        Column::new("verdict"),
        Column::new("why").shrinks_to(24),
    ]);
    for step in &explanation.steps {
        let verdict = match step.verdict {
            Verdict::Allows => "allows",
            Verdict::Refuses => "refuses",
            Verdict::Unknown => "-",
        };
        table.push(vec![step.rule.clone(), step.of.clone(), verdict.to_owned(), step.detail.clone()]);
    }
    app.printer.table(&table)?;
    Ok(())
}

fn text(file: ConfigFile) -> anyhow::Result<String> {
    String::from_utf8(file.bytes)
        .map_err(|_| Problem::new(Exit::Usage, format!("{}: not valid UTF-8", file.path.display())).into())
}
