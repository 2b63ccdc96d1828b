//! `usage`: what ollama.com says is used and left, as bars on a terminal, and as JSON for scripts with its answer as it came. Its
//! JSON is documented in docs/reference/usage.md.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::context::{Context, sign_in_hint};
use super::token::required;
use crate::api::{ApiError, Credential, Meter, ModelUse, UsageReport, read_usage};
use crate::app::App;
use crate::cli::UsageArgs;
use crate::exit::{Exit, Problem};
use crate::local_time::local_time;
use crate::profile::Audience;
use crate::ui::{Column, Table};

/// The longest `Retry-After` that the command waits out for a person; a script gets the error instead.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(5);
/// Cells of a bar.
const BAR: usize = 20;

/// What `usage --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: String,
    range: &'static str,
    scope: &'static str,
    plan: Option<&'a str>,
    balance: &'a [Meter],
    models: &'a [ModelUse],
    /// Names of members that hold something that was not understood.
    not_understood: &'a [String],
    /// What the host does not offer, or would not say.
    missing: &'a [String],
    raw: Raw<'a>,
}

/// The answers as they came.
#[derive(Debug, Serialize)]
struct Raw<'a> {
    balance: Option<&'a Value>,
    usage: Option<&'a Value>,
}

/// Runs it.
pub async fn run(app: &App, args: UsageArgs) -> anyhow::Result<Exit> {
    let context = Context::resolve(app, Audience::Account)?;
    let host = context.url().to_string();
    let credential = required(app, &context).await?;
    let is_device = matches!(credential, Credential::Device(_));
    let session = context.session_with(app, credential)?;
    let mut missing = Vec::new();
    let (mut balance, mut usage) = (None, None);
    for which in ["balance", "usage"] {
        let ask = async || match which {
            "balance" => session.balance().await,
            _ => session.usage(args.range.as_str(), args.team).await,
        };
        let mut answer = ask().await;
        if let Err(ApiError::TryLater { retry_after: Some(wait), .. }) = &answer
            && *wait <= MAX_RETRY_WAIT
            && app.printer.is_interactive()
        {
            let spinner = app.printer.spinner(&format!("{host} asks to wait {} s", wait.as_secs()));
            tokio::time::sleep(*wait).await;
            spinner.clear();
            answer = ask().await;
        }
        match answer {
            Ok(value) if which == "balance" => balance = Some(value),
            Ok(value) => usage = Some(value),
            // The other one may be there.
            Err(ApiError::NotFound { .. } | ApiError::Status { status: 405 | 501, .. }) => {
                missing.push(which.to_owned())
            }
            Err(error) => return Err(explain(error, &context, is_device)),
        }
    }
    if missing.len() == 2 {
        let message = format!("{host} does not tell what is used and left: it has neither /api/balance nor /api/usage");
        let hint = "ollama.com has: ollama-auth usage --host ollama.com";
        return Err(Problem::new(Exit::Failed, message).hint(hint).into());
    }
    let report = read_usage(balance.as_ref(), usage.as_ref());
    if app.printer.is_json() {
        app.printer.json(&Report {
            host,
            range: args.range.as_str(),
            scope: if args.team { "team" } else { "self" },
            plan: report.plan.as_deref(),
            balance: &report.meters,
            models: &report.models,
            not_understood: &report.not_understood,
            missing: &missing,
            raw: Raw { balance: balance.as_ref(), usage: usage.as_ref() },
        })?;
        return Ok(Exit::Done);
    }
    print(app, &args, &report, usage.as_ref())?;
    for which in missing {
        app.printer.warn(&format!("{host} has no /api/{which}"));
    }
    if !report.not_understood.is_empty() {
        let names = report.not_understood.join(", ");
        app.printer.warn(&format!("not understood: {names}; ollama-auth usage --json shows the answer as it came"));
    }
    if report.meters.is_empty() && report.models.is_empty() && !report.not_understood.is_empty() {
        let message = format!("{host} sent an answer in which no amount could be understood");
        return Err(Problem::new(Exit::Failed, message).hint("see it as it came: ollama-auth usage --json").into());
    }
    Ok(Exit::Done)
}

/// A refusal of a device key may mean no more than that these paths take API keys.
fn explain(error: ApiError, context: &Context, is_device: bool) -> anyhow::Error {
    let problem = Problem::from_error(&error.into());
    if problem.exit != Exit::SignIn || !is_device {
        return problem.into();
    }
    let host = context.url();
    let hint = format!(
        "{}\nor use an API key, which is what ollama.com documents for this: ollama-auth signin --with-api-key --host {host}",
        problem.hint.clone().unwrap_or_else(|| sign_in_hint(host))
    );
    problem.hint(hint).into()
}

fn print(app: &App, args: &UsageArgs, report: &UsageReport, usage: Option<&Value>) -> anyhow::Result<()> {
    let bars = app.printer.stdout_is_terminal();
    if let Some(plan) = &report.plan {
        app.printer.facts(&[("Plan", plan.clone())])?;
    }
    if !report.meters.is_empty() {
        let now = Timestamp::from_second((app.now)()).unwrap_or_default();
        let mut table = Table::new([
            Column::new("what").shrinks_to(16),
            Column::new("used"),
            Column::new("left").optional(1),
            Column::new("of").optional(2),
            Column::new("").optional(4),
            Column::new("resets").optional(3),
        ]);
        for meter in &report.meters {
            let unit = meter.unit.as_deref().map_or(String::new(), |unit| format!(" {unit}"));
            let amount = |number: Option<f64>| number.map_or("-".to_owned(), |number| amount(number) + &unit);
            table.push([
                meter.name.clone(),
                amount(meter.used),
                amount(meter.left),
                amount(meter.limit),
                share(meter.percent, bars),
                meter.resets_at.map_or("-".to_owned(), |at| local_time(at, now)),
            ]);
        }
        app.printer.table(&table)?;
    }
    if !report.models.is_empty() {
        let most = report.models.iter().filter_map(|row| row.tokens.or(row.requests)).fold(0.0, f64::max);
        let mut table = Table::new([
            Column::new("model").shrinks_to(20),
            Column::new("requests").optional(1),
            Column::new("input").optional(2),
            Column::new("output").optional(2),
            Column::new("tokens"),
            Column::new("cost").optional(3),
            Column::new("").optional(4),
        ]);
        for row in &report.models {
            let number = |number: Option<f64>| number.map_or("-".to_owned(), amount);
            let part = row.tokens.or(row.requests).filter(|_| most > 0.0).map(|number| number / most * 100.0);
            table.push([
                row.model.clone(),
                number(row.requests),
                number(row.input_tokens),
                number(row.output_tokens),
                number(row.tokens),
                number(row.cost),
                if bars { part.map_or(String::new(), bar) } else { String::new() },
            ]);
        }
        app.printer.table(&table)?;
    } else if usage.is_some() && !report.not_understood.iter().any(|name| name.starts_with("usage")) {
        app.printer.note(&format!("Nothing was used in the last {}.", args.range.as_str()));
    }
    Ok(())
}

fn share(percent: Option<f64>, bars: bool) -> String {
    match percent {
        None => "-".to_owned(),
        Some(percent) if bars => format!("{} {percent:.0}%", bar(percent)),
        Some(percent) => format!("{percent:.0}%"),
    }
}

/// `[#####...............]`
fn bar(percent: f64) -> String {
    let full = (percent.clamp(0.0, 100.0) / 100.0 * BAR as f64).round();
    (0..BAR).fold("[".to_owned(), |bar, cell| bar + if (cell as f64) < full { "#" } else { "." }) + "]"
}

/// Whole numbers in groups of three, others with two places; beyond what can be read as a number in full, in short.
fn amount(number: f64) -> String {
    if number.abs() >= 1e15 {
        return format!("{number:e}");
    }
    if number.fract() != 0.0 {
        return format!("{number:.2}");
    }
    let digits = format!("{:.0}", number.abs());
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_can_be_read() {
        let shown: Vec<String> =
            [0.0, 999.0, 1000.0, 1_234_567.0, -1234.0, 0.5, 1e300].into_iter().map(amount).collect();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-1,234", "0.50", "1e300"]);
    }

    #[test]
    fn bars_stay_within_their_frame() {
        assert_eq!(bar(50.0), "[##########..........]");
        assert_eq!(bar(1e300), "[####################]");
        assert_eq!(bar(-5.0), "[....................]");
    }
}
