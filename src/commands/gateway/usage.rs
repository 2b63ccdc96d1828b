//! `gateway usage`: what people, keys and models used.

use std::fmt::Write as _;

use serde_json::json;

use super::{admin, config};
use crate::app::App;
use crate::cli::{GatewayUsageArgs, ServeArgs, TimeArg, UsageByArg, UsageTimeArg};
use crate::exit::{Exit, Problem};
use crate::gateway::admin::{UsageQuestion, UsageReply};
use crate::gateway::{AdminReply, AdminRequest, UsageBy, UsageReportRow, UsageTime};
use crate::ui::{Column, Table};

/// Prints it.
///
/// # Errors
/// Everything of [`admin::request`]; exit 2 for a time that ends before it begins.
pub async fn run(app: &App, args: &GatewayUsageArgs) -> anyhow::Result<Exit> {
    let by: Vec<UsageBy> = args.by.iter().map(|by| group(*by)).collect();
    if by.contains(&UsageBy::Day) && by.contains(&UsageBy::Hour) {
        return Err(Problem::new(Exit::Usage, "--by takes hour or day, not both").into());
    }
    // A running gateway knows its time zone. This one is for a database alone.
    let serve = ServeArgs { database: args.database.clone(), ..ServeArgs::default() };
    let time_zone = config::load(app, &serve)?.time_zone.iana_name().unwrap_or("UTC").to_owned();
    let (since, until, user) = (time(args.since), args.until.map(time), args.user.clone());
    let question = UsageQuestion { by: by.clone(), since, until, user, time_zone };
    let AdminReply::Usage(reply) = admin::request(app, &args.database, AdminRequest::Usage(question)).await? else {
        return Err(admin::unexpected_reply().into());
    };
    let UsageReply { from, until, time_zone, rows } = reply;
    if app.printer.is_json() {
        app.printer.json(&json!({ "from": from, "until": until, "time_zone": time_zone, "usage": rows }))?;
        return Ok(Exit::Done);
    }
    if args.csv {
        let text = csv(&rows, &by);
        // The printer ends the last line.
        app.printer.data(text.strip_suffix('\n').unwrap_or(&text))?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        app.printer.note(&format!("Nothing was used from {from} until {until} ({time_zone})."));
        return Ok(Exit::Done);
    }
    print(app, &rows, &by)?;
    app.printer.note(&format!("From {from} until {until} ({time_zone})."));
    let estimated: u64 = rows.iter().map(|row| row.estimated_tokens).sum();
    if estimated > 0 {
        app.printer.note(&format!(
            "~ includes estimates: {estimated} of these tokens were not reported by the upstream server."
        ));
    }
    Ok(Exit::Done)
}

fn time(time: UsageTimeArg) -> UsageTime {
    match time {
        UsageTimeArg::Date(date) => UsageTime::Date(date),
        UsageTimeArg::Time(TimeArg::Ago(seconds)) => UsageTime::Ago(seconds),
        UsageTimeArg::Time(TimeArg::At(at)) => UsageTime::At(at),
    }
}

fn group(by: UsageByArg) -> UsageBy {
    match by {
        UsageByArg::Person => UsageBy::Person,
        UsageByArg::Key => UsageBy::Key,
        UsageByArg::Model => UsageBy::Model,
        UsageByArg::Day => UsageBy::Day,
        UsageByArg::Hour => UsageBy::Hour,
    }
}

/// The names of what a row is for, in the order that was asked for: header and text.
fn labels(row: &UsageReportRow, by: UsageBy) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match by {
        UsageBy::Person => vec![("person", row.person.clone().unwrap_or_else(|| text(&row.person_id)))],
        UsageBy::Key => vec![("credential", text(&row.credential)), ("name", text(&row.credential_name))],
        UsageBy::Model => vec![("model", text(&row.model))],
        UsageBy::Day => vec![("date", text(&row.date))],
        UsageBy::Hour => vec![("hour", text(&row.hour))],
    }
}

/// Hours, minutes and seconds: `12:05:09`.
fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000);
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn print(app: &App, rows: &[UsageReportRow], by: &[UsageBy]) -> anyhow::Result<()> {
    let headers = by.iter().flat_map(|by| labels(&UsageReportRow::default(), *by));
    let names = headers.map(|(header, _)| match header {
        "person" | "model" | "credential" => Column::new(header).shrinks_to(12),
        "name" => Column::new(header).shrinks_to(8).optional(6),
        header => Column::new(header),
    });
    let numbers = [
        Column::new("requests"),
        Column::new("input").optional(3),
        Column::new("output").optional(2),
        Column::new("tokens"),
        Column::new("busy").optional(1),
        Column::new("failed").optional(4),
        Column::new("refused").optional(5),
    ];
    let mut table = Table::new(names.chain(numbers));
    for row in rows {
        let mark = if row.estimated_tokens > 0 { "~" } else { "" };
        let failed = row.failed + row.cut_off;
        let labels = by
            .iter()
            .flat_map(|by| labels(row, *by))
            .map(|(_, text)| if text.is_empty() { "-".to_owned() } else { text });
        let numbers = [
            row.requests.to_string(),
            row.input_tokens.to_string(),
            row.output_tokens.to_string(),
            format!("{mark}{}", row.total_tokens),
            clock(row.busy_ms),
            failed.to_string(),
            row.refused.to_string(),
        ];
        table.push(labels.chain(numbers));
    }
    Ok(app.printer.table(&table)?)
}

/// By RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe in front.
fn csv(rows: &[UsageReportRow], by: &[UsageBy]) -> String {
    const NUMBERS: &str = "requests,input_tokens,output_tokens,total_tokens,estimated_tokens,failed,cut_off,cancelled,refused,busy_ms,bytes";
    let headers = by.iter().flat_map(|by| labels(&UsageReportRow::default(), *by));
    let mut text = headers.map(|(header, _)| format!("{header},")).collect::<String>() + NUMBERS + "\r\n";
    for row in rows {
        for (_, label) in by.iter().flat_map(|by| labels(row, *by)) {
            let label = match label.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                true => format!("'{label}"),
                false => label,
            };
            match label.contains(['"', ',', '\n', '\r']) {
                true => text += &format!("\"{}\",", label.replace('"', "\"\"")),
                false => text += &(label + ","),
            }
        }
        let numbers = [
            row.requests,
            row.input_tokens,
            row.output_tokens,
            row.total_tokens,
            row.estimated_tokens,
            row.failed,
            row.cut_off,
            row.cancelled,
            row.refused,
            row.busy_ms,
            row.bytes,
        ];
        let _ = writeln!(text, "{}\r", numbers.map(|number| number.to_string()).join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_csv_are_quoted_and_are_no_formulas() {
        let row =
            |person: &str| UsageReportRow { person: Some(person.to_owned()), requests: 3, ..UsageReportRow::default() };
        let text = csv(&[row("ada"), row("=1+1"), row("a \"b\", c")], &[UsageBy::Person]);
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(
            lines[1..],
            ["ada,3,0,0,0,0,0,0,0,0,0,0", "'=1+1,3,0,0,0,0,0,0,0,0,0,0", "\"a \"\"b\"\", c\",3,0,0,0,0,0,0,0,0,0,0"]
        );
    }
}
